use rustls::pki_types::pem::PemObject;

use super::*;
use crate::fetch::DOCUMENT_BYTES_MAX;
use crate::fetch::FailureKind;
use crate::testing::coding::Coding;
use crate::testing::metadata_host::{Answer, MetadataHost, Response as HostResponse, ServerCertificate};
use crate::testing::resolver::ScriptedResolver;

const HOST: &str = "client.test";
/// Ample for loopback on a busy machine, where an answer is expected.
const PATIENT: Duration = Duration::from_secs(20);
/// For answers that never come.
const HURRIED: Duration = Duration::from_millis(250);

struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_epoch_seconds(1_795_600_000)
    }
}

fn guard(settings: GuardSettings, resolver: ScriptedResolver) -> (GuardedFetcher, Arc<ScriptedResolver>) {
    let resolver = Arc::new(resolver);
    let fetcher = GuardedFetcher::new(settings, resolver.clone(), Arc::new(FixedClock)).unwrap();
    (fetcher, resolver)
}

/// Settings that let `host` be dialled and trust its authority.
fn settings_for(host: &MetadataHost, deadline: Duration) -> GuardSettings {
    GuardSettings {
        deadline,
        development: vec![host.development_host().unwrap()],
        development_roots: vec![CertificateDer::from_pem_slice(host.ca_pem().as_bytes()).unwrap()],
        ..GuardSettings::new("https://as.example")
    }
}

fn document(url: &str) -> FetchRequest {
    FetchRequest { url: Url::parse(url).unwrap(), kind: FetchKind::Document }
}

/// Fetches `/c` from a fresh host that answers `answer`.
async fn fetch_within(answer: impl Into<Answer>, deadline: Duration) -> Result<Fetched, FetchError> {
    let host = MetadataHost::start(HOST).await.unwrap();
    host.set("/c", answer);
    let (fetcher, _) = guard(settings_for(&host, deadline), ScriptedResolver::default());
    fetcher.fetch(&document(&host.url("/c"))).await
}

async fn fetch(answer: impl Into<Answer>) -> Result<Fetched, FetchError> {
    fetch_within(answer, PATIENT).await
}

/// FET-08, CAC-14, F13: what is sent, what comes back.
#[tokio::test]
async fn a_document_is_fetched_with_fixed_headers() {
    let host = MetadataHost::start(HOST).await.unwrap();
    let answer = HostResponse::status(200)
        .header("Content-Type", "Application/vnd.x+JSON; charset=utf-8")
        .header("Cache-Control", "max-age=600")
        .header("cache-control", "private")
        .header("Expires", "0")
        .header("Age", "5")
        .header("Set-Cookie", "a=b")
        .body("{}");
    host.set("/c", answer);
    let (fetcher, resolver) = guard(settings_for(&host, PATIENT), ScriptedResolver::default());
    let fetched = fetcher.fetch(&document(&host.url("/c"))).await.unwrap();
    assert_eq!(fetched.body, "{}");
    assert_eq!(fetched.media_type, "application/vnd.x+json");
    assert_eq!(fetched.cache.cache_control, ["max-age=600", "private"]);
    assert_eq!((fetched.cache.expires, fetched.cache.age.as_deref()), (vec!["0".to_owned()], Some("5")));
    assert_eq!(fetched.address, host.address().ip());
    assert_eq!(resolver.asked(HOST), 0, "a development name is never looked up");

    fetcher.fetch(&document(&host.url("/c"))).await.unwrap();
    assert_eq!(host.connections(), 2, "nothing is kept between fetches");
    let [first, second] = &host.requests()[..] else { panic!("two requests") };
    assert_eq!(first, second, "no cookie, no condition, nothing learned");
    assert!(!second.resumed, "the certificate is proved each time");
    let mut lines: Vec<_> = first.head.to_ascii_lowercase().lines().map(str::to_owned).collect();
    lines.sort();
    let version = env!("CARGO_PKG_VERSION");
    let expected = [
        String::new(),
        "accept-encoding: identity".into(),
        "accept: application/json".into(),
        "get /c http/1.1".into(),
        format!("host: {HOST}:{}", host.address().port()),
        format!("user-agent: nameplate/{version} (+https://as.example)"),
    ];
    assert_eq!(lines, expected);
}

