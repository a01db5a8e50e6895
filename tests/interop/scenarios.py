"""The scenarios: which client meets which server, and what must be true afterwards. `scenarios.py LOCAL_BIN [WORD...]`.

A scenario is a function with a sentence for a name, marked `@scenario()`; its first line names the requirements it proves
(docs/conformance.md). It gets a `World` and fails by an exception. With words, only the scenarios whose names contain all
of them run.
"""

from __future__ import annotations

import base64
import json
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from urllib.parse import urlencode

from browser import Browser
from callback import Callback
from world import SCOPE, SECRET, Documents, Exchange, Outcome, World, send

SCENARIOS: list[tuple[str, object, str]] = []
METADATA = "/.well-known/oauth-authorization-server"
SDKS = {"python_sdk": "python_sdk", "typescript_sdk": "typescript_sdk"}


def scenario(world: str = "both"):
    """Files a scenario under the world it runs in: `both` protected servers, or `one`."""

    def add(function):
        SCENARIOS.append((function.__name__.replace("_", " "), function, world))
        return function

    return add


def same(actual, expected, what: str) -> None:
    if actual != expected:
        raise AssertionError(f"{what}: expected {expected!r}, found {actual!r}")


def true(condition, what: str) -> None:
    if not condition:
        raise AssertionError(what)


# What holds in every scenario


def no_null(value, where: str) -> None:
    if value is None:
        raise AssertionError(f"null in {where}")
    if isinstance(value, dict):
        for key, item in value.items():
            no_null(item, f"{where}.{key}")
    if isinstance(value, list):
        for index, item in enumerate(value):
            no_null(item, f"{where}[{index}]")


def check_exchanges(world: World, exchanges: list[Exchange]) -> None:
    """Every answer, whatever it was asked."""
    for e in exchanges:
        where = f"{e.method} {e.path} ({e.status})"
        true(e.status < 500, f"{where}: server error")
        if e.json is not None:
            no_null(e.json, where)
        if e.path == "/token" and e.method == "POST":
            same(e.headers.get("cache-control"), "no-store", f"{where}: Cache-Control")
            true(e.headers.get("content-type", "").startswith("application/json"), f"{where}: Content-Type")
            if e.status == 200:
                same(e.json["token_type"].lower(), "bearer", f"{where}: token_type")
                same(set(e.json["scope"].split()) - {"offline_access"}, {SCOPE}, f"{where}: scope")
                true(
                    isinstance(e.json["expires_in"], int) and 0 < e.json["expires_in"] <= 600,
                    f"{where}: expires_in {e.json['expires_in']}",
                )
        if 300 <= e.status < 400 and e.method == "POST":
            same(e.status, 303, f"{where}: redirect after a form")
        if e.path.startswith("/authorize") and e.method != "OPTIONS":
            true("access-control-allow-origin" not in e.headers, f"{where}: CORS on a page")


def check_pages(pages: list[dict]) -> None:
    """Every page a person saw: no scripts, cannot be framed, nothing kept."""
    shown = [page for page in pages if page["kind"] == "page" and page["forms"]]
    true(shown, "no page was shown")
    for page in shown:
        headers = {key.lower(): value for key, value in page["headers"].items()}
        same(page["scripts"], 0, f"scripts on {page['url']}")
        true("frame-ancestors 'none'" in headers.get("content-security-policy", ""), f"{page['url']} can be framed")
        true("no-store" in headers.get("cache-control", ""), f"{page['url']} can be cached")


def check_callbacks(world: World, outcome: Outcome) -> None:
    """`state` and `iss` on every redirect, each once."""
    sent = [e.query for e in outcome.exchanges if e.path == "/authorize" and "client_id" in e.query]
    for pairs in outcome.result["callbacks"]:
        names = [name for name, _ in pairs]
        same(sorted(names), sorted(set(names)), "callback parameters")
        answer = dict(pairs)
        same(answer.get("iss"), world.issuer, "iss of the callback")
        true(answer.get("state") in [query.get("state") for query in sent], "state of the callback")
        true(("code" in answer) != ("error" in answer), f"callback has neither code nor error: {names}")


