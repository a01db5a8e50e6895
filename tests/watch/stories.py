"""Stories of the deployed binaries: FUNCTIONS CARGO_LAMBDA LOCAL [--serve [PORT]].

Everything listens on loopback, and everything that was started ends with this program, by its process id.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import boto3
from botocore.config import Config
from moto.server import ThreadedMotoServer

START_SECONDS = 60
REGION = "eu-central-1"
ACCOUNT = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_REGION": REGION}
POLICY = {
    "resources": [
        {
            "resource": "http://127.0.0.1:3000/mcp",
            "name": "Notes",
            "scopes": [{"name": "notes:read", "description": "read your notes"}],
        }
    ]
}
DISCOVERY = "/.well-known/oauth-authorization-server"
FORM = {"content-type": "application/x-www-form-urlencoded"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def client(service: str, endpoint: str):
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id="local",
        aws_secret_access_key="local",
        config=Config(retries={"max_attempts": 0}, read_timeout=20),
    )


class Answer:
    def __init__(self, status: int, headers, body: bytes):
        self.status, self.headers, self.body = status, headers, body.decode()

    @property
    def json(self):
        return json.loads(self.body)


class Watch:
    """The functions behind one address."""

    def __init__(self, functions: Path, cargo_lambda: str, local: str, port: int):
        self.functions, self.stack = functions, contextlib.ExitStack()
        self.names = sorted(path.parent.name for path in functions.glob("*/bootstrap"))
        self.logs = functions.parent / "watch-logs"
        self.logs.mkdir(exist_ok=True)
        dynamodb = self.start("dynamodb", [local, "--dynamodb-only", "--dynamodb-listen", "127.0.0.1:0"], ACCOUNT)
        kms = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        kms.start()
        self.stack.callback(kms.stop)
        host, kms_port = kms.get_host_and_port()
        kms_endpoint = f"http://{host}:{kms_port}"
        self.url = f"http://127.0.0.1:{port}"
        command = [cargo_lambda, "lambda", "watch", "--only-lambda-apis", "--disable-cors"]
        self.start("gateway", [*command, "--invoke-address", "127.0.0.1", "--invoke-port", str(port)], {})
        self.environment = ACCOUNT | {
            "ISSUER": self.url,
            "DYNAMODB_ENDPOINT": self.line("dynamodb", dynamodb, "DYNAMODB_ENDPOINT="),
            "KMS_ENDPOINT": kms_endpoint,
            "KMS_KEY_ID": client("kms", kms_endpoint).create_key()["KeyMetadata"]["Arn"],
            "FETCH_FUNCTION": "fetch",
            "AWS_ENDPOINT_URL_LAMBDA": self.url,
            "INITIAL_POLICY": json.dumps(POLICY),
            "UPSTREAM_ISSUER": "http://127.0.0.1:1/",
            "UPSTREAM_CLIENT_ID": "nameplate",
            "UPSTREAM_CLIENT_SECRET": "not a secret",
        }
        self.wait_for_port(port)
        for name in self.names:
            self.start(name, [str(functions / name / "bootstrap")], self.environment | self.runtime(name))

    def runtime(self, name: str) -> dict[str, str]:
        """What Lambda tells every function."""
        return {
            "AWS_LAMBDA_RUNTIME_API": f"{self.url}/{name}",
            "AWS_LAMBDA_FUNCTION_NAME": name,
            "AWS_LAMBDA_FUNCTION_VERSION": "1",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        }

    def start(self, name: str, command: list[str], environment: dict[str, str]) -> subprocess.Popen:
        plain = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
        log = self.stack.enter_context(open(self.logs / f"{name}.log", "wb"))
        process = subprocess.Popen(
            command, env=plain | environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )

        def end():
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

        self.stack.callback(end)
        return process

    def log(self, name: str) -> str:
        return (self.logs / f"{name}.log").read_text(errors="replace")

    def line(self, name: str, process: subprocess.Popen, prefix: str) -> str:
        for _ in range(START_SECONDS * 10):
            for line in self.log(name).splitlines():
                if line.startswith(prefix):
                    return line.removeprefix(prefix)
            if process.poll() is not None:
                break
            time.sleep(0.1)
        raise SystemExit(f"{name} did not start:\n{self.log(name)}")

    def wait_for_port(self, port: int):
        for _ in range(START_SECONDS * 10):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
            time.sleep(0.1)
        raise SystemExit(f"no gateway:\n{self.log('gateway')}")

    def invoke(self, name: str, event) -> tuple[object, str | None]:
        answer = client("lambda", self.url).invoke(FunctionName=name, Payload=json.dumps(event).encode())
        return json.load(answer["Payload"]), answer.get("FunctionError")

    def send(self, method: str, path: str, body: str | None = None, headers=None) -> Answer:
        request = urllib.request.Request(
            self.url + path, method=method, data=None if body is None else body.encode(), headers=headers or {}
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers, error.read())


def same(found, expected):
    assert found == expected, f"{found!r} is not {expected!r}"


def the_steward_makes_keys_and_policy_once(watch: Watch):
    changed = {"rotate_keys": 2, "begin_policy": 1}
    for expected in (changed, dict.fromkeys(changed, 0)):
        report, failure = watch.invoke("steward", {})
        same(failure, None)
        assert all(task["failure"] is None for task in report["tasks"]), report
        found = {task["task"]: task["changed"] for task in report["tasks"]}
        same({name: found[name] for name in expected}, expected)


def the_key_set_is_published_for_everybody(watch: Watch):
    answer = watch.send("GET", "/jwks.json", headers={"origin": "https://app.example.com"})
    same(answer.status, 200)
    keys = answer.json["keys"]
    same([(key["kty"], key["crv"], key["alg"]) for key in keys], [("EC", "P-256", "ES256")])
    assert not any("d" in key for key in keys), "a private key"
    same(answer.headers["access-control-allow-origin"], "*")
    same(answer.headers["x-content-type-options"], "nosniff")


def the_token_endpoint_speaks_oauth(watch: Watch):
    invented = "grant_type=authorization_code&code=x&client_id=https%3A%2F%2Fa.example%2Fc&code_verifier=" + "v" * 43
    answer = watch.send("POST", "/token", invented, FORM)
    same((answer.status, answer.json["error"]), (400, "invalid_grant"))
    same(answer.headers["cache-control"], "no-store")
    answer = watch.send("POST", "/token", invented + "&code=y", FORM)
    same((answer.status, answer.json["error"]), (400, "invalid_request"))
    same(watch.send("GET", "/token").status, 405)


def preflight_reaches_the_router(watch: Watch):
    headers = {"origin": "https://app.example.com", "access-control-request-method": "POST"}
    answer = watch.send("OPTIONS", "/token", headers=headers)
    same(answer.status, 200)
    same(answer.headers["access-control-allow-origin"], "*")


def the_fetch_function_refuses_what_is_not_public(watch: Watch):
    for url, reason in {
        "http://client.example/c.json": "url",
        "https://169.254.169.254/latest/meta-data": "host_address_literal",
        "https://[::1]/": "host_address_literal",
        "https://localhost/": "host_special_use",
        "https://client.example:8443/c.json": "port_not_listed",
    }.items():
        answer, failure = watch.invoke("fetch", {"url": url, "kind": "document"})
        same((answer, failure), ({"refused": {"reason": reason}}, None))


def an_event_of_another_shape_is_an_error_and_the_next_one_is_answered(watch: Watch):
    for name in ("fetch", "token"):
        _, failure = watch.invoke(name, {"nonsense": True})
        assert failure, f"{name} took nonsense"
    the_fetch_function_refuses_what_is_not_public(watch)
    the_key_set_is_published_for_everybody(watch)


def the_discovery_document_names_this_issuer(watch: Watch):
    answer = watch.send("GET", DISCOVERY)
    same(answer.status, 200)
    same(answer.json["issuer"], watch.url)
    same(answer.json["client_id_metadata_document_supported"], True)


def a_function_without_its_environment_does_not_start(watch: Watch):
    """FM055: every setting that a function cannot do without, in turn."""
    required = {"fetch": ["ISSUER"], "token": ["ISSUER", "KMS_KEY_ID", "FETCH_FUNCTION"], "steward": ["ISSUER", "KMS_KEY_ID"]}
    required["register"] = ["ISSUER", "KMS_KEY_ID"]
    required["authorize"] = ["ISSUER", "KMS_KEY_ID", "FETCH_FUNCTION", "UPSTREAM_ISSUER", "UPSTREAM_CLIENT_ID"]
    for name in watch.names:
        for setting in required[name]:
            environment = watch.environment | watch.runtime(f"{name}-broken")
            del environment[setting]
            process = watch.start(f"{name}-broken", [str(watch.functions / name / "bootstrap")], environment)
            assert process.wait(20) != 0, f"{name} started without {setting}"
            last = json.loads(watch.log(f"{name}-broken").splitlines()[-1])
            same(last["fields"]["message"], "start refused")
            assert setting in last["fields"]["reason"], last


def no_log_holds_what_clients_sent(watch: Watch):
    """FM093: a marker in every place that a client fills."""
    marker = "marker5d41402abc4b2a76"
    watch.send("POST", f"/token?state={marker}", f"grant_type=refresh_token&refresh_token={marker}&x={marker}", FORM)
    watch.send("POST", "/token", f"code={marker}", FORM | {"authorization": f"Basic {marker}", "cookie": marker})
    watch.invoke("fetch", {"url": f"https://user:{marker}@a.example/{marker}", "kind": "document"})
    watch.invoke("fetch", {"url": marker, "kind": marker})
    for name in watch.names:
        assert marker not in watch.log(name), f"{name} logged it"


STORIES = [
    the_steward_makes_keys_and_policy_once,
    the_key_set_is_published_for_everybody,
    the_token_endpoint_speaks_oauth,
    preflight_reaches_the_router,
    the_fetch_function_refuses_what_is_not_public,
    an_event_of_another_shape_is_an_error_and_the_next_one_is_answered,
    the_discovery_document_names_this_issuer,
    a_function_without_its_environment_does_not_start,
    no_log_holds_what_clients_sent,
]


def main() -> int:
    functions, cargo_lambda, local, *rest = sys.argv[1:]
    serving = rest[:1] == ["--serve"]
    port = int(rest[1]) if len(rest) > 1 else 9000 if serving else free_port()
    watch = Watch(Path(functions), cargo_lambda, local, port)
    with watch.stack:
        if serving:
            watch.invoke("steward", {})
            print(f"{', '.join(watch.names)} at {watch.url}; logs in {watch.logs}. Ctrl-C stops it.", flush=True)
            signal.sigwait([signal.SIGINT, signal.SIGTERM])
            return 0
        failed = 0
        for story in STORIES:
            name = story.__name__.replace("_", " ")
            try:
                story(watch)
                print(f"✓ {name}", flush=True)
            except Exception as error:  # noqa: BLE001: whatever it is, the others are told too
                failed += 1
                print(f"✗ {name}\n  {type(error).__name__}: {error}", flush=True)
        if failed:
            for name in [*watch.names, "gateway"]:
                print(f"--- {name}\n" + "\n".join(watch.log(name).splitlines()[-15:]))
        return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