/// FET-02, FET-03, F01 to F03, CVE-2026-32236: 200 and nothing else; a redirect's target hears nothing.
#[tokio::test]
async fn every_status_but_200_is_a_failure() {
    for status in [301, 302, 303, 307, 308] {
        let host = MetadataHost::start(HOST).await.unwrap();
        host.set("/c", HostResponse::json("{}").header("Location", &host.url("/elsewhere")));
        let mut moved = HostResponse::json("{}").header("Location", &host.url("/elsewhere"));
        moved.status = status;
        host.set("/c", moved);
        host.set("/elsewhere", HostResponse::json("{}"));
        let (fetcher, _) = guard(settings_for(&host, PATIENT), ScriptedResolver::default());
        let error = fetcher.fetch(&document(&host.url("/c"))).await.unwrap_err();
        assert_eq!((error, error.kind()), (FetchError::Redirect(status), FailureKind::Deterministic));
        let paths: Vec<_> = host.requests().into_iter().map(|seen| seen.path).collect();
        assert_eq!(paths, ["/c"]);
    }
    let cases = [
        (201, FetchError::Status(201), FailureKind::Deterministic),
        (203, FetchError::Status(203), FailureKind::Deterministic),
        (204, FetchError::Status(204), FailureKind::Deterministic),
        (206, FetchError::Status(206), FailureKind::Deterministic),
        (304, FetchError::Redirect(304), FailureKind::Deterministic),
        (400, FetchError::Status(400), FailureKind::Deterministic),
        (401, FetchError::Status(401), FailureKind::Deterministic),
        (403, FetchError::Status(403), FailureKind::Transient),
        (404, FetchError::Gone(404), FailureKind::Gone),
        (410, FetchError::Gone(410), FailureKind::Gone),
        (429, FetchError::Status(429), FailureKind::Transient),
        (500, FetchError::Status(500), FailureKind::Transient),
        (503, FetchError::Status(503), FailureKind::Transient),
    ];
    for (status, expected, kind) in cases {
        let mut response = HostResponse::json("{}");
        response.status = status;
        let error = fetch(response).await.unwrap_err();
        assert_eq!((error, error.kind()), (expected, kind), "{status}");
    }
}

/// FET-05, F12, F13: JSON and its relatives, stated exactly once.
#[tokio::test]
async fn other_media_types_are_not_read() {
    for accepted in
        ["application/json", "APPLICATION/JSON", "application/json;charset=utf-8", "application/a+json"]
    {
        let response = HostResponse::status(200).header("Content-Type", accepted).body("{}");
        assert!(fetch(response).await.is_ok(), "{accepted}");
    }
    for refused in [
        "text/html",
        "text/json",
        "application/jsonp",
        "application/+json",
        "application/json, text/html",
        "",
    ] {
        let response = HostResponse::status(200).header("Content-Type", refused).body("{}");
        assert_eq!(fetch(response).await, Err(FetchError::MediaType), "{refused}");
    }
    assert_eq!(fetch(HostResponse::status(200).body("{}")).await, Err(FetchError::MediaType));
    let twice = HostResponse::json("{}").header("Content-Type", "application/json");
    assert_eq!(fetch(twice).await, Err(FetchError::MediaType));
    assert!(FetchKind::Logo.accepts("image/png") && !FetchKind::Logo.accepts("image/svg+xml"));
    assert!(FetchKind::Keys.accepts("application/jwk-set+json") && !FetchKind::Keys.accepts("image/png"));
}

