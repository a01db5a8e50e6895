//! Creating the tables in the embedded DynamoDB, where production has its template.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType, TableDescription, TimeToLiveSpecification, TimeToLiveStatus,
};
use shared::aws::DynamoDb;
use shared::aws::table::{Index, TABLES, Table};

/// The tables cannot be made, or are not ours.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The database refused a call.
    #[error("table {table}: {reason}")]
    Call {
        /// The full table name.
        table: String,
        /// What the database said.
        reason: String,
    },
    /// The data file comes from a version with other tables.
    #[error("table {0} was made by another version of Nameplate: start with a new --data file")]
    OtherVersion(String),
}

/// Makes every table that is not there yet, TTL included.
///
/// # Errors
/// [`TableError`]; calling again is safe.
pub async fn create(client: Client, prefix: &str) -> Result<DynamoDb, TableError> {
    let dynamodb = DynamoDb::new(client.clone(), prefix.to_owned());
    for table in TABLES {
        let name = dynamodb.name(*table);
        create_one(&client, &name, table).await?;
        expire(&client, &name, table).await?;
    }
    Ok(dynamodb)
}

async fn create_one(client: &Client, name: &str, table: &Table) -> Result<(), TableError> {
    match client.describe_table().table_name(name).send().await {
        Ok(answer) if answer.table().is_some_and(|found| is_same(found, table)) => return Ok(()),
        Ok(_) => return Err(TableError::OtherVersion(name.to_owned())),
        Err(error)
            if error.as_service_error().is_some_and(|service| service.is_resource_not_found_exception()) => {}
        Err(error) => return Err(call(name, error)),
    }
    let mut attributes = vec![table.key];
    for index in table.indexes {
        attributes.extend([Some(index.key), index.sort].into_iter().flatten());
    }
    attributes.sort_unstable();
    attributes.dedup();

    let mut create = client.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
    for attribute in attributes {
        let definition = AttributeDefinition::builder()
            .attribute_name(attribute)
            .attribute_type(ScalarAttributeType::S)
            .build()
            .map_err(|error| call(name, error))?;
        create = create.attribute_definitions(definition);
    }
    create = create.key_schema(key(name, table.key, KeyType::Hash)?);
    for index in table.indexes {
        create = create.global_secondary_indexes(secondary(name, index)?);
    }
    create.send().await.map_err(|error| call(name, error))?;
    Ok(())
}

fn projection(index: &Index) -> Projection {
    match index.include {
        None => Projection::builder().projection_type(ProjectionType::All).build(),
        Some(attributes) => {
            let attributes = attributes.iter().map(|name| (*name).to_owned()).collect();
            let projection = Projection::builder().projection_type(ProjectionType::Include);
            projection.set_non_key_attributes(Some(attributes)).build()
        }
    }
}

fn secondary(table: &str, index: &Index) -> Result<GlobalSecondaryIndex, TableError> {
    let mut secondary = GlobalSecondaryIndex::builder()
        .index_name(index.name)
        .key_schema(key(table, index.key, KeyType::Hash)?)
        .projection(projection(index));
    if let Some(sort) = index.sort {
        secondary = secondary.key_schema(key(table, sort, KeyType::Range)?);
    }
    secondary.build().map_err(|error| call(table, error))
}

fn key(table: &str, attribute: &str, kind: KeyType) -> Result<KeySchemaElement, TableError> {
    KeySchemaElement::builder()
        .attribute_name(attribute)
        .key_type(kind)
        .build()
        .map_err(|error| call(table, error))
}

