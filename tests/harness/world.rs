//! A world: one database, one clock, the metadata hosts out there. Instances of the server live in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use authorize::sign_in::UserAuthenticator;
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use http::Request;
use http_body_util::BodyExt as _;
use local::admin_key::{ARN, LocalCaller};
use local::dynamodb::{ANY_PORT, DynamoDb as Embedded};
use local::key_wrap::LocalKeyWrap;
use local::sign_in::LocalSignIn;
use shared::aws::{
    AuditStore, DocumentStore, DynamoDb, FailureStore, Governing, GrantStore, Introduction, KeyStore,
    Keyring, PolicyStore, RateStore, RecordReader, RegistrationStore, ReplayStore, ToolStore,
};
use shared::cimd::copies::{Copies, WAIT_MAX};
use shared::cimd::documents::Documents;
use shared::cimd::keys::ClientKeySets;
use shared::client::id::ClientId;
use shared::client::registration::{Registration, SecretDigest};
use shared::clock::Clock;
use shared::fetch::Fetcher;
use shared::fetch::guard::{GuardSettings, GuardedFetcher};
use shared::fetch::host::DevelopmentHost;
use shared::jose::{KeyWrap, WrapContext, WrapError, Wrapping};
use shared::oauth::Issuer;
use shared::policy::{Administration, ArnPattern, Policy};
use shared::random::{OsRandom, Random};
use shared::resolver::Resolver;
use shared::testing::calls::Calls;
use shared::testing::clock::TestClock;
use shared::testing::fetcher::ScriptedFetcher;
use shared::testing::metadata_host::MetadataHost;
use shared::testing::resolver::ScriptedResolver;
use shared::tool::{Introduced, Mechanism, Status, Tool, ToolId};
use tower::ServiceExt as _;

use crate::administrator::administrator_key;
use crate::client::{CLIENT_ID, LOOPBACK_CLIENT_ID};
use crate::response::Answer;

/// The issuer of every story.
pub const ISSUER: &str = "https://as.example";

/// The MCP server of every story.
pub const RESOURCE: &str = "https://mcp.example/mcp";

/// The secret by which that MCP server asks about tokens.
pub const RESOURCE_SECRET: &str = "the-secret-of-the-notes-server";

const PREFIX: &str = "test-";

/// One database, one clock, one outside.
pub struct World {
    /// The clock of all instances.
    pub clock: Arc<TestClock>,
    /// What the metadata hosts answer; counts.
    pub fetcher: Arc<ScriptedFetcher>,
    /// A fetcher in its place, and the names on this machine that may be fetched.
    outside: Option<(Arc<dyn Fetcher>, Vec<DevelopmentHost>)>,
    embedded: Embedded,
    authenticator: Arc<dyn UserAuthenticator>,
    /// What the keys are wrapped with; can be switched off.
    pub wrap: Arc<BreakableWrap>,
    founders: Vec<ArnPattern>,
}

impl World {
    /// A world in which the stories' clients publish their documents and the stories' resource is
    /// registered.
    pub async fn new() -> Self {
        Self::with_policy(&policy()).await
    }

    /// A world with another policy.
    pub async fn with_policy(policy: &Policy) -> Self {
        let clock = Arc::new(TestClock::default());
        let fetcher = Arc::new(ScriptedFetcher::new(Arc::clone(&clock) as Arc<dyn Clock>));
        fetcher.answer(CLIENT_ID, &document(CLIENT_ID), None);
        fetcher.answer(LOOPBACK_CLIENT_ID, &loopback_document(), None);
        let embedded = Embedded::start(ANY_PORT, None).await.unwrap();
        let wrap = Arc::new(BreakableWrap::new(LocalKeyWrap::in_memory(&OsRandom).unwrap()));
        let tables = local::table::create(embedded.client(), PREFIX).await.unwrap();
        let issuer = Issuer::parse(ISSUER).unwrap();
        let keys = KeyStore::new(tables.clone(), issuer);
        keys.rotate_keys(wrap.as_ref(), clock.as_ref(), &OsRandom).await.unwrap();
        assert!(PolicyStore::new(tables).replace(0, policy, "tests", clock.now()).await.unwrap());
        // Where a policy gives roles, they decide alone.
        let founded = policy.administration == Administration::default();
        let founders = if founded { vec![ArnPattern::parse(ARN).unwrap()] } else { Vec::new() };
        Self { clock, fetcher, outside: None, embedded, authenticator: Arc::new(LocalSignIn), wrap, founders }
    }

