//! The DynamoDB of this process: embedded (`dynoxide`, on a loopback port), or one that several processes share.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use dynoxide::Database;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::data::DataFile;

/// Any free port of 127.0.0.1.
pub const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A running DynamoDB. Dropping an embedded one stops it too, without waiting.
#[derive(Debug)]
pub struct DynamoDb {
    addr: SocketAddr,
    /// Missing where another process serves it.
    embedded: Option<Embedded>,
}

#[derive(Debug)]
struct Embedded {
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), String>>,
    // Let go last, when nothing serves from the file any more.
    _data: Option<DataFile>,
}

/// The embedded DynamoDB cannot start.
#[derive(Debug, thiserror::Error)]
pub enum DynamoDbError {
    /// Somebody else listens there.
    #[error("the embedded DynamoDB cannot listen on {addr}: {source}")]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not one of ours, or damaged.
    #[error("--data {path} cannot be opened: {source}")]
    Open {
        /// The data file, or `memory`.
        path: String,
        /// What the database said.
        source: dynoxide::DynoxideError,
    },
}

impl DynamoDb {
    /// Starts on `listen`, over `data` or, without it, in memory.
    ///
    /// # Errors
    /// [`DynamoDbError`] if the port is taken or the file is not a database.
    pub async fn start(listen: SocketAddr, data: Option<DataFile>) -> Result<Self, DynamoDbError> {
        let database = open(data.as_ref())?;
        let bound = async {
            let listener = TcpListener::bind(listen).await?;
            let addr = listener.local_addr()?;
            Ok((listener, addr))
        };
        let (listener, addr) =
            bound.await.map_err(|source| DynamoDbError::Listen { addr: listen, source })?;
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database, async {
            // Sent or dropped: either way the owner wants no more.
            stopped.await.ok();
        }));
        Ok(Self { addr, embedded: Some(Embedded { stop, serving, _data: data }) })
    }

    /// The one that another process serves on `addr`.
    pub fn at(addr: SocketAddr) -> Self {
        Self { addr, embedded: None }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What `DYNAMODB_ENDPOINT` has to be for a client of this database.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// A client of this database, whatever the environment says: a developer's AWS profile, missing
    /// region, or proxy must not come between this process and itself.
    pub fn client(&self) -> Client {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url(self.endpoint())
            .region(Region::from_static("local"))
            .credentials_provider(Credentials::new("local", "local", None, None, "local"))
            .build();
        Client::from_conf(config)
    }

    /// Stops accepting, finishes the requests that run, closes the file. One that another process serves goes on.
    pub async fn stop(self) {
        let Some(embedded) = self.embedded else { return };
        // The receiver is gone only if serving has ended already.
        embedded.stop.send(()).ok();
        match embedded.serving.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error, "the embedded DynamoDB did not stop cleanly"),
            Err(error) => tracing::warn!(%error, "the embedded DynamoDB did not stop cleanly"),
        }
    }
}

fn open(data: Option<&DataFile>) -> Result<Database, DynamoDbError> {
    let Some(data) = data else {
        return Database::memory()
            .map_err(|source| DynamoDbError::Open { path: "memory".to_owned(), source });
    };
    // `DataFile` takes no other names.
    let path = data.path().to_string_lossy().into_owned();
    let opened = Database::new(&path).and_then(|database| {
        // Nothing sweeps while it runs: garbage would stay in the file for ever.
        database.sweep_ttl()?;
        Ok(database)
    });
    opened.map_err(|source| DynamoDbError::Open { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Folder;

    #[tokio::test]
    async fn a_taken_port_and_a_foreign_file_are_said_plainly() {
        let first = DynamoDb::start(ANY_PORT, None).await.unwrap();
        let taken = DynamoDb::start(first.addr, None).await.unwrap_err();
        assert!(matches!(&taken, DynamoDbError::Listen { addr, .. } if *addr == first.addr), "{taken}");
        first.stop().await;

        let folder = Folder::new();
        let path = folder.path().join("nameplate.db");
        drop(DataFile::open(&path).unwrap());
        std::fs::write(&path, "this is no database, whatever its name says").unwrap();
        let refused = DynamoDb::start(ANY_PORT, Some(DataFile::open(&path).unwrap())).await.unwrap_err();
        assert!(matches!(&refused, DynamoDbError::Open { .. }), "{refused}");
    }

    #[tokio::test]
    async fn a_stopped_database_lets_go_of_its_port_and_its_file() {
        let folder = Folder::new();
        let path = folder.path().join("nameplate.db");
        let first = DynamoDb::start(ANY_PORT, Some(DataFile::open(&path).unwrap())).await.unwrap();
        let addr = first.addr;
        first.stop().await;
        DynamoDb::start(addr, Some(DataFile::open(&path).unwrap())).await.unwrap().stop().await;
    }
}
