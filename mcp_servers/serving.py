"""An MCP server over stdio or streamable HTTP: one connection's worth of code, whatever the tools.

HTTP is never ``json_response`` and never stateless: a client that goes away could not be noticed then. Host and Origin
are checked on every address. Beyond loopback, and wherever a token is given, a bearer token is required.
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from state.errors import InputError

if TYPE_CHECKING:
    from anyio import AsyncFile
    from mcp.server import MCPServer
    from mcp.server.auth.provider import AccessToken, TokenVerifier
    from mcp.server.auth.settings import AuthSettings
    from mcp.server.extension import Extension
    from mcp.server.mcpserver.tools import Tool
    from starlette.types import ASGIApp

    from mcp_servers.subscriptions import Subscriptions

log = logging.getLogger(__name__)

PATH = "/mcp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where to listen. `hosts` are further names under which clients reach it (behind a proxy, say); `origins` further
    web pages that may use it. Port 0 takes a free one."""

    port: int
    host: str = "127.0.0.1"
    hosts: Sequence[str] = ()
    origins: Sequence[str] = ()
    token: str | None = None


def mcp_server(
    name: str,
    title: str,
    instructions: str,
    tools: list[Tool],
    token: str | None = None,
    subscriptions: Subscriptions | None = None,
    extensions: Sequence[Extension] = (),
) -> MCPServer[Any]:
    """A server with these tools; with a token, over HTTP for its bearers only; with resources that can be subscribed
    to, if its changes are published to `subscriptions`."""
    from importlib.metadata import version

    from mcp.server import MCPServer

    logging.getLogger("mcp").setLevel(logging.WARNING)  # what is refused has its audit line
    server: MCPServer[Any] = MCPServer(
        name,
        title=title,
        instructions=instructions,
        version=version("atlas-orchestrator"),
        tools=tools,
        auth=_auth() if token else None,
        token_verifier=_Bearer(token) if token else None,
        log_level="WARNING",
        subscriptions=subscriptions,
        extensions=extensions,
    )
    if subscriptions:
        subscriptions.serve(server)
    return server


async def serve_stdio(server: MCPServer[Any]) -> None:
    """Until the client closes our input."""
    from mcp.server.stdio import stdio_server

    from mcp_servers.stdio import claimed

    wire = claimed()
    if wire is None:
        await server.run_stdio_async()
        return
    lines, writing = cast("tuple[AsyncFile[str], AsyncFile[str]]", wire)  # as much of them as the SDK uses
    served = server._lowlevel_server  # pyright: ignore[reportPrivateUsage]  as `run_stdio_async` does
    async with stdio_server(lines, writing) as (incoming, outgoing):
        await served.run(incoming, outgoing, served.create_initialization_options())


async def serve_http(server: MCPServer[Any], address: Address, say: Callable[[str], None]) -> None:
    """Until SIGTERM or SIGINT; says the URL once it listens. `InputError`: the address can't be had, or is not safe."""
    import uvicorn

    if not address.token and not is_loopback(address.host):
        raise InputError(
            f"{address.host} can be reached from other machines, and no token is required",
            "Set ATLAS_TOKEN or name a --token-file; or listen on 127.0.0.1.",
        )
    with listening(address) as listener:
        port = listener.getsockname()[1]
        config = uvicorn.Config(
            _app(server, address), log_level="warning", access_log=False, timeout_graceful_shutdown=3
        )
        host = f"[{address.host}]" if ":" in address.host else address.host
        say(f"http://{host}:{port}{PATH}")
        await uvicorn.Server(config).serve(sockets=[listener])


def _app(server: MCPServer[Any], address: Address) -> ASGIApp:
    from mcp.server.transport_security import TransportSecuritySettings

    from mcp_servers.gate import LOOPBACK, Gate

    app = server.streamable_http_app(
        streamable_http_path=PATH,
        json_response=False,
        stateless_http=False,
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),  # the gate does it
    )
    everywhere = address.host in ("0.0.0.0", "::")  # noqa: S104
    names = LOOPBACK if everywhere or is_loopback(address.host) else {address.host}
    return Gate(app, {*names, *address.hosts}, set(address.origins), addresses=everywhere)


def listening(address: Address) -> socket.socket:
    """Listens there. `InputError`: the address can't be had."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    # asyncio switches Nagle's delays off where it reads TCP, which a socket made without it does not say
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address.host, address.port))
        listener.listen(256)
    except (OSError, OverflowError) as error:
        listener.close()
        raise InputError(f"cannot listen on {address.host} port {address.port}: {error}", "Choose another.") from error
    return listener


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _auth() -> AuthSettings:
    from mcp.server.auth.settings import AuthSettings
    from pydantic import AnyHttpUrl

    # No authorization server: the token is handed over by the operator.
    return AuthSettings(issuer_url=AnyHttpUrl("http://localhost"), resource_server_url=None, required_scopes=[])


class _Bearer:
    """`TokenVerifier` for the one token of this server."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    async def verify_token(self, token: str) -> AccessToken | None:
        from mcp.server.auth.provider import AccessToken

        if not hmac.compare_digest(token.encode(errors="surrogateescape"), self._token):
            log.warning("a request with a wrong token was refused")
            return None
        return AccessToken(token=token, client_id="operator", scopes=[])


if TYPE_CHECKING:
    _: type[TokenVerifier] = _Bearer
