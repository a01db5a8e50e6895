"""What surrounds the clients: processes, certificates, the host of metadata documents, and a gateway that records.

Everything listens on free ports of loopback, and everything that was started ends with `World.close`, by its process id.
"""

from __future__ import annotations

import contextlib
import datetime
import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from urllib.parse import parse_qsl, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HERE = Path(__file__).resolve().parent
DOCUMENT_HOST = "client.example"
SCOPE = "tools:call"
START_SECONDS = 60
CLIENT_SECONDS = 90


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Exchange:
    """One request to the authorization server and its answer, as they crossed the wire."""

    method: str
    target: str
    request_headers: dict[str, str]
    request_body: str
    status: int
    headers: dict[str, str]
    body: str

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.request_body, keep_blank_values=True))

    @property
    def json(self):
        return json.loads(self.body) if "json" in self.headers.get("content-type", "") else None


class Gateway:
    """Stands before the authorization server as API Gateway does in production, and remembers every exchange."""

    def __init__(self, upstream: int):
        self.exchanges: list[Exchange] = []
        lock, outer = Lock(), self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def relay(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                connection = http.client.HTTPConnection("127.0.0.1", upstream, timeout=30)
                try:
                    connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
                    for name, value in self.headers.items():
                        if name.lower() not in ("connection", "transfer-encoding"):
                            connection.putheader(name, value)
                    connection.endheaders(body)
                    answer = connection.getresponse()
                    content = answer.read()
                except OSError as error:
                    self.send_error(599, f"upstream: {error}")
                    return
                finally:
                    connection.close()
                with lock:
                    outer.exchanges.append(
                        Exchange(
                            self.command,
                            self.path,
                            {k.lower(): v for k, v in self.headers.items()},
                            body.decode("utf-8", "replace"),
                            answer.status,
                            {k.lower(): v for k, v in answer.getheaders()},
                            content.decode("utf-8", "replace"),
                        )
                    )
                self.send_response_only(answer.status, answer.reason)
                for name, value in answer.getheaders():
                    if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                        self.send_header(name, value)
                if self.command == "HEAD" and answer.getheader("content-length"):
                    self.send_header("content-length", answer.getheader("content-length"))
                elif answer.status != 204:
                    self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_OPTIONS = do_HEAD = do_PUT = do_DELETE = relay

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        Thread(target=self.server.serve_forever, daemon=True).start()


class Documents:
    """Serves client metadata documents over TLS as `https://client.example:PORT/NAME.json`."""

    def __init__(self, folder: Path):
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.ca_path, chain = certificates(folder)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
                document = outer.documents.get(self.path)
                body = json.dumps(document or {"error": "not found"}).encode()
                self.send_response(200 if document else 404)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.send_header("cache-control", "max-age=300")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                # A client that hangs up during the handshake is none of the tests' business.
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_port
        base = f"https://{DOCUMENT_HOST}:{self.port}"
        self.documents = {
            f"/{name}.json": {"client_id": f"{base}/{name}.json"} | body for name, body in DOCUMENTS.items()
        }
        Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, name: str) -> str:
        return self.documents[f"/{name}.json"]["client_id"]

    def count(self, name: str) -> int:
        return sum(path == f"/{name}.json" for path, _ in self.requests)


CODE_AND_REFRESH = {
    "grant_types": ["authorization_code", "refresh_token"],
    "response_types": ["code"],
    "token_endpoint_auth_method": "none",
}
DOCUMENTS = {
    # The members of Claude Code's published document: no port in a redirect URI, no application_type.
    "claude-code": {
        "client_name": "Claude Code",
        "client_uri": f"https://{DOCUMENT_HOST}",
        "redirect_uris": ["http://localhost/callback", "http://127.0.0.1/callback"],
    }
    | CODE_AND_REFRESH,
    # An editor that writes down a port and says that it is native.
    "editor": {
        "client_name": "Interop Editor",
        "application_type": "native",
        "redirect_uris": [
            "http://127.0.0.1:33418/callback",
            "http://[::1]/callback",
            f"https://{DOCUMENT_HOST}/redirect",
        ],
    }
    | CODE_AND_REFRESH,
    # As little as a document may say: no grant_types, no authentication method.
    "plain": {"client_name": "Plain Client", "redirect_uris": ["http://127.0.0.1/callback"]},
}

SECRET = "interop-secret-that-nobody-could-guess"
# What an administrator has entered before anybody came.
REGISTERED = {
    "tools": [{"id": "interop", "name": "Interop, as registered"}],
    "clients": [
        {"client_id": name, "tool": "interop", "client_name": "Registered Client"}
        | {"redirect_uris": ["http://localhost/callback", "http://127.0.0.1/callback", "com.example.interop:/callback"]}
        | more
        for name, more in (("interop.public", {}), ("interop.confidential", {"secret": SECRET}))
    ],
}


def certificates(folder: Path) -> tuple[Path, Path]:
    """A root of our own and a certificate for the document host below it, as PEM files."""
    now = datetime.datetime.now(datetime.timezone.utc)

    def certificate(name: str, key, issuer: str, issuer_key, extensions):
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(issuer_key, hashes.SHA256())

    root_key, leaf_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    usage = {
        name: False
        for name in (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        )
    }
    root = certificate(
        "Interop root",
        root_key,
        "Interop root",
        root_key,
        [
            (x509.BasicConstraints(ca=True, path_length=0), True),
            (x509.KeyUsage(**(usage | {"key_cert_sign": True})), True),
            (x509.SubjectKeyIdentifier.from_public_key(root_key.public_key()), False),
        ],
    )
    leaf = certificate(
        DOCUMENT_HOST,
        leaf_key,
        "Interop root",
        root_key,
        [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (x509.KeyUsage(**(usage | {"digital_signature": True})), True),
            (x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), False),
            (x509.SubjectAlternativeName([x509.DNSName(DOCUMENT_HOST)]), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key()), False),
        ],
    )
    pem = serialization.Encoding.PEM
    ca_path, chain = folder / "root.pem", folder / "documents.pem"
    ca_path.write_bytes(root.public_bytes(pem))
    private = leaf_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    chain.write_bytes(private + leaf.public_bytes(pem))
    return ca_path, chain


