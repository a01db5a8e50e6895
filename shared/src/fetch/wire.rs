//! A fetch as it travels between a function that needs it and the function that does it.
//!
//! The asking side believes nothing that comes back: whatever the guard promises about an answer is checked
//! once more against the request ([`AnswerForm::check`]).

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use url::Url;

use super::address::{PublicAddress, SpecialUse};
use super::guard::{HEADER_BYTES_MAX, HEADER_LINES_MAX};
use super::host::HostError;
use super::{CacheHeaders, FetchError, FetchKind, FetchRequest, Fetched};
use crate::clock::Timestamp;

/// Most bytes of an answer as JSON: the largest body in base64, the largest headers, and the rest.
pub const ANSWER_BYTES_MAX: usize = super::LOGO_BYTES_MAX / 3 * 4 + HEADER_BYTES_MAX * 2 + 4 * 1024;

/// A [`FetchRequest`] on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestForm {
    url: Url,
    kind: KindForm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KindForm {
    Document,
    Keys,
    Logo,
}

/// What comes back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AnswerForm {
    /// Status 200, and nothing that the guard refuses.
    Fetched(FetchedForm),
    /// The rule that was broken.
    Refused(RefusedForm),
}

/// A [`Fetched`] on the wire. It carries no times: the asking side's own clock decides about reuse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FetchedForm {
    /// In base64, so that any byte survives.
    body: String,
    media_type: String,
    cache_control: Vec<String>,
    expires: Vec<String>,
    date: Option<String>,
    age: Option<String>,
    address: IpAddr,
}

/// A [`FetchError`] on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case", deny_unknown_fields)]
pub enum RefusedForm {
    /// [`FetchError::Url`].
    Url,
    /// [`FetchError::Host`] with [`HostError::NotAName`].
    HostNotAName,
    /// [`FetchError::Host`] with [`HostError::UpperCase`].
    HostUpperCase,
    /// [`FetchError::Host`] with [`HostError::AddressLiteral`].
    HostAddressLiteral,
    /// [`FetchError::Host`] with [`HostError::SingleLabel`].
    HostSingleLabel,
    /// [`FetchError::Host`] with [`HostError::TrailingDot`].
    HostTrailingDot,
    /// [`FetchError::Host`] with [`HostError::SpecialUse`].
    HostSpecialUse,
    /// [`FetchError::PortNotListed`].
    PortNotListed,
    /// [`FetchError::Resolve`].
    Resolve,
    /// [`FetchError::NoAddress`].
    NoAddress,
    /// [`FetchError::TooManyAddresses`].
    TooManyAddresses,
    /// [`FetchError::SpecialUse`].
    SpecialUse {
        /// An address in the block, since the block's name is ours to give.
        block: String,
    },
    /// [`FetchError::Connect`].
    Connect,
    /// [`FetchError::Certificate`].
    Certificate,
    /// [`FetchError::Tls`].
    Tls,
    /// [`FetchError::Peer`].
    Peer,
    /// [`FetchError::Interrupted`].
    Interrupted,
    /// [`FetchError::Deadline`].
    Deadline,
    /// [`FetchError::Redirect`].
    Redirect {
        /// The status.
        status: u16,
    },
    /// [`FetchError::Gone`].
    Gone {
        /// The status.
        status: u16,
    },
    /// [`FetchError::Status`].
    Status {
        /// The status.
        status: u16,
    },
    /// [`FetchError::HeadersTooLarge`].
    HeadersTooLarge,
    /// [`FetchError::MediaType`].
    MediaType,
    /// [`FetchError::ContentEncoding`].
    ContentEncoding,
    /// [`FetchError::TooLarge`].
    TooLarge,
    /// [`FetchError::Guard`].
    Guard,
    /// [`FetchError::Busy`].
    Busy,
    /// [`FetchError::Function`].
    Function,
}

impl From<&FetchRequest> for RequestForm {
    fn from(request: &FetchRequest) -> Self {
        let kind = match request.kind {
            FetchKind::Document => KindForm::Document,
            FetchKind::Keys => KindForm::Keys,
            FetchKind::Logo => KindForm::Logo,
        };
        Self { url: request.url.clone(), kind }
    }
}

