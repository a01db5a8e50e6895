"""A protected MCP server built with the MCP Python SDK: `resource_python_sdk.py PORT ISSUER`.

It names the authorization server in its RFC 9728 metadata and accepts the access tokens of RFC 9068 only.
"""

from __future__ import annotations

import asyncio
import json
import sys
import urllib.request

import jwt
import uvicorn
from jwt import PyJWKClient
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer

SCOPE = "tools:call"


class Verifier:
    """Checks an access token as RFC 9068, section 4, asks of a resource server."""

    def __init__(self, issuer: str, resource: str):
        self.issuer, self.resource, self.keys = issuer, resource, None

    def verify(self, token: str) -> dict:
        if self.keys is None:
            with urllib.request.urlopen(f"{self.issuer}/.well-known/oauth-authorization-server", timeout=10) as answer:
                self.keys = PyJWKClient(json.load(answer)["jwks_uri"])
        if jwt.get_unverified_header(token).get("typ", "").lower() not in ("at+jwt", "application/at+jwt"):
            raise jwt.InvalidTokenError("not an access token")
        return jwt.decode(
            token,
            self.keys.get_signing_key_from_jwt(token).key,
            algorithms=["ES256"],
            audience=self.resource,
            issuer=self.issuer,
            options={"require": ["iss", "aud", "exp", "iat", "sub", "jti", "client_id", "scope"], "strict_aud": True},
        )

    async def verify_token(self, token: str) -> AccessToken | None:
        try:
            claims = await asyncio.to_thread(self.verify, token)
        except jwt.PyJWTError as error:
            print(f"token refused: {error}", file=sys.stderr)
            return None
        return AccessToken(
            token=token,
            client_id=claims["client_id"],
            scopes=claims["scope"].split(),
            expires_at=claims["exp"],
            resource=claims["aud"],
            subject=claims["sub"],
            claims=claims,
        )


def main(port: int, issuer: str) -> None:
    resource = f"http://127.0.0.1:{port}/mcp"
    server = MCPServer(
        "interop",
        token_verifier=Verifier(issuer, resource),
        auth=AuthSettings(
            issuer_url=issuer, resource_server_url=resource, required_scopes=[SCOPE], validate_token_resource=True
        ),
        log_level="WARNING",
    )

    @server.tool(description="The claims of the token that came with this call")
    def whoami() -> str:
        return json.dumps(get_access_token().claims)

    uvicorn.run(server.streamable_http_app(), host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