/// FET-06, F08: bytes are counted while they come, whatever length was promised.
#[tokio::test]
async fn a_body_is_bounded_to_the_byte() {
    let fetched = fetch(HostResponse::json(vec![b' '; DOCUMENT_BYTES_MAX])).await.unwrap();
    assert_eq!(fetched.body.len(), DOCUMENT_BYTES_MAX);
    let over = HostResponse::json(vec![b' '; DOCUMENT_BYTES_MAX + 1]);
    assert_eq!(fetch(over.clone()).await, Err(FetchError::TooLarge));

    let head = "HTTP/1.1 200 X\r\nContent-Type: application/json\r\n";
    let mut unstated = format!("{head}Connection: close\r\n\r\n").into_bytes();
    unstated.extend(&over.body);
    assert_eq!(fetch(Answer::Raw(unstated)).await, Err(FetchError::TooLarge));
    let mut chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for _ in 0..=DOCUMENT_BYTES_MAX {
        chunked.extend(b"1\r\n \r\n");
    }
    assert_eq!(fetch(Answer::Raw(chunked)).await, Err(FetchError::TooLarge));
    assert_eq!(fetch(Answer::EndlessBody).await, Err(FetchError::TooLarge));

    let host = MetadataHost::start(HOST).await.unwrap();
    host.set("/k", over);
    let (fetcher, _) = guard(settings_for(&host, PATIENT), ScriptedResolver::default());
    let keys = FetchRequest { kind: FetchKind::Keys, ..document(&host.url("/k")) };
    assert_eq!(fetcher.fetch(&keys).await.unwrap().body.len(), DOCUMENT_BYTES_MAX + 1);
}

/// FET-06, F09: what was not asked for is not unpacked; the bomb stays shut.
#[tokio::test]
async fn a_compressed_answer_is_refused_unread() {
    for coding in ["gzip", "br", "deflate", "zstd", "x-gzip", "identity, gzip", "aes128gcm"] {
        let response = HostResponse::json("\u{1f}").header("Content-Encoding", coding);
        assert_eq!(fetch(response).await, Err(FetchError::ContentEncoding), "{coding}");
    }
    for coding in Coding::ALL {
        for body in [coding.pack(b"{}"), coding.bomb(b"{}")] {
            assert!(body.len() < DOCUMENT_BYTES_MAX, "refused for its coding, not for its size");
            let response = HostResponse::json(body).header("Content-Encoding", coding.name());
            assert_eq!(fetch(response).await, Err(FetchError::ContentEncoding), "{coding:?}");
        }
    }
    assert!(fetch(HostResponse::json("{}").header("Content-Encoding", "Identity")).await.is_ok());
}

/// An answer's headers are bounded in number and in bytes.
#[tokio::test]
async fn headers_are_bounded() {
    let long = HostResponse::json("{}").header("X-Long", &"x".repeat(HEADER_BYTES_MAX));
    assert_eq!(fetch(long).await, Err(FetchError::HeadersTooLarge));
    let many = (0..=HEADER_LINES_MAX)
        .fold(HostResponse::json("{}"), |answer, n| answer.header(&format!("X-{n}"), "x"));
    assert_eq!(fetch(many).await, Err(FetchError::Interrupted));
    assert_eq!(fetch(Answer::EndlessHead).await, Err(FetchError::Interrupted));
}

/// FET-07, F10: one deadline over everything; a byte now and then does not extend it.
#[tokio::test]
async fn a_slow_host_meets_the_one_deadline() {
    let every = Duration::from_millis(20);
    let started = std::time::Instant::now();
    for slow in [Answer::DripBody { every }, Answer::DripHead { every }, Answer::Silence] {
        let error = fetch_within(slow, HURRIED).await.unwrap_err();
        assert_eq!((error, error.kind()), (FetchError::Deadline, FailureKind::Transient));
    }

    struct Never;
    impl Resolve for Never {
        fn resolve<'a>(&'a self, _: &'a str, _: u16) -> crate::fetch::dns::Resolving<'a> {
            Box::pin(std::future::pending())
        }
    }
    let settings = GuardSettings { deadline: HURRIED, ..GuardSettings::new("https://as.example") };
    let fetcher = GuardedFetcher::new(settings, Arc::new(Never), Arc::new(FixedClock)).unwrap();
    assert_eq!(fetcher.fetch(&document("https://app.example.com/c")).await, Err(FetchError::Deadline));
    assert!(started.elapsed() < FETCH_MAX, "four fetches of a quarter of a second each");
}

