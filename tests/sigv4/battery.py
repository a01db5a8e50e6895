"""Signs administration requests with botocore and sends them to a fresh `local`: `battery.py LOCAL_BIN`.

A good request is answered with 200; each altered one with 403 and a problem.
"""

import datetime
import http.client
import json
import re
import subprocess
import sys
import urllib.parse

import botocore.auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials


def start(binary: str):
    """The server on a free port, its endpoint, and the key pair that it prints."""
    server = subprocess.Popen([binary, "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
    said = ""
    for line in server.stdout:
        said += line
        if "Ctrl-C" in line:
            break
    endpoint = re.search(r"NAMEPLATE_ENDPOINT=(\S+)", said)[1]
    key = re.search(r"AWS_ACCESS_KEY_ID=(\S+) AWS_SECRET_ACCESS_KEY=(\S+)", said)
    return server, endpoint, Credentials(key[1], key[2])


def sign(endpoint, credentials, method, path, body="", region="local", service="execute-api", age=0, headers=None):
    """A request as botocore signs it, `age` seconds ago."""
    request = AWSRequest(method=method, url=endpoint + path, data=body, headers=headers or {})
    real = botocore.auth.get_current_datetime if hasattr(botocore.auth, "get_current_datetime") else None
    moment = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=age)
    try:
        if real:
            botocore.auth.get_current_datetime = lambda *_, **__: moment.replace(tzinfo=None)
        botocore.auth.SigV4Auth(credentials, service, region).add_auth(request)
    finally:
        if real:
            botocore.auth.get_current_datetime = real
    if age and not real:
        raise SystemExit("this botocore has no clock to turn back")
    return method, path, body, dict(request.headers.items())


def send(endpoint, method, path, body, headers):
    """Status and body of the answer."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(endpoint).netloc, timeout=30)
    connection.request(method, path, body=body or None, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def main() -> None:
    server, endpoint, credentials = start(sys.argv[1])
    try:
        signed = lambda *parts, **options: sign(endpoint, credentials, *parts, **options)  # noqa: E731
        good = {
            "a query": signed("GET", "/admin/v1/tools?limit=5&q=a%20b"),
            "a body": signed("POST", "/admin/v1/policy/validate", "{}", headers={"content-type": "application/json"}),
            "a session of this minute": signed("GET", "/admin/v1/whoami", age=60),
        }
        for name, request in good.items():
            status, text = send(endpoint, *request)
            assert status == 200, f"{name}: {status} {text}"
            print(f"200  {name}")

        method, path, body, headers = good["a body"]
        get = signed("GET", "/admin/v1/tools?limit=5")
        stranger = Credentials(credentials.access_key, "x" * 40)
        unsigned_payload = signed(
            "POST", "/admin/v1/policy/validate", "{}", headers={"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}
        )
        bad = {
            "no signature": ("GET", "/admin/v1/tools", "", {}),
            "another body": (method, path, '{"a":1}', headers),
            "another path": ("GET", "/admin/v1/keys?limit=5", "", get[3]),
            "another query": ("GET", "/admin/v1/tools?limit=6", "", get[3]),
            "another method": ("DELETE", "/admin/v1/tools?limit=5", "", get[3]),
            "another time": (*get[:3], get[3] | {"X-Amz-Date": "20200101T000000Z"}),
            "another secret": sign(endpoint, stranger, "GET", "/admin/v1/tools"),
            "another region": signed("GET", "/admin/v1/tools", region="eu-central-1"),
            "another service": signed("GET", "/admin/v1/tools", service="dynamodb"),
            "an hour old": signed("GET", "/admin/v1/tools", age=3600),
            "an hour early": signed("GET", "/admin/v1/tools", age=-3600),
            "a body that is not signed": (*unsigned_payload[:2], '{"a":1}', unsigned_payload[3]),
        }
        for name, request in bad.items():
            status, text = send(endpoint, *request)
            assert status == 403, f"{name}: {status} {text}"
            assert json.loads(text)["type"] == "not-signed", text
            print(f"403  {name}")
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