def part(token: str, index: int) -> dict:
    piece = token.split(".")[index]
    return json.loads(base64.urlsafe_b64decode(piece + "=" * (-len(piece) % 4)))


def check_tokens(world: World, outcome: Outcome, resource: str, *, user: str = "alice") -> None:
    """RFC 9068 claims as the resource saw them; a new access and refresh token each time; one subject."""
    result = outcome.result
    for claims in result["calls"]:
        same(claims["iss"], world.issuer, "iss")
        same(claims["aud"], resource, "aud")
        same(claims["client_id"], result["client_id"], "client_id claim")
        same(claims["scope"], SCOPE, "scope claim")
        true(claims["exp"] - claims["iat"] <= 600, "lifetime of the access token")
    for tokens in result["tokens"]:
        header = part(tokens["access_token"], 0)
        same(header["typ"], "at+jwt", "typ")
        same(header["alg"], "ES256", "alg")
        true(header.get("kid"), "no kid")
    for name in ("access_token", "refresh_token"):
        values = [tokens[name] for tokens in result["tokens"]]
        same(len(set(values)), len(values), f"distinct {name}s")
    same(len({claims["jti"] for claims in result["calls"]}), len(result["calls"]), "distinct jti")
    same(len({claims["sub"] for claims in result["calls"]}), 1, "subjects")


def check_sdk_flow(world: World, outcome: Outcome, resource: str, client_id: str | None) -> None:
    """The sequence that both SDKs walk, from discovery to a refreshed token."""
    result, exchanges = outcome.result, outcome.exchanges
    if client_id is not None:
        same(result["client_id"], client_id, "client_id")
    same(result["tools"], ["whoami"], "tools")
    same(exchanges[0].path, METADATA, "first request to the authorization server")
    first = next(e.query for e in exchanges if e.path == "/authorize" and e.query.get("client_id"))
    same(first["client_id"], result["client_id"], "client_id of the request")
    same(first["resource"], resource, "resource of the request")
    same(first["code_challenge_method"], "S256", "code_challenge_method")
    grants = [e.form for e in exchanges if e.path == "/token"]
    same(grants[0]["grant_type"], "authorization_code", "first grant")
    same(grants[1]["grant_type"], "refresh_token", "second grant")
    same(grants[0]["redirect_uri"], result["redirect_uri"], "redirect_uri at the token endpoint")
    same([e.status for e in exchanges if e.path == "/token"], [200] * len(grants), "token answers")
    check_pages(outcome.pages)
    check_callbacks(world, outcome)
    check_tokens(world, outcome, resource)


def metadata_document(world: World, name: str) -> dict:
    """The part of a client's configuration that identifies it by a metadata document."""
    return {"client_metadata_url": world.documents.url(name)}


# The SDKs, by metadata document


def sdk_by_document(world: World, client: str, server: str, document: str, host: str, **more) -> Outcome:
    resource = world.resources[server]
    config = {"resource": resource, "redirect_host": host} | metadata_document(world, document) | more
    outcome = world.run_client(client, config)
    check_exchanges(world, outcome.exchanges)
    check_sdk_flow(world, outcome, resource, world.documents.url(document))
    true("/register" not in [e.path for e in outcome.exchanges], "registered although it has a document")
    return outcome


@scenario()
def the_python_client_meets_the_python_server(world: World):
    """AUT-16, AUT-23, AUT-27, JWT-01, JWT-03, JWT-04, JWT-07, JWT-08, MET-06, REF-01, TOK-02, TOK-03, TOK-14, CID-06."""
    outcome = sdk_by_document(world, "python_sdk", "python_sdk", "claude-code", "127.0.0.1", refreshes=3)
    first = next(e.query for e in outcome.exchanges if e.path == "/authorize")
    # It asks for offline_access where the metadata offers it, and for consent together with it.
    metadata = next(e.json for e in outcome.exchanges if e.path == METADATA)
    offered = "offline_access" in metadata.get("scopes_supported", [])
    same("offline_access" in first["scope"].split(), offered, "offline_access was asked for")
    same(first.get("prompt"), "consent" if offered else None, "prompt")