    /// From now on instances sign people in with `authenticator`.
    pub fn sign_in_at(&mut self, authenticator: Arc<dyn UserAuthenticator>) {
        self.authenticator = authenticator;
    }

    /// From now on instances fetch through the guard, from `host` and from what `resolver` answers, and give up
    /// after `deadline`.
    pub fn fetch_from(&mut self, host: &MetadataHost, resolver: ScriptedResolver, deadline: Duration) {
        let development = vec![host.development_host().unwrap()];
        let settings = GuardSettings {
            deadline,
            development: development.clone(),
            development_roots: host.roots(),
            ..GuardSettings::new(ISSUER)
        };
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let guard = GuardedFetcher::new(settings, Arc::new(resolver), clock).unwrap();
        self.outside = Some((Arc::new(guard), development));
    }

    /// Another instance of the server: own memory, same database, its keys at hand.
    pub async fn instance(&self) -> Instance {
        self.instance_with_wait(WAIT_MAX).await
    }

    /// An instance in which nobody waits longer than `wait` for a fetch of somebody else.
    pub async fn instance_with_wait(&self, wait: Duration) -> Instance {
        let instance = self.cold(wait);
        instance.keys.ready().await.unwrap();
        instance.calls.take();
        instance
    }

    /// The keys of this world, for administrators.
    pub fn key_store(&self) -> KeyStore {
        let tables = DynamoDb::new(self.embedded.client(), PREFIX.to_owned());
        KeyStore::new(tables, Issuer::parse(ISSUER).unwrap())
    }

    /// An instance that has not read anything yet.
    pub fn cold_instance(&self) -> Instance {
        self.cold(WAIT_MAX)
    }

    fn cold(&self, wait: Duration) -> Instance {
        let calls = Calls::default();
        let tables = DynamoDb::new(calls.count(&self.embedded.client()), PREFIX.to_owned());
        let issuer = Issuer::parse(ISSUER).unwrap();
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let random: Arc<dyn Random> = Arc::new(OsRandom);
        let store = KeyStore::new(tables.clone(), issuer.clone());
        let wrap = Arc::clone(&self.wrap) as Arc<dyn KeyWrap>;
        let keys = Arc::new(Keyring::new(store, wrap, Arc::clone(&clock)));
        let policies = Arc::new(PolicyStore::new(tables.clone()));
        let (fetcher, development) = match &self.outside {
            Some((fetcher, development)) => (Arc::clone(fetcher), development.clone()),
            None => (Arc::clone(&self.fetcher) as Arc<dyn Fetcher>, Vec::new()),
        };
        let copies =
            Copies::new(Arc::clone(&clock), Arc::clone(&random), fetcher, DocumentStore::new(tables.clone()))
                .with_wait(wait);
        let documents = Documents::new(copies.clone());
        let records = RecordReader::new(tables.clone());
        let resolver = Resolver::new(
            issuer.clone(),
            Arc::clone(&clock),
            documents.clone(),
            records.clone(),
            Governing::new(tables.clone()),
            AuditStore::new(tables.clone(), 3),
            development,
        );
        let resolver = Arc::new(resolver);
        let client_keys = ClientKeySets::new(copies);
        let authorize = authorize::App {
            issuer: issuer.clone(),
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            keys: Arc::clone(&keys),
            grants: GrantStore::new(tables.clone()),
            records: records.clone(),
            tools: ToolStore::new(tables.clone()),
            registrations: RegistrationStore::new(tables.clone()),
            policies: Arc::clone(&policies),
            resolver: Arc::clone(&resolver),
            audit: AuditStore::new(tables.clone(), 1),
            authenticator: Arc::clone(&self.authenticator),
        };
        let register = register::App {
            issuer: issuer.clone(),
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            keys: Arc::clone(&keys),
            records: records.clone(),
            registrations: RegistrationStore::new(tables.clone()),
            rates: Arc::new(register::Rates::new(RateStore::new(tables.clone()))),
            policies: Arc::clone(&policies),
        };
        let token = token::App {
            issuer,
            clock,
            random,
            keys: Arc::clone(&keys),
            grants: GrantStore::new(tables.clone()),
            records,
            tools: ToolStore::new(tables.clone()),
            registrations: RegistrationStore::new(tables.clone()),
            policies: Arc::clone(&policies),
            audit: AuditStore::new(tables.clone(), 2),
            replays: ReplayStore::new(tables.clone()),
            failures: token::Failures::new(FailureStore::new(tables.clone())),
            resolver,
            client_keys: client_keys.clone(),
        };
        let callers = LocalCaller::new(administrator_key(), Arc::clone(&self.clock) as Arc<dyn Clock>);
        let admin = admin::App {
            issuer: Issuer::parse(ISSUER).unwrap(),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            random: Arc::new(OsRandom),
            callers: Arc::new(callers),
            founders: self.founders.clone(),
            keys: Arc::clone(&keys),
            key_store: KeyStore::new(tables.clone(), Issuer::parse(ISSUER).unwrap()),
            wrap: Arc::clone(&self.wrap) as Arc<dyn KeyWrap>,
            tools: ToolStore::new(tables.clone()),
            catalogue: Arc::default(),
            registrations: RegistrationStore::new(tables.clone()),
            documents: documents.clone(),
            client_keys: client_keys.clone(),
            development: Vec::new(),
            grants: GrantStore::new(tables.clone()),
            governing: Governing::new(tables.clone()),
            policies: Arc::clone(&policies),
            audit: AuditStore::new(tables.clone(), 0),
        };
        Instance {
            admin: admin::router(admin),
            authorize: authorize::router(authorize),
            register: register::router(register),
            token: token::router(token),
            calls,
            keys,
            policies,
            dynamodb: self.embedded.client(),
            tables,
            documents,
            client_keys,
        }
    }