impl From<RequestForm> for FetchRequest {
    fn from(form: RequestForm) -> Self {
        let kind = match form.kind {
            KindForm::Document => FetchKind::Document,
            KindForm::Keys => FetchKind::Keys,
            KindForm::Logo => FetchKind::Logo,
        };
        Self { url: form.url, kind }
    }
}

impl From<Result<Fetched, FetchError>> for AnswerForm {
    fn from(result: Result<Fetched, FetchError>) -> Self {
        match result {
            Ok(fetched) => Self::Fetched(FetchedForm {
                body: STANDARD.encode(&fetched.body),
                media_type: fetched.media_type,
                cache_control: fetched.cache.cache_control,
                expires: fetched.cache.expires,
                date: fetched.cache.date,
                age: fetched.cache.age,
                address: fetched.address,
            }),
            Err(error) => Self::Refused(error.into()),
        }
    }
}

impl AnswerForm {
    /// Checks that this answers `request`, which was asked at `requested_at` and answered at `received_at`
    /// by the asking side's clock.
    ///
    /// # Errors
    /// The [`FetchError`] that was reported, or the first rule that the answer breaks though it claims to
    /// keep them all.
    pub fn check(
        self,
        request: &FetchRequest,
        requested_at: Timestamp,
        received_at: Timestamp,
    ) -> Result<Fetched, FetchError> {
        let form = match self {
            Self::Fetched(form) => form,
            Self::Refused(refused) => return Err(refused.into()),
        };
        let body = STANDARD.decode(&form.body).map_err(|_| FetchError::Function)?;
        if body.len() > request.kind.body_bytes_max() {
            return Err(FetchError::TooLarge);
        }
        if !request.kind.accepts(&form.media_type) {
            return Err(FetchError::MediaType);
        }
        let address = PublicAddress::check(form.address)?.get();
        let lines = || {
            let lists = form.cache_control.iter().chain(&form.expires);
            lists.chain(&form.date).chain(&form.age)
        };
        if lines().count() > HEADER_LINES_MAX || lines().map(String::len).sum::<usize>() > HEADER_BYTES_MAX {
            return Err(FetchError::HeadersTooLarge);
        }
        let cache = CacheHeaders {
            cache_control: form.cache_control,
            expires: form.expires,
            date: form.date,
            age: form.age,
        };
        Ok(Fetched {
            body: body.into(),
            media_type: form.media_type,
            cache,
            address,
            requested_at,
            received_at,
        })
    }
}

impl From<FetchError> for RefusedForm {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Url => Self::Url,
            FetchError::Host(HostError::NotAName) => Self::HostNotAName,
            FetchError::Host(HostError::UpperCase) => Self::HostUpperCase,
            FetchError::Host(HostError::AddressLiteral) => Self::HostAddressLiteral,
            FetchError::Host(HostError::SingleLabel) => Self::HostSingleLabel,
            FetchError::Host(HostError::TrailingDot) => Self::HostTrailingDot,
            FetchError::Host(HostError::SpecialUse) => Self::HostSpecialUse,
            FetchError::PortNotListed => Self::PortNotListed,
            FetchError::Resolve => Self::Resolve,
            FetchError::NoAddress => Self::NoAddress,
            FetchError::TooManyAddresses => Self::TooManyAddresses,
            FetchError::SpecialUse(block) => Self::SpecialUse { block: block.block().to_owned() },
            FetchError::Connect => Self::Connect,
            FetchError::Certificate => Self::Certificate,
            FetchError::Tls => Self::Tls,
            FetchError::Peer => Self::Peer,
            FetchError::Interrupted => Self::Interrupted,
            FetchError::Deadline => Self::Deadline,
            FetchError::Redirect(status) => Self::Redirect { status },
            FetchError::Gone(status) => Self::Gone { status },
            FetchError::Status(status) => Self::Status { status },
            FetchError::HeadersTooLarge => Self::HeadersTooLarge,
            FetchError::MediaType => Self::MediaType,
            FetchError::ContentEncoding => Self::ContentEncoding,
            FetchError::TooLarge => Self::TooLarge,
            FetchError::Guard => Self::Guard,
            FetchError::Busy => Self::Busy,
            FetchError::Function => Self::Function,
        }
    }
}