@scenario()
def the_python_client_meets_the_typescript_server(world: World):
    """RED-03, JWT-05, PRM-01, PRM-02."""
    sdk_by_document(world, "python_sdk", "typescript_sdk", "claude-code", "localhost")


@scenario()
def the_typescript_client_meets_the_typescript_server(world: World):
    """RED-03, AUT-16, AUT-23, REF-01, REF-07, TOK-14, PRM-01, PRM-02, CID-06."""
    outcome = sdk_by_document(world, "typescript_sdk", "typescript_sdk", "claude-code", "localhost", refreshes=3)
    first = next(e.query for e in outcome.exchanges if e.path == "/authorize")
    true("offline_access" not in first["scope"].split(), "this SDK asks for offline_access now: update README.md")
    true("prompt" not in first, "this SDK sends prompt now: update README.md")


@scenario()
def the_typescript_client_meets_the_python_server(world: World):
    """RED-02, JWT-05, MET-06."""
    sdk_by_document(world, "typescript_sdk", "python_sdk", "claude-code", "127.0.0.1")


# The SDKs, registered


def sdk_without_document(world: World, client: str, host: str, client_id: str | None = None, **more) -> Outcome:
    resource = world.resources["python_sdk"]
    outcome = world.run_client(client, {"resource": resource, "redirect_host": host} | more)
    check_exchanges(world, outcome.exchanges)
    check_sdk_flow(world, outcome, resource, client_id)
    same(outcome.fetches, 0, "documents fetched")
    return outcome


def sdk_by_registration(world: World, client: str) -> None:
    """Two installations on two ports: each registers, and both are one client."""
    outcomes = [sdk_without_document(world, client, "127.0.0.1") for _ in range(2)]
    for outcome in outcomes:
        same([e.status for e in outcome.exchanges if e.path == "/register"], [201], "registrations")
        true(outcome.result["client_id"].startswith("dyn~"), f"client_id {outcome.result['client_id']}")
    same(len({outcome.result["redirect_uri"] for outcome in outcomes}), 2, "redirect URIs")
    same(len({outcome.result["client_id"] for outcome in outcomes}), 1, "clients")


def sdk_pre_registered(world: World, client: str, host: str) -> None:
    """With an issued id, public and with a secret; nothing is registered although it could be."""
    secret = {"client_secret": SECRET, "token_endpoint_auth_method": "client_secret_post"}
    for name, more in (
        ("interop.public", {"token_endpoint_auth_method": "none"}),
        ("interop.confidential", secret),
        ("interop.confidential", secret | {"token_endpoint_auth_method": "client_secret_basic"}),
    ):
        outcome = sdk_without_document(world, client, host, name, client_information={"client_id": name} | more)
        true("/register" not in [e.path for e in outcome.exchanges], "registered although it has an id")
        used = [e for e in outcome.exchanges if e.path == "/token"]
        by_header = more["token_endpoint_auth_method"] == "client_secret_basic"
        same({"authorization" in e.request_headers for e in used}, {by_header}, "Authorization header")
        in_form = more["token_endpoint_auth_method"] == "client_secret_post"
        same({"client_secret" in e.form for e in used}, {in_form}, "client_secret in the form")


@scenario()
def the_python_client_registers_itself(world: World):
    """REG-01, REG-02, RED-02."""
    sdk_by_registration(world, "python_sdk")


@scenario()
def the_typescript_client_registers_itself(world: World):
    """REG-01, REG-02, RED-02."""
    sdk_by_registration(world, "typescript_sdk")


