//! Where requests go: to an instance in this process, or to a server in a process of its own.

use std::future::Future;

use axum::body::Body;
use http::Request;

use crate::response::Answer;
use crate::world::{ISSUER, Instance};

/// A server as its clients see it.
pub trait Server: Clone + Send + Sync + 'static {
    /// Its issuer identifier.
    fn issuer(&self) -> &str;

    /// Sends `request`.
    fn send(&self, request: Request<Body>) -> impl Future<Output = Answer> + Send;

    /// `POST path` with a form, without cookies.
    fn post(&self, path: &str, form: String) -> impl Future<Output = Answer> + Send {
        let request = Request::post(path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(form))
            .unwrap();
        self.send(request)
    }
}

impl Server for Instance {
    fn issuer(&self) -> &str {
        ISSUER
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        Instance::send(self, request).await
    }
}
