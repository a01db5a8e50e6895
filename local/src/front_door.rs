//! One address in front of all functions, as the gateway is in production.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::HOST;
use shared::http::source::Source;
use shared::oauth::Issuer;
use tower::ServiceExt as _;
use url::Url;

use crate::metrics;

/// The routers of all functions.
#[derive(Clone, Debug)]
pub struct Functions {
    /// Of `admin`.
    pub admin: Router,
    /// Of `authorize`.
    pub authorize: Router,
    /// Of `register`.
    pub register: Router,
    /// Of `token`.
    pub token: Router,
}

/// Sends each request to the function whose route table has its path, and unknown paths to `authorize`,
/// whose 404 people may see.
pub fn router(functions: Functions, issuer: &Issuer, addr: SocketAddr) -> Router {
    let dispatch = move |mut request: Request| {
        // As the gateway tells the functions; a header about it would be a stranger's word.
        if let Some(ConnectInfo(from)) = request.extensions().get::<ConnectInfo<SocketAddr>>().copied() {
            request.extensions_mut().insert(Source::of(from.ip()));
        }
        let path = request.uri().path();
        let is_of = |routes: &[(&str, &str)]| routes.iter().any(|(_, known)| *known == path);
        let function = if is_of(token::ROUTES) {
            functions.token.clone()
        } else if is_of(register::ROUTES) {
            functions.register.clone()
        } else if path.starts_with(admin::PREFIX) {
            functions.admin.clone()
        } else {
            functions.authorize.clone()
        };
        function.oneshot(request)
    };
    let hosts = Arc::new([authority(issuer), addr.to_string()]);
    Router::new()
        .route(metrics::PATH, get(metrics::show))
        .fallback(dispatch)
        .layer(from_fn_with_state(hosts, refuse_other_hosts))
}

fn authority(issuer: &Issuer) -> String {
    let url = Url::parse(issuer.as_str()).ok();
    url.map(|url| url.authority().to_owned()).unwrap_or_default()
}

/// The sign-in here believes everybody, so a page in the person's browser must not reach it by a name of
/// its own that it lets point to this machine (DNS rebinding): to the browser that would be one origin.
async fn refuse_other_hosts(State(hosts): State<Arc<[String; 2]>>, request: Request, next: Next) -> Response {
    let named = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let named = named.or_else(|| request.uri().authority().map(|authority| authority.as_str()));
    if named.is_some_and(|named| hosts.iter().any(|known| known.eq_ignore_ascii_case(named))) {
        next.run(request).await
    } else {
        let [issuer, _] = hosts.as_ref();
        (StatusCode::MISDIRECTED_REQUEST, format!("this server answers at {issuer} only\n")).into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    async fn status(uri: &str, host: Option<&str>) -> StatusCode {
        let authorize = Router::new()
            .route("/authorize", get(|| async { StatusCode::OK }))
            .fallback(|| async { StatusCode::NOT_FOUND });
        let token = Router::new()
            .route("/token", get(|| async { StatusCode::CREATED }))
            .fallback(|| async { StatusCode::IM_A_TEAPOT });
        let register = Router::new().route("/register", get(|| async { StatusCode::ACCEPTED }));
        let admin = Router::new().fallback(|| async { StatusCode::ACCEPTED });
        let functions = Functions { admin, authorize, register, token };
        let issuer = Issuer::parse("http://localhost:9000").unwrap();
        let router = router(functions, &issuer, "127.0.0.1:9000".parse().unwrap());
        let mut request = Request::builder().uri(uri);
        if let Some(host) = host {
            request = request.header(HOST, host);
        }
        router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status()
    }

    #[tokio::test]
    async fn each_path_reaches_its_function_and_unknown_ones_are_not_found() {
        let host = Some("localhost:9000");
        assert_eq!(status("/authorize", host).await, StatusCode::OK);
        assert_eq!(status("/token", host).await, StatusCode::CREATED);
        assert_eq!(status("/register", host).await, StatusCode::ACCEPTED);
        assert_eq!(status("/admin/v1/tools/a", host).await, StatusCode::ACCEPTED);
        assert_eq!(status("/nothing", host).await, StatusCode::NOT_FOUND);
        assert_eq!(status("/token/more", host).await, StatusCode::NOT_FOUND);
    }

    /// OAuth 2.1 §2.4.1: guessing is counted by where it comes from, here as behind the gateway.
    #[tokio::test]
    async fn a_request_is_counted_by_the_address_it_comes_from() {
        let whence = |request: Request| async move {
            request.extensions().get::<Source>().cloned().unwrap_or_default().as_str().to_owned()
        };
        let functions = Functions {
            admin: Router::new(),
            authorize: Router::new(),
            register: Router::new(),
            token: Router::new().fallback(whence),
        };
        let issuer = Issuer::parse("http://localhost:9000").unwrap();
        let router = router(functions, &issuer, "127.0.0.1:9000".parse().unwrap());
        for from in ["127.0.0.1", "127.0.0.2", "192.0.2.7"] {
            let peer = SocketAddr::new(from.parse().unwrap(), 4000);
            let mut request =
                Request::get("/token").header(HOST, "localhost:9000").header("x-forwarded-for", "192.0.2.99");
            request.extensions_mut().unwrap().insert(ConnectInfo(peer));
            let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            let body = axum::body::to_bytes(response.into_body(), 100).await.unwrap();
            assert_eq!(body, from);
        }
    }

    #[tokio::test]
    async fn a_name_that_somebody_else_points_here_is_turned_away() {
        for host in ["127.0.0.1:9000", "LOCALHOST:9000"] {
            assert_eq!(status("/authorize", Some(host)).await, StatusCode::OK, "{host}");
        }
        for host in ["evil.example:9000", "localhost", "localhost:9001", "localhost:9000.evil.example", ""] {
            assert_eq!(status("/authorize", Some(host)).await, StatusCode::MISDIRECTED_REQUEST, "{host}");
        }
        assert_eq!(status("/authorize", None).await, StatusCode::MISDIRECTED_REQUEST);
        assert_eq!(status("http://localhost:9000/authorize", None).await, StatusCode::OK);
    }
}
