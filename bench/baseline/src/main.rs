//! The least that a function like ours can be: axum behind `lambda_http`, a DynamoDB client that is made and
//! not used, and one answer. Its cold start and size are what ours are compared with; it has no configuration,
//! no log, no keys, and no rules.

use aws_config::BehaviorVersion;
use axum::Router;
use axum::routing::any;

fn main() -> Result<(), lambda_http::Error> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let config = aws_config::defaults(BehaviorVersion::latest()).load().await;
        let client = aws_sdk_dynamodb::Client::new(&config);
        let router = Router::new().fallback(any(async move || {
            // Named here, so that the compiler cannot leave the client out.
            if client.config().region().is_some() { "hello\n" } else { "hello from nowhere\n" }
        }));
        lambda_http::run(router).await
    })
}