@scenario()
def the_python_client_is_registered_beforehand(world: World):
    """CAU-01, CAU-03, RED-02."""
    sdk_pre_registered(world, "python_sdk", "127.0.0.1")


@scenario()
def the_typescript_client_is_registered_beforehand(world: World):
    """CAU-01, CAU-03, RED-03."""
    sdk_pre_registered(world, "typescript_sdk", "localhost")


@scenario()
def a_document_with_a_port_matches_any_port(world: World):
    """RED-02."""
    for client in SDKS:
        sdk_by_document(world, client, "python_sdk", "editor", "127.0.0.1")


@scenario()
def the_python_client_starts_over_when_its_token_is_refused(world: World):
    outcome = sdk_by_document(world, "python_sdk", "python_sdk", "claude-code", "127.0.0.1", lose_access_token=True)
    same(outcome.result["browsed"], 2, "visits of the browser")
    grants = [e.form["grant_type"] for e in outcome.exchanges if e.path == "/token"]
    same(grants, ["authorization_code", "refresh_token", "authorization_code"], "grants")


@scenario()
def one_document_is_fetched_once_for_all_who_use_it(world: World):
    """CAC-01, FET-08, FET-18."""
    before = world.documents.count("editor")
    for client in SDKS:
        for user in ("bob", "carol"):
            config = {"resource": world.resources["python_sdk"], "redirect_host": "127.0.0.1"} | metadata_document(
                world, "editor"
            )
            world.run_client(client, config, user=user)
    true(world.documents.count("editor") - before <= 1, "the document was fetched again within its lifetime")
    for _, headers in world.documents.requests:
        true("cookie" not in headers and "authorization" not in headers, "credentials sent with a document's fetch")
        same(headers.get("accept-encoding", "identity"), "identity", "Accept-Encoding of a document's fetch")


@scenario()
def the_consent_page_names_both_hosts_and_the_scope(world: World):
    """AUT-07, CON-01, CON-02, CON-04."""
    outcome = sdk_by_document(world, "python_sdk", "python_sdk", "claude-code", "localhost")
    consent = [page for page in outcome.pages if page["kind"] == "page" and page["forms"]][-1]["text"]
    for wanted in ("client.example", "localhost", "Claude Code", "Call the tools of this server"):
        true(wanted in consent, f"{wanted!r} is not on the consent page: {consent}")


@scenario()
def a_person_who_refuses_sends_the_client_an_error_with_state_and_iss(world: World):
    """AUT-22, AUT-23, AUT-25, CON-10."""
    config = {"resource": world.resources["python_sdk"], "redirect_host": "127.0.0.1"} | metadata_document(
        world, "claude-code"
    )
    outcome = world.run_client("oauth4webapi", config, decision="deny")
    check_exchanges(world, outcome.exchanges)
    check_callbacks(world, outcome)
    same(outcome.result["refused"], "access_denied", "error")
    same([e.path for e in outcome.exchanges if e.path == "/token"], [], "token requests")


@scenario()
def a_token_for_one_server_is_refused_by_the_other(world: World):
    """JWT-05, JWT-08."""
    for at, elsewhere in (("python_sdk", "typescript_sdk"), ("typescript_sdk", "python_sdk")):
        outcome = sdk_by_document(world, "python_sdk", at, "claude-code", "127.0.0.1")
        token = outcome.result["tokens"][-1]["access_token"]
        call = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
        }
        same(send("POST", world.resources[elsewhere], headers, call).status, 401, "foreign token")


@scenario()
def the_same_browser_asks_for_consent_again_on_loopback(world: World):
    """AUT-29."""
    profile = world.folder / "profile.json"
    config = {"resource": world.resources["python_sdk"], "redirect_host": "127.0.0.1"} | metadata_document(
        world, "claude-code"
    )
    for _ in range(2):
        outcome = world.run_client("typescript_sdk", config, profile=profile)
        check_exchanges(world, outcome.exchanges)
        texts = [page["text"] for page in outcome.pages if page["kind"] == "page" and page["forms"]]
        true("client.example" in texts[-1], "no consent page")