    /// Enters a client as an administrator does, with `metadata` as stored and this secret, if any. Returns
    /// its registration.
    pub async fn register(
        &self,
        client_id: &str,
        mechanism: Mechanism,
        metadata: serde_json::Value,
        secret: Option<&str>,
    ) -> Registration {
        let tables = DynamoDb::new(self.embedded.client(), PREFIX.to_owned());
        let now = self.clock.now();
        let introduced = Introduced { at: now, by: "administrator".to_owned(), mechanism };
        let tool = ToolId::parse("registered-agent").unwrap();
        let id = ClientId::parse(client_id).unwrap();
        let metadata = serde_json::from_value(metadata).unwrap();
        let mut registration = Registration::new(id, tool.clone(), introduced.clone(), Some(metadata));
        registration.secrets.extend(secret.map(|secret| SecretDigest {
            sha256: sha256(secret),
            created_at: now,
            expires_at: None,
        }));
        let tool = Tool::new(tool, None, Status::Enabled, introduced);
        let tools = ToolStore::new(tables);
        assert_eq!(tools.introduce(&tool, &registration).await.unwrap(), Introduction::New);
        registration
    }

    /// Puts a changed registration in the place of the one it was made from.
    pub async fn replace_registration(&self, changed: &Registration) -> bool {
        let tables = DynamoDb::new(self.embedded.client(), PREFIX.to_owned());
        RegistrationStore::new(tables).replace(changed, changed.revision).await.unwrap()
    }

    /// Where the database listens.
    pub fn dynamodb_endpoint(&self) -> String {
        self.embedded.endpoint()
    }

    /// Stops the database: from then on every call to it fails.
    pub async fn stop_database(self) {
        self.embedded.stop().await;
    }
}

/// SHA-256 of `text` in base64url, as secrets are kept.
pub fn sha256(text: &str) -> String {
    use base64::Engine as _;
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest)
}

/// A wrapping service that can be switched off, as KMS can be away.
pub struct BreakableWrap {
    inner: LocalKeyWrap,
    away: AtomicBool,
    calls: AtomicUsize,
}

impl BreakableWrap {
    fn new(inner: LocalKeyWrap) -> Self {
        Self { inner, away: AtomicBool::new(false), calls: AtomicUsize::new(0) }
    }

