//! What a person has allowed the same client before: so that the same need not be asked twice (AUT-29), and
//! that more can be asked for without losing what is there.
//!
//! Nothing is stored for it besides the grants themselves, so what a person or an administrator revokes is
//! not remembered either.

use shared::aws::Connection;
use shared::client::redirect::{RedirectKind, RedirectUri};
use shared::grant::{Grant, Stage};
use shared::oauth::Scope;
use shared::resolver::Client;
use shared::tool::Mechanism;

use crate::App;
use crate::error::PageError;
use crate::session::Session;

/// What is known of earlier decisions on one client, resource, and redirect.
#[derive(Clone, Debug, Default)]
pub(crate) struct Earlier {
    /// For this resource, and answered at the same https origin.
    here: Vec<Connection>,
    /// Whether the person has used this client before with another document, and never with this one.
    pub(crate) document_changed: bool,
}

/// The parts of a request that decide which earlier decisions are about the same.
#[derive(Clone, Copy)]
pub(crate) struct Same<'a> {
    pub(crate) redirect_uri: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) document_digest: Option<&'a str>,
}

impl Earlier {
    /// Sorts out of `connections`, all of one person with one client, what bears on this request.
    pub(crate) fn new(connections: Vec<Connection>, same: Same<'_>) -> Self {
        let used = !connections.is_empty();
        let with_this =
            |connection: &Connection| connection.document_digest.as_deref() == same.document_digest;
        let document_changed = used && !connections.iter().any(with_this);
        let origin = https_origin(same.redirect_uri);
        let here = connections
            .into_iter()
            .filter(|connection| {
                // AUT-29: any program can listen on loopback, so nothing is remembered there.
                origin.is_some()
                    && https_origin(&connection.redirect_uri) == origin
                    && connection.resource == same.resource
            })
            .collect();
        Self { here, document_changed }
    }

    /// Whether the person knows this client at this place.
    pub(crate) fn is_known_here(&self) -> bool {
        !self.here.is_empty()
    }

    /// Everything allowed before.
    pub(crate) fn scope(&self) -> Scope {
        union(self.here.iter().map(|connection| &connection.scope))
    }

    /// A grant that already says yes to `scope` of this very client, read again by its key: an index may be
    /// a moment late, and what was revoked must not count.
    pub(crate) async fn covers(
        &self,
        app: &App,
        session: &Session,
        client: &Client,
        scope: &Scope,
    ) -> Result<Option<Grant>, PageError> {
        // A dynamic registration is anybody's word; a document or an administrator's entry is not.
        let assured = match client.mechanism {
            Mechanism::MetadataDocument => client.digest.is_some(),
            Mechanism::PreRegistered => true,
            Mechanism::Dynamic => false,
        };
        let fitting = self.here.iter().find(|connection| {
            assured && connection.document_digest == client.digest && scope.is_subset(&connection.scope)
        });
        let Some(fitting) = fitting else { return Ok(None) };
        let now = app.clock.now();
        let grant = app.grants.read(fitting.id).await?.filter(|grant| {
            let live = match &grant.stage {
                Stage::Active(active) => now < active.idle_expires_at && now < active.ends_at,
                Stage::Approved { .. } | Stage::Revoked => false,
            };
            live && grant.subject == session.subject
                && grant.client_id == client.id.as_str()
                && grant.tool == client.tool
                && grant.tool_epoch == client.tool_epoch
                && grant.document_digest == client.digest
                && scope.is_subset(&grant.scope)
        });
        Ok(grant)
    }
}

/// All tokens of `scopes`, each once. What does not fit into one scope is left out.
pub(crate) fn union<'a>(scopes: impl IntoIterator<Item = &'a Scope>) -> Scope {
    scopes
        .into_iter()
        .fold(Scope::default(), |sum, scope| Scope::parse(&format!("{sum} {scope}")).unwrap_or(sum))
}

fn https_origin(uri: &str) -> Option<String> {
    RedirectUri::parse(uri).ok().filter(|uri| uri.kind() == RedirectKind::Https).map(|uri| uri.origin())
}

#[cfg(test)]
mod tests {
    use shared::grant::GrantId;

    use super::*;

    fn connection(redirect_uri: &str, resource: &str, digest: &str) -> Connection {
        Connection {
            id: GrantId::new([1; 16]),
            redirect_uri: redirect_uri.to_owned(),
            resource: resource.to_owned(),
            scope: Scope::parse("a b").unwrap(),
            document_digest: Some(digest.to_owned()),
        }
    }

    /// AUT-29, RU151, AR250: the same https origin and the same resource, and nothing else.
    #[test]
    fn only_the_same_origin_and_resource_count() {
        let same = |redirect_uri| Same { redirect_uri, resource: "r", document_digest: Some("d") };
        let known = |earlier: Connection, uri| Earlier::new(vec![earlier], same(uri)).is_known_here();
        let web = "https://app.example/callback";
        assert!(known(connection(web, "r", "d"), web));
        assert!(known(connection("https://app.example/other", "r", "d"), web));
        assert!(!known(connection("https://app.example:444/callback", "r", "d"), web));
        assert!(!known(connection("https://evil.example/callback", "r", "d"), web));
        assert!(!known(connection(web, "other", "d"), web));
        let loopback = "http://127.0.0.1:4000/callback";
        assert!(!known(connection(loopback, "r", "d"), loopback));
        let private = "com.example.app:/callback";
        assert!(!known(connection(private, "r", "d"), private));
    }

    #[test]
    fn a_document_counts_as_changed_only_for_somebody_who_knew_another_one() {
        let same = Same { redirect_uri: "http://localhost/c", resource: "r", document_digest: Some("new") };
        let changed = |connections| Earlier::new(connections, same).document_changed;
        assert!(!changed(vec![]));
        assert!(changed(vec![connection("http://localhost/c", "r", "old")]));
        let both = ["old", "new"].map(|digest| connection("http://localhost/c", "x", digest)).to_vec();
        assert!(!changed(both));
    }

    #[test]
    fn a_union_has_each_token_once() {
        let scope = |text| Scope::parse(text).unwrap();
        assert_eq!(union([&scope("a b"), &scope("b c")]).to_string(), "a b c");
    }
}
