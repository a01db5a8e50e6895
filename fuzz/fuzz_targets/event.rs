//! Any event that has the form of API Gateway's becomes a request. Nothing in it makes a function fall over.
#![no_main]

use lambda_http::aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use libfuzzer_sys::fuzz_target;
use shared::http::cookie::Cookies;
use shared::oauth::{Issuer, Params};

fuzz_target!(|bytes: &[u8]| {
    let Ok(event) = serde_json::from_slice::<ApiGatewayV2httpRequest>(bytes) else { return };
    let request: lambda_http::Request = shared::lambda::from_gateway(event).into();
    let query = request.uri().query().unwrap_or_default();
    // Refused or read: either is fine.
    Params::parse(query).ok();
    if let Ok(body) = std::str::from_utf8(request.body()) {
        Params::parse(body).ok();
    }
    let issuer = Issuer::parse("https://as.example").expect("a good issuer");
    Cookies::new(&issuer).read(request.headers());
});
