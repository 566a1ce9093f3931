"""Commands that serve other programs: the MCP servers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.running import told
from orchestrator.collector import imported_for_good
from state.errors import InputError, SettingsError

if TYPE_CHECKING:
    from mcp.server import MCPServer

    from mcp_servers.manners import Policy

ReadOnly = Annotated[bool, typer.Option("--read-only", help="Offer only tools that change nothing.")]
Destructive = Annotated[bool, typer.Option("--allow-destructive", help="Offer tools that destroy what is not saved.")]
Longest = Annotated[float, typer.Option(min=1, max=86_400, metavar="SECONDS", help="No call takes longer.")]
Http = Annotated[
    int | None, typer.Option(min=0, max=65_535, metavar="PORT", help="Serve HTTP instead of stdio; 0: any.")
]
Host = Annotated[str, typer.Option(help="Address to listen on, with --http.")]
AllowHost = Annotated[
    list[str], typer.Option("--allow-host", help="Another name clients use for it (name or name:port).")
]
AllowOrigin = Annotated[list[str], typer.Option("--allow-origin", help="A web page that may use it.")]
TokenFile = Annotated[Path | None, typer.Option(help="Holds the bearer token for --http; else ATLAS_TOKEN.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    servers = typer.Typer(no_args_is_help=True, help="MCP servers, over stdio or HTTP, for AI clients.")
    servers.command("git")(git)
    app.add_typer(servers, name="mcp")


def git(
    root: Annotated[list[Path], typer.Option(help="Repositories below this directory may be used; repeatable.")],
    read_only: ReadOnly = False,
    allow_destructive: Destructive = False,
    allow_force: Annotated[bool, typer.Option("--allow-force", help="Allow forced pushes (with lease).")] = False,
    credential_helper: Annotated[
        str | None, typer.Option(help="git's, for https; the repositories' own is ignored.")
    ] = None,
    longest: Longest = 600.0,
    http: Http = None,
    host: Host = "127.0.0.1",
    allow_host: AllowHost = [],  # noqa: B006  as Typer takes it
    allow_origin: AllowOrigin = [],  # noqa: B006
    token_file: TokenFile = None,
) -> None:
    """Git tools for the repositories below --root."""

    def make(policy: Policy, token: str | None, stack: ExitStack) -> MCPServer[Any]:
        from mcp_servers.git.identity import operator_identity
        from mcp_servers.git.server import git_server

        return git_server(
            root, policy, allow_force=allow_force, credential_helper=credential_helper,
            user=stack.enter_context(operator_identity()), token=token,
        )  # fmt: skip

    policy = (read_only, allow_destructive, longest)
    _serve(make, policy, http, host, allow_host, allow_origin, token_file)


def _serve(
    make: Callable[[Policy, str | None, ExitStack], MCPServer[Any]],
    policy: tuple[bool, bool, float],
    port: int | None,
    host: str,
    hosts: list[str],
    origins: list[str],
    token_file: Path | None,
) -> None:
    def run() -> None:
        with imported_for_good():
            import asyncio

            from mcp_servers.manners import Policy
            from mcp_servers.serving import Address, serve_http, serve_stdio
        from orchestrator.cli.compose import settings
        from orchestrator.logs import KnownSecrets, configure

        found = settings()
        configure(found.log_level, found.log_format, KnownSecrets())
        token = _token(token_file) if port is not None else None
        read_only, destructive, longest = policy
        with ExitStack() as stack:
            rules = Policy(read_only=read_only, allow_destructive=destructive, seconds=longest)
            server = make(rules, token, stack)
            if port is None:
                asyncio.run(serve_stdio(server))
            else:
                address = Address(port=port, host=host, hosts=hosts, origins=origins, token=token)
                asyncio.run(serve_http(server, address, _say))

    told(run)


def _say(url: str) -> None:
    print(f"listening on {url}", file=sys.stderr, flush=True)


def _token(path: Path | None) -> str | None:
    if path is None:
        return os.environ.get("ATLAS_TOKEN") or None
    try:
        token = path.read_text("utf-8").strip()
    except OSError as error:
        raise SettingsError(f"{path} can't be read: {error.strerror}", "Name a file that holds the token.") from error
    if not token:
        raise InputError(f"{path} is empty", "Put the token into it.")
    return token