/// A host that hangs up or talks nonsense.
#[tokio::test]
async fn a_broken_answer_is_a_transient_failure() {
    for broken in [
        Answer::BreakOff(HostResponse::json("{\"a\": ")),
        Answer::Reset(HostResponse::json("{\"a\": ")),
        Answer::Raw(Vec::new()),
        Answer::Raw(b"SSH-2.0-x\r\n".to_vec()),
        Answer::Raw(b"HTTP/1.1 200 X\r\nContent-Type: appl".to_vec()),
        Answer::Raw(
            b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
                .to_vec(),
        ),
    ] {
        let error = fetch(broken).await.unwrap_err();
        assert_eq!((error, error.kind()), (FetchError::Interrupted, FailureKind::Transient));
    }
    let host = MetadataHost::start(HOST).await.unwrap();
    let (settings, url) = (settings_for(&host, PATIENT), host.url("/c"));
    drop(host);
    // The port was free a moment ago; whoever takes it next does not have the certificate.
    tokio::task::yield_now().await;
    let (fetcher, _) = guard(settings, ScriptedResolver::default());
    assert_eq!(fetcher.fetch(&document(&url)).await, Err(FetchError::Connect));
}

/// FET-09, F11: the certificate must be the host's own, current, and from a trusted root.
#[tokio::test]
async fn a_certificate_that_does_not_prove_the_host_is_refused() {
    let certificates =
        [ServerCertificate::Expired, ServerCertificate::SelfSigned, ServerCertificate::OtherHost];
    for certificate in certificates {
        let host = MetadataHost::start_with(HOST, certificate).await.unwrap();
        host.set("/c", HostResponse::json("{}"));
        let (fetcher, _) = guard(settings_for(&host, PATIENT), ScriptedResolver::default());
        let error = fetcher.fetch(&document(&host.url("/c"))).await.unwrap_err();
        assert_eq!(
            (error, error.kind()),
            (FetchError::Certificate, FailureKind::Deterministic),
            "{certificate:?}"
        );
        assert_eq!(host.requests(), [], "{certificate:?}");
    }
    // An unknown authority, although the host may be dialled.
    let host = MetadataHost::start(HOST).await.unwrap();
    let settings = GuardSettings { development_roots: Vec::new(), ..settings_for(&host, PATIENT) };
    let (fetcher, _) = guard(settings, ScriptedResolver::default());
    assert_eq!(fetcher.fetch(&document(&host.url("/c"))).await, Err(FetchError::Certificate));
}

/// FET-09, FET-11: a root of one's own speaks for the development names and for nobody else, even where
/// somebody else's host is at the other end.
#[tokio::test]
async fn a_root_for_development_names_is_no_root_for_the_world() {
    let public = "app.example.com";
    let host = MetadataHost::start(public).await.unwrap();
    host.set("/c", HostResponse::json("{}"));
    let development = vec![DevelopmentHost::new(HOST, 8443, IpAddr::from([127, 0, 0, 1])).unwrap()];
    let settings = GuardSettings {
        deadline: PATIENT,
        development,
        development_roots: host.roots(),
        ports: vec![host.address().port()],
        ..GuardSettings::new("https://as.example")
    };
    let (fetcher, _) = guard(settings, ScriptedResolver::default());
    let request = document(&host.url("/c"));
    let target = fetcher.target(&request.url).unwrap();
    // As if the name had resolved to a public address with that certificate.
    let refused = fetcher.exchange(&request, &target, &[host.address()], Timestamp::default()).await;
    assert_eq!(refused, Err(FetchError::Certificate));
    assert_eq!(host.requests(), []);
}