# oauth4webapi: the RFCs by the letter


def by_the_letter(
    world: World, document: str = "claude-code", host: str = "127.0.0.1", server: str = "python_sdk", **more
) -> Outcome:
    config = {"resource": world.resources[server], "redirect_host": host} | metadata_document(world, document) | more
    outcome = world.run_client("oauth4webapi", config)
    check_exchanges(world, outcome.exchanges)
    check_pages(outcome.pages)
    check_callbacks(world, outcome)
    check_tokens(world, outcome, world.resources[server])
    return outcome


@scenario()
def a_strict_client_accepts_every_answer(world: World):
    """AUT-06, JWT-03, MET-05, REF-04, REF-05, TOK-03."""
    by_the_letter(world, refresh_with=[{}, {"resource": world.resources["python_sdk"]}, {"scope": SCOPE}])


@scenario()
def a_loopback_redirect_works_on_ipv6(world: World):
    """RED-02."""
    by_the_letter(world, document="editor", host="[::1]")


@scenario()
def a_document_without_optional_members_is_enough(world: World):
    """DOC-24."""
    config = {
        "resource": world.resources["python_sdk"],
        "redirect_host": "127.0.0.1",
        "refresh_with": [],
    } | metadata_document(world, "plain")
    outcome = world.run_client("oauth4webapi", config)
    check_exchanges(world, outcome.exchanges)
    check_callbacks(world, outcome)
    same(len(outcome.result["tokens"]), 1, "answers with a token")


@scenario()
def state_comes_back_byte_for_byte(world: World):
    """AUT-22."""
    by_the_letter(world, state='a+b %2B&c=d/~é€"<>' + "x" * 1500)


@scenario()
def a_used_code_is_refused(world: World):
    """TOK-10, TOK-13."""
    outcome = by_the_letter(world, reuse_code=True, refresh_with=[])
    same(outcome.result["reused_code"], {"status": 400, "error": "invalid_grant"}, "second redemption")


@scenario()
def a_wrong_verifier_burns_nothing(world: World):
    """TOK-11, TOK-13."""
    outcome = by_the_letter(world, wrong_verifier_first=True)
    same(outcome.result["wrong_verifier"], {"status": 400, "error": "invalid_grant"}, "wrong verifier")


@scenario()
def a_spent_refresh_token_ends_the_grant(world: World):
    """REF-02."""
    # Two rotations ago, so that no window for retries can cover it.
    outcome = by_the_letter(world, refresh_with=[{}, {}], reuse_refresh_token=True)
    same(outcome.result["reused_refresh_token"], {"status": 400, "error": "invalid_grant"}, "spent refresh token")
    same(
        outcome.result["revoked_refresh_token"],
        {"status": 400, "error": "invalid_grant"},
        "refresh token of the ended grant",
    )


@scenario()
def a_leading_space_in_scope_is_folded(world: World):
    """AUT-21."""
    by_the_letter(world, authorization={"scope": " offline_access"})


@scenario()
def scope_may_be_left_out(world: World):
    """AUT-20."""
    by_the_letter(world, authorization={"scope": None})


@scenario()
def a_request_that_must_fail_fails_at_the_client(world: World):
    """AUT-10, AUT-11, AUT-12, AUT-16, AUT-23, AUT-25.

    The browser is new, so the redirect follows the form of the sign-in page, and that page's `form-action` covers it.
    """
    for wrong, error in (
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": 'quote"d'}, "invalid_scope"),
        ({"resource": "https://unknown.example/mcp"}, "invalid_target"),
    ):
        config = {"resource": world.resources["python_sdk"], "redirect_host": "127.0.0.1", "authorization": wrong}
        try:
            outcome = world.run_client("oauth4webapi", config | metadata_document(world, "claude-code"))
            check_exchanges(world, outcome.exchanges)
            check_callbacks(world, outcome)
            same(outcome.result["refused"], error, "error")
        except AssertionError as failure:
            raise AssertionError(f"{wrong}: {failure}") from None