    /// From now on every call fails, or none does.
    pub fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    /// How many calls there were since the last time this was asked.
    pub fn take_calls(&self) -> usize {
        self.calls.swap(0, Ordering::SeqCst)
    }

    fn answer<'a>(&self, answer: Wrapping<'a>) -> Wrapping<'a> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.away.load(Ordering::SeqCst) {
            return Box::pin(async { Err(WrapError::Unavailable) });
        }
        answer
    }
}

impl KeyWrap for BreakableWrap {
    fn wrap<'a>(&'a self, material: &'a [u8], context: WrapContext<'a>) -> Wrapping<'a> {
        self.answer(self.inner.wrap(material, context))
    }

    fn unwrap<'a>(&'a self, wrapped: &'a [u8], context: WrapContext<'a>) -> Wrapping<'a> {
        self.answer(self.inner.unwrap(wrapped, context))
    }
}

/// One instance of the server.
#[derive(Clone)]
pub struct Instance {
    admin: Router,
    authorize: Router,
    register: Router,
    token: Router,
    /// What it sent to DynamoDB.
    pub calls: Calls,
    /// Its keys.
    pub keys: Arc<Keyring>,
    /// Its view of the policy.
    pub policies: Arc<PolicyStore>,
    dynamodb: aws_sdk_dynamodb::Client,
    /// Its tables.
    pub tables: DynamoDb,
    /// Its metadata documents.
    pub documents: Documents,
    /// Its clients' key sets.
    pub client_keys: ClientKeySets,
}

impl Instance {
    /// Its DynamoDB client, for tampering.
    pub fn dynamodb_client(&self) -> aws_sdk_dynamodb::Client {
        self.dynamodb.clone()
    }

    /// Sends `request` to the function whose route it is.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        Answer::read(self.raw(request).await).await
    }

    /// As [`Self::send`], for an answer that is no text.
    pub async fn raw(&self, request: Request<Body>) -> Response {
        let path = request.uri().path();
        let is_of = |routes: &[(&str, &str)]| routes.iter().any(|(_, route)| *route == path);
        let router = if is_of(token::ROUTES) {
            &self.token
        } else if is_of(register::ROUTES) {
            &self.register
        } else if path.starts_with(admin::PREFIX) {
            &self.admin
        } else {
            &self.authorize
        };
        router.clone().oneshot(request).await.unwrap()
    }

    /// `GET path`, without cookies, where the answer is no text.
    pub async fn send_for_bytes(&self, path: &str) -> (u16, http::HeaderMap, Vec<u8>) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let response: Response = self.authorize.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (parts.status.as_u16(), parts.headers, bytes.to_vec())
    }

    /// `GET path`, without cookies.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// `POST path` with a form, without cookies.
    pub async fn post(&self, path: &str, form: String) -> Answer {
        let request = Request::post(path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(form))
            .unwrap();
        self.send(request).await
    }
}

fn policy() -> Policy {
    let json = serde_json::json!({
        "resources": [
            {
                "resource": RESOURCE,
                "name": "Notes",
                "scopes": [
                    {"name": "notes:read", "description": "read your notes"},
                    {"name": "notes:write", "description": "change your notes"},
                ],
                "default_scopes": ["notes:read"],
                "introspection_secrets": [sha256(RESOURCE_SECRET)],
            },
            {"resource": "https://mcp2.example", "scopes": [{"name": "files"}]},
        ],
    });
    Policy::from_json(&json.to_string()).unwrap()
}

/// The document of a web client at `client_id`.
pub fn document(client_id: &str) -> String {
    serde_json::json!({
        "client_id": client_id,
        "client_name": "Example Agent",
        "redirect_uris": ["https://app.example.com/callback", "https://app.example.com/other?tenant=1"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    })
    .to_string()
}

/// A document in the shape of Claude Code's: portless loopback redirects, no `application_type`.
pub fn loopback_document() -> String {
    serde_json::json!({
        "client_id": LOOPBACK_CLIENT_ID,
        "client_name": "Example Code",
        "redirect_uris": ["http://localhost/callback", "http://127.0.0.1/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    })
    .to_string()
}