/// FET-10, FET-12, FET-13, F04, F05, F07: one bad address spoils the name, and nothing is dialled.
#[tokio::test]
async fn a_name_with_any_address_that_is_not_public_is_refused_whole() {
    let host = MetadataHost::start(HOST).await.unwrap();
    let port = host.address().port();
    let mixed: [&[&str]; 9] = [
        &["10.0.0.5"],                         // F04
        &["93.184.216.34", "169.254.169.254"], // F05
        &["169.254.169.254", "93.184.216.34"],
        &["::ffff:127.0.0.1"], // F07
        &["64:ff9b::7f00:1"],
        &["2606:4700:4700::1111", "fd00:ec2::254"],
        &["127.0.0.1"],
        &["::1"],
        &["0.0.0.0"],
    ];
    for answers in mixed {
        let addresses: Vec<IpAddr> = answers.iter().map(|address| address.parse().unwrap()).collect();
        let resolver = ScriptedResolver::default().with("app.example.com", &addresses);
        let settings = GuardSettings { ports: vec![port], ..settings_for(&host, PATIENT) };
        let (fetcher, resolver) = guard(settings, resolver);
        let error = fetcher.fetch(&document(&format!("https://app.example.com:{port}/c"))).await.unwrap_err();
        assert!(matches!(error, FetchError::SpecialUse(_)), "{answers:?}: {error}");
        assert_eq!(error.kind(), FailureKind::Deterministic);
        assert_eq!(resolver.asked("app.example.com"), 1);
    }
    assert_eq!(host.connections(), 0);
}

/// FET-13, F06: the answer that was checked is the one that is dialled; the name is not asked again.
#[tokio::test]
async fn a_name_that_rebinds_gains_nothing() {
    let script = vec![vec![IpAddr::from([93, 184, 216, 34])], vec![IpAddr::from([127, 0, 0, 1])]];
    let resolver = ScriptedResolver::default().with_script("app.example.com", script);
    let (fetcher, resolver) = guard(GuardSettings::new("https://as.example"), resolver);
    let url = Url::parse("https://app.example.com/c").unwrap();
    let target = fetcher.target(&url).unwrap();
    let checked = fetcher.checked_addresses(&target).await.unwrap();
    assert_eq!(checked, [SocketAddr::from(([93, 184, 216, 34], 443))]);
    assert_eq!(resolver.asked("app.example.com"), 1);
    // The second answer is refused like any first one.
    assert!(matches!(fetcher.checked_addresses(&target).await, Err(FetchError::SpecialUse(_))));

    // Dialling takes the addresses it is given: this name's script would lead elsewhere, and is not read.
    let host = MetadataHost::start(HOST).await.unwrap();
    host.set("/c", HostResponse::json("{}"));
    let resolver = ScriptedResolver::default().with(HOST, &[IpAddr::from([93, 184, 216, 34])]);
    let (fetcher, resolver) = guard(settings_for(&host, PATIENT), resolver);
    let request = document(&host.url("/c"));
    let target = fetcher.target(&request.url).unwrap();
    let fetched = fetcher.exchange(&request, &target, &[host.address()], Timestamp::default()).await.unwrap();
    assert_eq!((fetched.address, resolver.asked(HOST)), (host.address().ip(), 0));
    // Without a checked address there is nowhere to go.
    assert_eq!(
        fetcher.exchange(&request, &target, &[], Timestamp::default()).await,
        Err(FetchError::Connect)
    );
}