@dataclass
class Outcome:
    """What a client reported, and what happened around it."""

    result: dict
    exchanges: list[Exchange]
    pages: list[dict]
    fetches: int


@dataclass
class World:
    """An authorization server, its gateway, and protected MCP servers by name."""

    folder: Path
    documents: Documents
    processes: list[subprocess.Popen] = field(default_factory=list)
    resources: dict[str, str] = field(default_factory=dict)

    def start(self, local_bin: str, resource_names: list[str]) -> None:
        ports = {name: free_port() for name in resource_names}
        self.resources = {name: f"http://127.0.0.1:{port}/mcp" for name, port in ports.items()}
        seed = self.folder / "seed.json"
        seed.write_text(
            json.dumps(
                REGISTERED
                | {
                    "dynamic_registration": {"mode": "on"},
                    "resources": [
                        {
                            "resource": resource,
                            "name": f"Interop {name}",
                            "scopes": [{"name": SCOPE, "description": "Call the tools of this server"}],
                        }
                        for name, resource in self.resources.items()
                    ],
                }
            )
        )
        listen = free_port()
        self.gateway = Gateway(listen)
        self.issuer = self.gateway.url
        self.spawn(
            "local",
            [
                local_bin,
                "--listen",
                f"127.0.0.1:{listen}",
                "--issuer",
                self.issuer,
                "--seed",
                str(seed),
                "--trust-ca",
                str(self.documents.ca_path),
                "--resolve",
                f"{DOCUMENT_HOST}:{self.documents.port}:127.0.0.1",
            ],
        )
        self.wait(f"{self.issuer}/.well-known/oauth-authorization-server", (200,))
        for name, port in ports.items():
            script = HERE / f"resource_{name}"
            command = [sys.executable, f"{script}.py"] if name.startswith("python") else ["node", f"{script}.mjs"]
            self.spawn(name, [*command, str(port), self.issuer])
        for resource in self.resources.values():
            self.wait(resource, (401,))
        self.gateway.exchanges.clear()

    def spawn(self, name: str, command: list[str]) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes.append(
                subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=HERE)
            )

    def wait(self, url: str, statuses: tuple[int, ...]) -> None:
        deadline, last = time.monotonic() + START_SECONDS, "nothing"
        while time.monotonic() < deadline:
            for process in self.processes:
                if process.poll() is not None:
                    raise RuntimeError(f"{process.args[0]} ended with {process.returncode}:\n{self.logs()}")
            try:
                last = send("GET", url).status
                if last in statuses:
                    return
            except OSError as error:
                last = error
            time.sleep(0.1)
        raise RuntimeError(f"{url} answered {last}, not {statuses}:\n{self.logs()}")

    def logs(self) -> str:
        return "\n".join(
            f"--- {path.name}\n{path.read_text(errors='replace')[-3000:]}" for path in sorted(self.folder.glob("*.log"))
        )

    def run_client(
        self, client: str, config: dict, *, decision: str = "allow", user: str = "alice", profile: Path | None = None
    ) -> Outcome:
        """Runs one client to its end."""
        script = HERE / f"client_{client}"
        command = [sys.executable, f"{script}.py"] if client.startswith("python") else ["node", f"{script}.mjs"]
        log = self.folder / "browser.jsonl"
        log.unlink(missing_ok=True)
        environment = (
            os.environ
            | {
                "BROWSER": str(HERE / "browser.py"),
                "BROWSER_LOG": str(log),
                "BROWSER_USER": user,
                "BROWSER_DECISION": decision,
            }
            | ({"BROWSER_PROFILE": str(profile)} if profile else {})
        )
        before, fetched = len(self.gateway.exchanges), len(self.documents.requests)
        ended = subprocess.run(
            [*command, json.dumps(config)],
            cwd=HERE,
            env=environment,
            capture_output=True,
            text=True,
            timeout=CLIENT_SECONDS,
        )
        exchanges = self.gateway.exchanges[before:]
        pages = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        if ended.returncode != 0:
            seen = "\n".join(
                f"  {e.method} {e.target[:300]} -> {e.status} {e.body[:300] if e.status >= 400 else ''}"
                for e in exchanges
            )
            raise AssertionError(f"{client} ended with {ended.returncode}\n{ended.stderr[-3000:]}\nexchanges:\n{seen}")
        return Outcome(
            json.loads(ended.stdout.splitlines()[-1]), exchanges, pages, len(self.documents.requests) - fetched
        )

    def close(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
        for process in reversed(self.processes):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
                continue
            process.kill()
            process.wait()
        if hasattr(self, "gateway"):
            self.gateway.server.shutdown()


def send(method: str, url: str, headers: dict[str, str] | None = None, body: str | None = None) -> Exchange:
    """One plain request, redirects not followed."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target, body, headers or {})
        answer = connection.getresponse()
        return Exchange(
            method,
            target,
            headers or {},
            body or "",
            answer.status,
            {k.lower(): v for k, v in answer.getheaders()},
            answer.read().decode("utf-8", "replace"),
        )
    finally:
        connection.close()