impl From<RefusedForm> for FetchError {
    fn from(form: RefusedForm) -> Self {
        match form {
            RefusedForm::Url => Self::Url,
            RefusedForm::HostNotAName => Self::Host(HostError::NotAName),
            RefusedForm::HostUpperCase => Self::Host(HostError::UpperCase),
            RefusedForm::HostAddressLiteral => Self::Host(HostError::AddressLiteral),
            RefusedForm::HostSingleLabel => Self::Host(HostError::SingleLabel),
            RefusedForm::HostTrailingDot => Self::Host(HostError::TrailingDot),
            RefusedForm::HostSpecialUse => Self::Host(HostError::SpecialUse),
            RefusedForm::PortNotListed => Self::PortNotListed,
            RefusedForm::Resolve => Self::Resolve,
            RefusedForm::NoAddress => Self::NoAddress,
            RefusedForm::TooManyAddresses => Self::TooManyAddresses,
            RefusedForm::SpecialUse { block } => {
                SpecialUse::of_block(&block).map_or(Self::Function, Self::SpecialUse)
            }
            RefusedForm::Connect => Self::Connect,
            RefusedForm::Certificate => Self::Certificate,
            RefusedForm::Tls => Self::Tls,
            RefusedForm::Peer => Self::Peer,
            RefusedForm::Interrupted => Self::Interrupted,
            RefusedForm::Deadline => Self::Deadline,
            RefusedForm::Redirect { status } => Self::Redirect(status),
            RefusedForm::Gone { status } => Self::Gone(status),
            RefusedForm::Status { status } => Self::Status(status),
            RefusedForm::HeadersTooLarge => Self::HeadersTooLarge,
            RefusedForm::MediaType => Self::MediaType,
            RefusedForm::ContentEncoding => Self::ContentEncoding,
            RefusedForm::TooLarge => Self::TooLarge,
            RefusedForm::Guard => Self::Guard,
            RefusedForm::Busy => Self::Busy,
            RefusedForm::Function => Self::Function,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const NOW: Timestamp = Timestamp::from_epoch_seconds(1_800_000_000);

    fn request(kind: FetchKind) -> FetchRequest {
        FetchRequest { url: Url::parse("https://client.example/document.json?a=b").unwrap(), kind }
    }

    fn fetched() -> Fetched {
        Fetched {
            body: vec![0, 255, b'{', b'\n'].into(),
            media_type: "application/json".to_owned(),
            cache: CacheHeaders {
                cache_control: vec!["max-age=60".to_owned(), "private".to_owned()],
                expires: vec!["0".to_owned()],
                date: Some("Sun, 06 Nov 1994 08:49:37 GMT".to_owned()),
                age: Some("1".to_owned()),
            },
            address: IpAddr::V4(Ipv4Addr::new(93, 184, 215, 14)),
            requested_at: NOW,
            received_at: NOW,
        }
    }

    /// There and back, through JSON.
    fn travel(answer: Result<Fetched, FetchError>, kind: FetchKind) -> Result<Fetched, FetchError> {
        let json = serde_json::to_string(&AnswerForm::from(answer)).unwrap();
        let form: AnswerForm = serde_json::from_str(&json).unwrap();
        form.check(&request(kind), NOW, NOW)
    }

    #[test]
    fn a_request_and_its_answer_arrive_as_they_were_sent() {
        for kind in [FetchKind::Document, FetchKind::Keys, FetchKind::Logo] {
            let json = serde_json::to_string(&RequestForm::from(&request(kind))).unwrap();
            let form: RequestForm = serde_json::from_str(&json).unwrap();
            assert_eq!(FetchRequest::from(form), request(kind));
        }
        assert_eq!(travel(Ok(fetched()), FetchKind::Document), Ok(fetched()));
    }

    #[test]
    fn every_refusal_arrives_as_itself() {
        let special = PublicAddress::check(IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap_err();
        let isatap = PublicAddress::check("2600::5efe:7f00:1".parse().unwrap()).unwrap_err();
        let embedded = PublicAddress::check("::ffff:127.0.0.1".parse().unwrap()).unwrap_err();
        for error in [
            FetchError::Url,
            FetchError::Host(HostError::NotAName),
            FetchError::Host(HostError::UpperCase),
            FetchError::Host(HostError::AddressLiteral),
            FetchError::Host(HostError::SingleLabel),
            FetchError::Host(HostError::TrailingDot),
            FetchError::Host(HostError::SpecialUse),
            FetchError::PortNotListed,
            FetchError::Resolve,
            FetchError::NoAddress,
            FetchError::TooManyAddresses,
            FetchError::SpecialUse(special),
            FetchError::SpecialUse(isatap),
            FetchError::SpecialUse(embedded),
            FetchError::Connect,
            FetchError::Certificate,
            FetchError::Tls,
            FetchError::Peer,
            FetchError::Interrupted,
            FetchError::Deadline,
            FetchError::Redirect(302),
            FetchError::Gone(410),
            FetchError::Status(503),
            FetchError::HeadersTooLarge,
            FetchError::MediaType,
            FetchError::ContentEncoding,
            FetchError::TooLarge,
            FetchError::Guard,
            FetchError::Busy,
            FetchError::Function,
        ] {
            assert_eq!(travel(Err(error), FetchKind::Document), Err(error));
        }
    }

    /// FET-05, FET-06, FET-10: what the fetching side says is checked again, against the request.
    #[test]
    fn an_answer_that_breaks_the_rules_is_refused_whoever_vouches_for_it() {
        let check = |kind, change: fn(&mut Fetched)| {
            let mut answer = fetched();
            change(&mut answer);
            travel(Ok(answer), kind)
        };
        let large =
            |answer: &mut Fetched| answer.body = vec![b' '; super::super::DOCUMENT_BYTES_MAX + 1].into();
        assert_eq!(check(FetchKind::Document, large), Err(FetchError::TooLarge));
        assert!(check(FetchKind::Keys, large).is_ok());
        let html = |answer: &mut Fetched| answer.media_type = "text/html".to_owned();
        assert_eq!(check(FetchKind::Document, html), Err(FetchError::MediaType));
        assert_eq!(check(FetchKind::Logo, |_| ()), Err(FetchError::MediaType));
        let inside = |answer: &mut Fetched| answer.address = "169.254.169.254".parse().unwrap();
        assert!(matches!(check(FetchKind::Document, inside), Err(FetchError::SpecialUse(_))));
        let lines = |answer: &mut Fetched| answer.cache.cache_control = vec![String::new(); HEADER_LINES_MAX];
        assert_eq!(check(FetchKind::Document, lines), Err(FetchError::HeadersTooLarge));
        let long = |answer: &mut Fetched| answer.cache.age = Some("1".repeat(HEADER_BYTES_MAX));
        assert_eq!(check(FetchKind::Document, long), Err(FetchError::HeadersTooLarge));
    }

    #[test]
    fn an_answer_of_another_shape_is_none() {
        for json in [
            "null",
            "{}",
            r#"{"refused":{"reason":"new"}}"#,
            r#"{"errorMessage":"boom","errorType":"x"}"#,
            r#"{"fetched":{"body":""}}"#,
        ] {
            assert!(serde_json::from_str::<AnswerForm>(json).is_err(), "{json}");
        }
        let AnswerForm::Fetched(mut form) = AnswerForm::from(Ok(fetched())) else { unreachable!() };
        form.body = "no base64!".to_owned();
        let answer = AnswerForm::Fetched(form).check(&request(FetchKind::Document), NOW, NOW);
        assert_eq!(answer, Err(FetchError::Function));
        let refused = RefusedForm::SpecialUse { block: "<script>".to_owned() };
        assert_eq!(FetchError::from(refused), FetchError::Function);
    }
}