@scenario("one")
def resource_and_scope_may_be_left_out_where_there_is_one_resource(world: World):
    """AUT-18, AUT-20."""
    by_the_letter(world, authorization={"scope": None, "resource": None})


# Plain requests


@scenario()
def the_metadata_says_what_clients_decide_by(world: World):
    """MET-02, MET-05, MET-06, MET-07."""
    answer = send("GET", world.issuer + METADATA)
    check_exchanges(world, [answer])
    metadata = answer.json
    same(answer.status, 200, "status")
    same(metadata["issuer"], world.issuer, "issuer")
    same(metadata["response_types_supported"], ["code"], "response_types_supported")
    same(metadata["code_challenge_methods_supported"], ["S256"], "code_challenge_methods_supported")
    true(metadata["client_id_metadata_document_supported"] is True, "client_id_metadata_document_supported")
    true(
        metadata["authorization_response_iss_parameter_supported"] is True,
        "authorization_response_iss_parameter_supported",
    )
    true("none" in metadata["token_endpoint_auth_methods_supported"], "none is missing")
    true("offline_access" in metadata["scopes_supported"], "offline_access is missing")
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        true(metadata[name].startswith(world.issuer + "/"), name)
    for name, value in metadata.items():
        true(value not in ([], "", {}), f"{name} is empty")
    keys = send("GET", metadata["jwks_uri"])
    same(keys.status, 200, "status of jwks_uri")
    for key in keys.json["keys"]:
        true("d" not in key, "a private key is published")
        same((key["kty"], key["crv"], key["use"], key["alg"]), ("EC", "P-256", "sig", "ES256"), "key")


@scenario()
def unknown_well_known_paths_are_404(world: World):
    """MET-01."""
    for path in (
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server/tenant",
        "/.well-known/nonsense",
        "/nonsense",
    ):
        answer = send("GET", world.issuer + path)
        check_exchanges(world, [answer])
        same(answer.status, 404, path)


@scenario()
def a_preflight_from_a_web_page_is_answered(world: World):
    """MET-08, TOK-06."""
    metadata = send("GET", world.issuer + METADATA).json
    for url, method in (
        (world.issuer + METADATA, "GET"),
        (metadata["token_endpoint"], "POST"),
        (metadata["jwks_uri"], "GET"),
    ):
        answer = send(
            "OPTIONS",
            url,
            {
                "Origin": "http://localhost:6274",
                "Access-Control-Request-Method": method,
                "Access-Control-Request-Headers": "content-type,mcp-protocol-version,authorization",
            },
        )
        true(answer.status in (200, 204), f"preflight of {url}: {answer.status}")
        same(answer.headers.get("access-control-allow-origin"), "*", f"preflight of {url}")
        allowed = answer.headers.get("access-control-allow-headers", "").lower()
        for header in ("content-type", "mcp-protocol-version", "authorization"):
            true(header in allowed, f"preflight of {url} does not allow {header}: {allowed}")
        true("access-control-allow-credentials" not in answer.headers, f"credentials allowed at {url}")


# RFC 7636, appendix B
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def authorization_url(world: World, client_id: str, redirect_uri: str, state: str = "xyz") -> str:
    """A complete authorization request."""
    return f"{world.issuer}/authorize?" + urlencode(
        {
            "response_type": "code",
            "client_id": client_id,
            "redirect_uri": redirect_uri,
            "state": state,
            "scope": SCOPE,
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "resource": world.resources["python_sdk"],
        }
    )


class Tab(Browser):
    """A browser that does something else when it stands before the consent page, once."""

    def __init__(self, meanwhile):
        super().__init__("alice", "allow")
        self.meanwhile = meanwhile

    def decide(self, page):
        choice = super().decide(page)
        if self.meanwhile and not any(field["kind"] == "text" for field in choice[0]["fields"]):
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile(self)
        return choice