/// Real DynamoDB refuses to switch on what is on already, so this asks first.
async fn expire(client: &Client, name: &str, table: &Table) -> Result<(), TableError> {
    let Some(attribute) = table.ttl else { return Ok(()) };
    let answer =
        client.describe_time_to_live().table_name(name).send().await.map_err(|error| call(name, error))?;
    let status = answer.time_to_live_description().and_then(|described| described.time_to_live_status());
    if matches!(status, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)) {
        return Ok(());
    }
    let specification = TimeToLiveSpecification::builder()
        .enabled(true)
        .attribute_name(attribute)
        .build()
        .map_err(|error| call(name, error))?;
    let update = client.update_time_to_live().table_name(name).time_to_live_specification(specification);
    update.send().await.map_err(|error| call(name, error))?;
    Ok(())
}

fn is_same(found: &TableDescription, table: &Table) -> bool {
    let mut found_indexes: Vec<_> =
        found.global_secondary_indexes().iter().filter_map(|index| index.index_name()).collect();
    let mut indexes: Vec<_> = table.indexes.iter().map(|index| index.name).collect();
    found_indexes.sort_unstable();
    indexes.sort_unstable();
    found.key_schema().iter().map(KeySchemaElement::attribute_name).eq([table.key])
        && found_indexes == indexes
}

fn call(table: &str, error: impl std::error::Error) -> TableError {
    TableError::Call { table: table.to_owned(), reason: DisplayErrorContext(error).to_string() }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::AttributeValue;
    use shared::aws::table::{DEFAULT_PREFIX, KEYS};

    use super::*;
    use crate::data::DataFile;
    use crate::dynamodb::{ANY_PORT, DynamoDb};
    use crate::testing::Folder;

    #[tokio::test]
    async fn tables_are_made_once_and_their_items_outlive_a_restart() {
        let folder = Folder::new();
        let path = folder.path().join("nameplate.db");
        let start = async || DynamoDb::start(ANY_PORT, Some(DataFile::open(&path).unwrap())).await.unwrap();

        let first = start().await;
        let tables = create(first.client(), DEFAULT_PREFIX).await.unwrap();
        create(first.client(), DEFAULT_PREFIX).await.unwrap();
        let client = first.client();
        let key = AttributeValue::S("k".to_owned());
        client.put_item().table_name(tables.name(KEYS)).item(KEYS.key, key.clone()).send().await.unwrap();
        for table in TABLES {
            let described =
                client.describe_time_to_live().table_name(tables.name(*table)).send().await.unwrap();
            let described = described.time_to_live_description.unwrap();
            assert_eq!(described.attribute_name(), table.ttl, "{table:?}");
        }
        first.stop().await;

        let second = start().await;
        let tables = create(second.client(), DEFAULT_PREFIX).await.unwrap();
        let client = second.client();
        let item = client.get_item().table_name(tables.name(KEYS)).key(KEYS.key, key).send().await.unwrap();
        assert!(item.item.is_some());
        second.stop().await;
    }

    #[tokio::test]
    async fn tables_of_another_shape_are_not_touched() {
        let database = DynamoDb::start(ANY_PORT, None).await.unwrap();
        let client = database.client();
        let other = Table { key: "other", ..KEYS };
        let name = format!("{DEFAULT_PREFIX}{}", KEYS.name);
        create_one(&client, &name, &other).await.unwrap();
        let refused = create(database.client(), DEFAULT_PREFIX).await.unwrap_err();
        assert!(matches!(refused, TableError::OtherVersion(table) if table == name));
        database.stop().await;
    }

    #[tokio::test]
    async fn secondary_indexes_come_with_their_keys() {
        const INDEXED: Table = Table {
            name: "indexed",
            key: "id",
            ttl: None,
            indexes: &[Index { name: "by_user", key: "user", sort: Some("last_used"), include: None }],
        };
        let database = DynamoDb::start(ANY_PORT, None).await.unwrap();
        let client = database.client();
        create_one(&client, "indexed", &INDEXED).await.unwrap();
        create_one(&client, "indexed", &INDEXED).await.unwrap();
        let without = Table { indexes: &[], ..INDEXED };
        let refused = create_one(&client, "indexed", &without).await.unwrap_err();
        assert!(matches!(refused, TableError::OtherVersion(_)));
        database.stop().await;
    }
}
