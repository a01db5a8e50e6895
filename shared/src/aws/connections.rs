//! The grants of one person: what they allowed before, and what is connected now.

use super::StoreError;
use super::dynamodb::Reading;
use super::grants::{self, GrantStore};
use super::item::{Attributes, text};
use super::table::{GRANTS, GRANTS_BY_SUBJECT};
use crate::grant::{Grant, GrantId};
use crate::oauth::Scope;

/// Grants of one person with one client that are looked at when they are asked again.
const WITH_CLIENT_MAX: usize = 50;

/// Grants of one person that a page lists. Somebody with more revokes them by tool.
pub const CONNECTIONS_MAX: usize = 500;

/// A grant as the index has it, a moment late: good for showing, not for honouring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Its id, to read it by.
    pub id: GrantId,
    /// The redirect URI it was made for.
    pub redirect_uri: String,
    /// The resource.
    pub resource: String,
    /// What was approved.
    pub scope: Scope,
    /// The document that was in force.
    pub document_digest: Option<String>,
}

impl GrantStore {
    /// What `subject` has allowed the client `client_id`, as far as it is still in use. One query.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub async fn connections_with(
        &self,
        subject: &str,
        client_id: &str,
    ) -> Result<Vec<Connection>, StoreError> {
        let answer = self
            .dynamodb
            .client
            .query()
            .table_name(self.dynamodb.name(GRANTS))
            .index_name(GRANTS_BY_SUBJECT)
            .key_condition_expression("subject = :subject AND client_id = :client")
            .filter_expression("stage = :active")
            .expression_attribute_values(":subject", text(subject))
            .expression_attribute_values(":client", text(client_id))
            .expression_attribute_values(":active", text("active"))
            .send()
            .await
            .map_err(StoreError::from_sdk)?;
        answer.items.unwrap_or_default().iter().take(WITH_CLIENT_MAX).map(connection).collect()
    }

    /// The grants of `subject`, each read by its key, so that one that has just ended is seen as ended.
    ///
    /// # Errors
    /// [`StoreError`] if any of it cannot be read.
    pub async fn connections(&self, subject: &str) -> Result<Vec<Grant>, StoreError> {
        let mut ids: Vec<GrantId> = Vec::new();
        let mut from = None;
        loop {
            let answer = self
                .dynamodb
                .client
                .query()
                .table_name(self.dynamodb.name(GRANTS))
                .index_name(GRANTS_BY_SUBJECT)
                .key_condition_expression("subject = :subject")
                .filter_expression("stage = :active")
                .expression_attribute_values(":subject", text(subject))
                .expression_attribute_values(":active", text("active"))
                .set_exclusive_start_key(from)
                .send()
                .await
                .map_err(StoreError::from_sdk)?;
            for item in answer.items.unwrap_or_default() {
                ids.push(connection(&item)?.id);
            }
            from = answer.last_evaluated_key;
            if from.is_none() || ids.len() >= CONNECTIONS_MAX {
                break;
            }
        }
        ids.truncate(CONNECTIONS_MAX);
        let mut found = self.read_all(&ids).await?;
        found.retain(|grant| grant.subject == subject);
        Ok(found)
    }

    async fn read_all(&self, ids: &[GrantId]) -> Result<Vec<Grant>, StoreError> {
        let keys: Vec<_> = ids.iter().map(|id| (GRANTS, id.to_string())).collect();
        let found = self.dynamodb.batch_get(&keys, Reading::Consistent).await?;
        found.into_iter().map(|(_, item)| grants::grant(item)).collect()
    }
}

fn connection(item: &Attributes) -> Result<Connection, StoreError> {
    let find = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned();
    let required = |name: &'static str| find(name).ok_or_else(|| StoreError::corrupt(GRANTS, name));
    Ok(Connection {
        id: GrantId::parse(&required("id")?).ok_or_else(|| StoreError::corrupt(GRANTS, "id"))?,
        redirect_uri: required("redirect_uri")?,
        resource: required("resource")?,
        scope: Scope::parse(&required("scope")?).map_err(|_| StoreError::corrupt(GRANTS, "scope"))?,
        document_digest: find("document_digest"),
    })
}