@scenario()
def two_flows_run_side_by_side_in_one_browser(world: World):
    """AUT-22, TOK-10."""
    client_id = world.documents.url("claude-code")
    with Callback() as callback:
        redirect_uri = callback.redirect_uri()

        def second_tab(first):
            tab = Tab(None)
            tab.jar = first.jar
            tab.open(authorization_url(world, client_id, redirect_uri, "second"))

        Tab(second_tab).open(authorization_url(world, client_id, redirect_uri, "first"))
    answers = {answer["state"]: answer for answer in callback.answers()}
    same(list(answers), ["second", "first"], "answers, in order")
    for state, answer in answers.items():
        body = urlencode(
            {
                "grant_type": "authorization_code",
                "code": answer["code"],
                "code_verifier": VERIFIER,
                "client_id": client_id,
                "redirect_uri": redirect_uri,
            }
        )
        same(
            send("POST", f"{world.issuer}/token", {"Content-Type": "application/x-www-form-urlencoded"}, body).status,
            200,
            f"code of {state}",
        )


@scenario()
def a_look_ahead_without_cookies_is_answered_and_fetches_nothing(world: World):
    """AUT-03, AUT-04, AUT-26, FET-01."""
    fetched = len(world.documents.requests)
    url = authorization_url(world, world.documents.url("claude-code") + "?never", "http://127.0.0.1:1/callback")
    for _ in range(2):
        answer = send("GET", url)
        true(answer.status in (200, 302, 303, 307, 308), f"look-ahead: {answer.status}")
        true(
            "127.0.0.1:1/" not in answer.headers.get("location", ""), "a stranger was sent to an unproven redirect URI"
        )
    same(len(world.documents.requests), fetched, "fetches for a stranger")


@scenario()
def an_invented_client_costs_nothing_at_the_token_endpoint(world: World):
    """TOK-04, TOK-17."""
    fetched = len(world.documents.requests)
    for client_id in (
        "https://client.example/never.json",
        f"https://client.example:{world.documents.port}/never.json",
        "nobody",
    ):
        body = urlencode(
            {"grant_type": "authorization_code", "code": "x" * 43, "code_verifier": "y" * 43, "client_id": client_id}
        )
        answer = send("POST", f"{world.issuer}/token", {"Content-Type": "application/x-www-form-urlencoded"}, body)
        check_exchanges(world, [answer])
        true(answer.json["error"] in ("invalid_grant", "invalid_client"), f"error {answer.json}")
    same(len(world.documents.requests), fetched, "fetches for an invented client")


def main() -> int:
    # What was started is ended also when this is told to stop.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    local_bin, words = sys.argv[1], sys.argv[2:]
    chosen = [entry for entry in SCENARIOS if all(word in entry[0] for word in words)]
    failed = 0
    with tempfile.TemporaryDirectory(prefix="interop-") as folder:
        documents = Documents(Path(folder))
        for name, servers in (("both", ["python_sdk", "typescript_sdk"]), ("one", ["python_sdk"])):
            here = [entry for entry in chosen if entry[2] == name]
            if not here:
                continue
            (Path(folder) / name).mkdir()
            world = World(Path(folder) / name, documents)
            try:
                world.start(local_bin, servers)
                for title, function, _ in here:
                    began = time.monotonic()
                    try:
                        function(world)
                    except Exception as error:
                        failed += 1
                        print(f"FAILED  {title}", flush=True)
                        detail = str(error) if isinstance(error, AssertionError) else traceback.format_exc()
                        print("        " + detail.replace("\n", "\n        "), flush=True)
                    else:
                        print(f"passed  {title} ({time.monotonic() - began:.1f} s)", flush=True)
            except RuntimeError as error:
                print(f"FAILED  to start: {error}", flush=True)
                failed += len(here)
            finally:
                world.close()
            if failed:
                print(world.logs(), file=sys.stderr)
    print(f"{len(chosen) - failed} passed, {failed} failed")
    return 1 if failed or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
