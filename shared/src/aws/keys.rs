//! Keys in DynamoDB: wrapped material, unwrapped once when a process starts (DESIGN section 6).

use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use std::collections::HashMap;

use super::table::KEYS;
use super::{DynamoDb, StoreError};
use crate::clock::{Clock, Timestamp};
use crate::jose::{KeySet, KeyWrap, SignError, SigningKey, WrapError};
use crate::oauth::Issuer;
use crate::random::{Random, RandomError};
use crate::seal::{Seal, SealError, SealingKey};
use crate::secret::SecretKey;

/// Why the keys could not be loaded or made. The process has no keys then and must answer 503.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyStoreError {
    /// The table could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The material could not be wrapped or unwrapped.
    #[error(transparent)]
    Wrap(#[from] WrapError),
    /// The material is not a usable signing key.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The material is not a usable sealing key.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// No random bytes for a new key.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// A key of this use is missing; keys are made by the scheduled steward, or by `local` at first start.
    #[error("there is no {0} key")]
    Missing(&'static str),
}

const SIGNING: &str = "sig";
const SEALING: &str = "seal";

/// Reads and makes keys.
#[derive(Debug)]
pub struct KeyStore {
    dynamodb: DynamoDb,
    issuer: Issuer,
}

struct StoredKey {
    kid: String,
    usage: String,
    created_at: Timestamp,
    wrapped: Vec<u8>,
}

impl KeyStore {
    /// A store on `dynamodb` for the keys of `issuer`.
    pub fn new(dynamodb: DynamoDb, issuer: Issuer) -> Self {
        Self { dynamodb, issuer }
    }

    /// Reads and unwraps the keys in force. The newest of each use comes first.
    ///
    /// # Errors
    /// [`KeyStoreError`]; the process cannot work without its keys.
    pub async fn load(&self, wrap: &dyn KeyWrap) -> Result<KeySet, KeyStoreError> {
        let mut stored = self.read_all().await?;
        stored.sort_by(|a, b| b.created_at.cmp(&a.created_at).then_with(|| a.kid.cmp(&b.kid)));
        let (mut signing, mut sealing) = (Vec::new(), Vec::new());
        for key in &stored {
            let material = wrap.unwrap(&key.wrapped, &self.context(&key.kid)).await?;
            match key.usage.as_str() {
                SIGNING => signing.push(SigningKey::from_pkcs8(&material)?),
                SEALING => {
                    let master: [u8; 32] =
                        material.try_into().map_err(|_| StoreError::corrupt(KEYS, "sealing key length"))?;
                    sealing.push(SealingKey::new(&SecretKey::new(master))?);
                }
                other => return Err(StoreError::corrupt(KEYS, format!("use {other:?}")).into()),
            }
        }
        let published = signing.iter().map(|key| key.public().clone()).collect();
        let signing = signing.into_iter().next().ok_or(KeyStoreError::Missing("signing"))?;
        if sealing.is_empty() {
            return Err(KeyStoreError::Missing("sealing"));
        }
        Ok(KeySet { signing, published, seal: Seal::new(sealing) })
    }

    /// Makes a first key of each use where there is none. Two processes that start at once may each make
    /// one; both are then in force, which is harmless.
    ///
    /// # Errors
    /// [`KeyStoreError`]; calling again is safe.
    pub async fn create_missing(
        &self,
        wrap: &dyn KeyWrap,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<(), KeyStoreError> {
        let stored = self.read_all().await?;
        if !stored.iter().any(|key| key.usage == SIGNING) {
            let pkcs8 = SigningKey::generate()?;
            let kid = SigningKey::from_pkcs8(&pkcs8)?.public().kid.clone();
            self.put(&kid, SIGNING, &pkcs8, wrap, clock).await?;
        }
        if !stored.iter().any(|key| key.usage == SEALING) {
            let master: [u8; 32] = random.bytes()?;
            let name: [u8; 8] = random.bytes()?;
            let kid = format!("seal-{:016x}", u64::from_be_bytes(name));
            self.put(&kid, SEALING, &master, wrap, clock).await?;
        }
        Ok(())
    }

    async fn put(
        &self,
        kid: &str,
        usage: &str,
        material: &[u8],
        wrap: &dyn KeyWrap,
        clock: &dyn Clock,
    ) -> Result<(), KeyStoreError> {
        let wrapped = wrap.wrap(material, &self.context(kid)).await?;
        self.dynamodb
            .client
            .put_item()
            .table_name(self.dynamodb.name(KEYS))
            .item(KEYS.key, AttributeValue::S(kid.to_owned()))
            .item("v", AttributeValue::N("1".to_owned()))
            .item("use", AttributeValue::S(usage.to_owned()))
            .item("created_at", AttributeValue::N(clock.now().to_string()))
            .item("wrapped", AttributeValue::B(Blob::new(wrapped)))
            .condition_expression("attribute_not_exists(kid)")
            .send()
            .await
            .map_err(StoreError::from_sdk)?;
        Ok(())
    }

    async fn read_all(&self) -> Result<Vec<StoredKey>, StoreError> {
        // A handful of items for the life of a deployment, so a scan is one page.
        let answer = self
            .dynamodb
            .client
            .scan()
            .table_name(self.dynamodb.name(KEYS))
            .consistent_read(true)
            .send()
            .await
            .map_err(StoreError::from_sdk)?;
        answer.items().iter().map(stored_key).collect()
    }

    /// Binds wrapped material to this issuer and key, so that it cannot be moved to another.
    fn context(&self, kid: &str) -> String {
        format!("{} {kid}", self.issuer)
    }
}

fn stored_key(item: &HashMap<String, AttributeValue>) -> Result<StoredKey, StoreError> {
    let text = |name: &str| {
        item.get(name)
            .and_then(|value| value.as_s().ok())
            .cloned()
            .ok_or_else(|| StoreError::corrupt(KEYS, name))
    };
    let number = |name: &str| {
        item.get(name)
            .and_then(|value| value.as_n().ok())
            .and_then(|text| text.parse::<u64>().ok())
            .ok_or_else(|| StoreError::corrupt(KEYS, name))
    };
    if number("v")? != 1 {
        return Err(StoreError::corrupt(KEYS, "v"));
    }
    Ok(StoredKey {
        kid: text("kid")?,
        usage: text("use")?,
        created_at: Timestamp::from_epoch_seconds(number("created_at")?),
        wrapped: item
            .get("wrapped")
            .and_then(|value| value.as_b().ok())
            .map(|blob| blob.as_ref().to_vec())
            .ok_or_else(|| StoreError::corrupt(KEYS, "wrapped"))?,
    })
}