/// F04: names that do not exist, have no address, or far too many.
#[tokio::test]
async fn a_name_needs_an_address_and_not_a_crowd() {
    let crowd: Vec<IpAddr> =
        (0..=ADDRESSES_MAX).map(|n| IpAddr::from([8, 8, 8, u8::try_from(n).unwrap()])).collect();
    let resolver =
        ScriptedResolver::default().with("empty.example.com", &[]).with("crowd.example.com", &crowd);
    let (fetcher, _) = guard(GuardSettings::new("https://as.example"), resolver);
    for (host, error, kind) in [
        ("unknown.example.com", FetchError::Resolve, FailureKind::Transient),
        ("empty.example.com", FetchError::NoAddress, FailureKind::Transient),
        ("crowd.example.com", FetchError::TooManyAddresses, FailureKind::Deterministic),
    ] {
        assert_eq!(fetcher.fetch(&document(&format!("https://{host}/c"))).await, Err(error), "{host}");
        assert_eq!(error.kind(), kind);
    }
}

/// URL-09, URL-13, FET-10, FET-11, FET-15, D13, D20: what the URL alone decides, without a look-up.
#[tokio::test]
async fn a_url_that_cannot_be_public_is_refused_before_the_resolver() {
    let development = vec![DevelopmentHost::new(HOST, 8443, IpAddr::from([127, 0, 0, 1])).unwrap()];
    let settings = GuardSettings { development, ..GuardSettings::new("https://as.example") };
    let (fetcher, resolver) = guard(settings, ScriptedResolver::default());
    let literal = FetchError::Host(HostError::AddressLiteral);
    let special = FetchError::Host(HostError::SpecialUse);
    for (url, error) in [
        ("http://app.example.com/c", FetchError::Url),
        ("ftp://app.example.com/c", FetchError::Url),
        ("data:application/json,{}", FetchError::Url),
        ("file:///etc/passwd", FetchError::Url),
        ("https://user@app.example.com/c", FetchError::Url),
        ("https://:pass@app.example.com/c", FetchError::Url),
        ("https://app.example.com/c#f", FetchError::Url),
        ("https://10.0.0.1/k", literal),
        ("https://8.8.8.8/k", literal),
        ("https://2130706433/k", literal),
        ("https://[::1]/k", literal),
        ("https://[::ffff:10.0.0.1]/k", literal),
        ("https://localhost/k", special),
        ("https://metadata.google.internal/k", special),
        ("https://client.test/c", special),
        ("https://client.test:8444/c", special),
        ("https://sub.client.test:8443/c", special),
        ("https://intranet/k", FetchError::Host(HostError::SingleLabel)),
        ("https://app.example.com./k", FetchError::Host(HostError::TrailingDot)),
        ("https://app.example.com:8443/k", FetchError::PortNotListed),
        ("https://app.example.com:22/k", FetchError::PortNotListed),
    ] {
        assert_eq!(fetcher.fetch(&document(url)).await, Err(error), "{url}");
        assert_eq!(error.kind(), FailureKind::Deterministic, "{url}");
        let host = Url::parse(url).unwrap().host_str().unwrap_or_default().to_owned();
        assert_eq!(resolver.asked(&host), 0, "{url}");
    }
}

/// FET-20: what is logged or shown names neither host nor address nor body.
#[tokio::test]
async fn errors_carry_no_url_and_no_body() {
    let mut response = HostResponse::json("secret-body");
    response.status = 500;
    let error = fetch(response).await.unwrap_err();
    let text = format!("{error} {error:?}");
    for leak in [HOST, "127.0.0.1", "/c", "secret"] {
        assert!(!text.contains(leak), "{text}");
    }
    assert!(matches!(
        GuardedFetcher::new(
            GuardSettings::new("bad\nissuer"),
            Arc::new(ScriptedResolver::default()),
            Arc::new(FixedClock)
        ),
        Err(GuardError::UserAgent)
    ));
}

/// FET-07, FET-11: what a deployed program starts from.
#[test]
fn a_deployed_guard_has_no_exceptions() {
    let settings = GuardSettings::new("https://as.example");
    assert_eq!((settings.ports, settings.deadline), (vec![443], Duration::from_secs(5)));
    assert!(settings.development.is_empty() && settings.development_roots.is_empty());
}
