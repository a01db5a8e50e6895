"""Keys rotate under load, and a verifier that others wrote (PyJWT) refuses not one token: `rotation.py ROTATING_BIN`.

Two servers share a database and a clock that stands still until this moves it. Clients refresh all the time, at either
server. Every access token is verified at once and again for as long as it lives, with key sets that are fetched again only
when `max-age` says so: an unknown `kid` is a failure, not a reason to look again. Time goes by in half days, and in steps
of ninety seconds from the moment a new key is made until the old one is gone.
"""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from threading import Condition, Thread
from urllib.parse import urlencode

import jwt

from browser import Browser
from callback import Callback
from world import send

ROTATIONS = 3
CLIENTS = 4
DAY = 86_400
STEP_SECONDS = 90
# From the making of a key until its predecessor is gone: an hour ahead, two hours after, and a little more.
OVERLAP_SECONDS = 3 * 3600 + 600
RESOURCE = "https://mcp.example/mcp"
CLIENT_ID = "rotation"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
SEED = {
    "tools": [{"id": "rotation", "name": "Rotation"}],
    "clients": [
        {
            "client_id": CLIENT_ID,
            "tool": "rotation",
            "client_name": "Rotation",
            "redirect_uris": ["http://127.0.0.1/callback"],
        }
    ],
    "resources": [{"resource": RESOURCE, "scopes": [{"name": "use", "description": "Use it"}]}],
    "lifetimes": {"refresh_idle_seconds": 365 * DAY, "refresh_absolute_seconds": 365 * DAY},
}


class Servers:
    """The two servers and their clock."""

    def __init__(self, program: str, folder: Path):
        seed = folder / "seed.json"
        seed.write_text(json.dumps(SEED))
        self.process = subprocess.Popen([program, str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        said = json.loads(self.process.stdout.readline())
        self.issuer, self.urls, self.now = said["issuer"], said["servers"], said["now"]

    def command(self, line: str) -> int:
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        said = json.loads(self.process.stdout.readline())
        self.now = said["now"]
        return said["changed"]


class Verifier:
    """A resource that verifies by itself: one key set per server, kept for exactly as long as it may be."""

    def __init__(self, servers: Servers):
        self.servers, self.sets, self.fetches = servers, {}, 0

    def keys(self, server: str) -> jwt.PyJWKSet:
        kept = self.sets.get(server)
        if kept is None or self.servers.now >= kept[1]:
            asked = self.servers.now
            answer = send("GET", f"{server}/jwks.json")
            age = int(re.search(r"max-age=(\d+)", answer.headers["cache-control"])[1])
            kept = self.sets[server] = (jwt.PyJWKSet.from_dict(answer.json), asked + age)
            self.fetches += 1
        return kept[0]

    def verify(self, token: str, server: str) -> dict:
        key = self.keys(server)[jwt.get_unverified_header(token)["kid"]]
        # The library's clock is not that of the story; whoever calls this looks at `exp`.
        options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False, "require": ["exp", "iat", "sub"]}
        return jwt.decode(
            token, key, algorithms=["ES256"], audience=RESOURCE, issuer=self.servers.issuer, options=options
        )


def authorize(servers: Servers, user: str) -> str:
    """One person allows the client; its refresh token."""
    callback = Callback()
    redirect_uri = callback.redirect_uri()
    query = {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": redirect_uri,
        "state": user,
        "scope": "use",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        "resource": RESOURCE,
    }
    with callback:
        Browser(user, "allow").open(f"{servers.urls[0]}/authorize?{urlencode(query)}")
    form = {
        "grant_type": "authorization_code",
        "code": callback.answers()[0]["code"],
        "code_verifier": VERIFIER,
        "client_id": CLIENT_ID,
        "redirect_uri": redirect_uri,
    }
    return token(servers.urls[0], form)["refresh_token"]


def token(server: str, form: dict) -> dict:
    answer = send("POST", f"{server}/token", {"Content-Type": "application/x-www-form-urlencoded"}, urlencode(form))
    if answer.status != 200:
        raise AssertionError(f"{answer.status} {answer.body}")
    return answer.json


class Client(Thread):
    """Refreshes all the time, and has its own verifier."""

    def __init__(self, servers: Servers, user: str, turn: Condition):
        super().__init__(daemon=True)
        self.servers, self.turn = servers, turn
        self.refresh_token = authorize(servers, user)
        self.verifier = Verifier(servers)
        self.live: list[tuple[str, int]] = []
        self.rounds = self.verified = self.refreshed = 0
        self.kids: set[str] = set()
        self.failures: list[str] = []
        self.ends = False

    def run(self):
        while not self.ends:
            try:
                self.round()
            except Exception as error:
                self.failures.append(f"at {self.servers.now}: {type(error).__name__}: {error}")
                self.ends = True
            with self.turn:
                self.rounds += 1
                self.turn.notify_all()

    def round(self):
        form = {"grant_type": "refresh_token", "refresh_token": self.refresh_token, "client_id": CLIENT_ID}
        answer = token(random.choice(self.servers.urls), form)
        self.refreshed += 1
        self.refresh_token = answer["refresh_token"]
        access = answer["access_token"]
        self.kids.add(jwt.get_unverified_header(access)["kid"])
        self.live = [(kept, exp) for kept, exp in self.live if exp > self.servers.now][-20:]
        claims = self.verifier.verify(access, self.servers.urls[0])
        self.live.append((access, claims["exp"]))
        for kept, _ in self.live:
            for server in self.servers.urls:
                self.verifier.verify(kept, server)
                self.verified += 1


def everybody_works(clients: list[Client], turn: Condition) -> None:
    """Returns when each client has begun and ended at least one round since."""
    with turn:
        goal = {client: client.rounds + 2 for client in clients}
        turn.wait_for(lambda: all(client.ends or client.rounds >= goal[client] for client in clients))


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rotation-") as folder:
        servers = Servers(sys.argv[1], Path(folder))
        try:
            turn = Condition()
            clients = [Client(servers, f"user{number}", turn) for number in range(CLIENTS)]
            for client in clients:
                client.start()
            started = servers.now
            for _ in range(ROTATIONS):
                while not servers.command("rotate"):
                    servers.command(f"advance {DAY // 2}")
                    everybody_works(clients, turn)
                until = servers.now + OVERLAP_SECONDS
                while servers.now < until:
                    servers.command(f"advance {STEP_SECONDS}")
                    servers.command("rotate")
                    everybody_works(clients, turn)
            for client in clients:
                client.ends = True
            for client in clients:
                client.join()
        finally:
            servers.process.stdin.close()
            servers.process.wait()
    failures = [failure for client in clients for failure in client.failures]
    kids = set().union(*(client.kids for client in clients))
    print(
        f"{sum(client.verified for client in clients)} verifications of {sum(client.refreshed for client in clients)} tokens"
        f" signed with {len(kids)} keys in {(servers.now - started) // DAY} days,"
        f" {sum(client.verifier.fetches for client in clients)} key sets fetched:"
        f" {len(failures)} failed ({time.monotonic() - began:.1f} s)"
    )
    for failure in failures:
        print(f"  {failure}")
    if len(kids) <= ROTATIONS - 1:
        print(f"FAILED  the keys hardly rotated: {len(kids)}")
        return 1
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
