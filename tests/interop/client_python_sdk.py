"""The MCP Python SDK as a client: `client_python_sdk.py CONFIG`, with the scenario as JSON; see README.md.

Prints one JSON object on its last line: what it was given, and what the tools answered.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from urllib.parse import parse_qs, parse_qsl

from callback import Callback
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientInformationFull, OAuthClientMetadata, OAuthToken


class Memory:
    """The SDK's storage port, kept in memory."""

    def __init__(self, client: OAuthClientInformationFull | None):
        self.client, self.tokens = client, None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


async def main(config: dict) -> dict:
    callback = Callback()
    redirect_uri = callback.redirect_uri(config["redirect_host"])
    registered = config.get("client_information")
    storage = Memory(
        OAuthClientInformationFull.model_validate(registered | {"redirect_uris": [redirect_uri]})
        if registered
        else None
    )
    browsed = 0

    async def redirect(url: str) -> None:
        nonlocal browsed
        browsed += 1
        browser = await asyncio.create_subprocess_exec(os.environ["BROWSER"], url, stdout=asyncio.subprocess.DEVNULL)
        if await browser.wait() != 0:
            raise RuntimeError("the browser did not come back")

    async def returned() -> AuthorizationCodeResult:
        query = {key: values[0] for key, values in parse_qs(callback.queries[-1]).items()}
        if "error" in query:
            raise RuntimeError(f"authorization refused: {query['error']}")
        return AuthorizationCodeResult(code=query["code"], state=query.get("state"), iss=query.get("iss"))

    provider = OAuthClientProvider(
        server_url=config["resource"],
        client_metadata=OAuthClientMetadata.model_validate(
            {
                "client_name": "Interop",
                "redirect_uris": [redirect_uri],
                "grant_types": ["authorization_code", "refresh_token"],
                "response_types": ["code"],
                "token_endpoint_auth_method": "none",
            }
            | config.get("client_metadata", {})
        ),
        storage=storage,
        redirect_handler=redirect,
        callback_handler=returned,
        client_metadata_url=config.get("client_metadata_url"),
    )

    async with (
        create_mcp_http_client(auth=provider) as http,
        Client(streamable_http_client(config["resource"], http_client=http)) as client,
    ):
        tools = [tool.name for tool in (await client.list_tools()).tools]
        calls = [json.loads((await client.call_tool("whoami", {})).content[0].text)]
        tokens = [storage.tokens.model_dump()]
        # This SDK refreshes by its own clock only.
        for _ in range(config.get("refreshes", 1)):
            provider.context.token_expiry_time = 1
            calls.append(json.loads((await client.call_tool("whoami", {})).content[0].text))
            tokens.append(storage.tokens.model_dump())
        if config.get("lose_access_token"):
            # An access token that the server refuses makes this SDK start over.
            provider.context.current_tokens = storage.tokens.model_copy(update={"access_token": "stale"})
            calls.append(json.loads((await client.call_tool("whoami", {})).content[0].text))
            tokens.append(storage.tokens.model_dump())

    return {
        "client_id": storage.client.client_id,
        "redirect_uri": redirect_uri,
        "callbacks": [parse_qsl(query, keep_blank_values=True) for query in callback.queries],
        "browsed": browsed,
        "tools": tools,
        "calls": calls,
        "tokens": tokens,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(json.loads(sys.argv[1])))))
