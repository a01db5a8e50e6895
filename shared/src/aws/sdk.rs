//! What all clients of AWS in one process have in common.

use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

/// Region, credentials, and connections: found out once, however many services are asked.
#[derive(Clone, Debug)]
pub struct Sdk(SdkConfig);

impl Sdk {
    /// As the environment has it. Nothing is sent yet.
    pub async fn load() -> Self {
        let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::AwsLc)).build_https();
        let http = WhenNeeded(http);
        Self(aws_config::defaults(BehaviorVersion::latest()).http_client(http).load().await)
    }

    pub(super) const fn config(&self) -> &SdkConfig {
        &self.0
    }
}

/// The same HTTP client, which would read the system's hundred and forty roots each time that a client of a service
/// is made, and once more for its first request. That is what a cold start would spend most of its time on;
/// here they are read for the first connection, and all services share it.
#[derive(Debug)]
struct WhenNeeded(SharedHttpClient);

impl HttpClient for WhenNeeded {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        self.0.http_connector(settings, components)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.0.connector_metadata()
    }
}
