"""A client by the Python SDK, led by lines on standard input.

`call` calls the tool, `expire` lets the access token be over by the client's clock. When the SDK sends the user to the
browser, this says `asks ADDRESS` and reads the address that the browser came back to.
"""

import sys
from urllib.parse import parse_qs, urlsplit

import anyio
import httpx2
from mcp.client.auth import OAuthClientProvider
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import (
    AuthorizationCodeResult,
    OAuthClientInformationFull,
    OAuthClientMetadata,
)

ADDRESS, CLIENT_ID, CALLBACK = sys.argv[1:]


def say(*words: str) -> None:
    print(*words, flush=True)


async def read_line() -> str:
    return (await anyio.to_thread.run_sync(sys.stdin.readline)).strip()


class Storage:
    """In memory. A client that was registered beforehand knows its id; another registers itself."""

    def __init__(self) -> None:
        self.tokens = None
        self.client = None
        if CLIENT_ID:
            self.client = OAuthClientInformationFull(
                client_id=CLIENT_ID, redirect_uris=[CALLBACK], token_endpoint_auth_method="none"
            )

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens) -> None:
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client) -> None:
        self.client = client
        say("registered", client.client_id)


async def ask(address: str) -> None:
    say("asks", address)


async def come_back() -> AuthorizationCodeResult:
    query = parse_qs(urlsplit(await read_line()).query)
    return AuthorizationCodeResult(**{name: query[name][0] for name in ("code", "state", "iss") if name in query})


async def main() -> None:
    storage = Storage()
    metadata = OAuthClientMetadata(redirect_uris=[CALLBACK], token_endpoint_auth_method="none", client_name="A test")
    provider = OAuthClientProvider(ADDRESS, metadata, storage, ask, come_back)
    async with httpx2.AsyncClient(auth=provider, timeout=20) as http:
        while line := await read_line():
            if line == "expire":
                provider.context.token_expiry_time = 1
                say("expired")
                continue
            async with Client(streamable_http_client(ADDRESS, http_client=http)) as client:
                result = await client.call_tool("whoami", {})
                say("answer", result.content[0].text)
                say("holds", storage.tokens.access_token, storage.tokens.refresh_token)


anyio.run(main)
