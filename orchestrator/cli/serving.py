"""Commands that serve other programs: the MCP servers."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable, Generator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.orchestrating import orchestrator
from orchestrator.cli.running import told
from orchestrator.collector import imported_for_good
from state.errors import InputError, SettingsError

if TYPE_CHECKING:
    from mcp.server import MCPServer

    from mcp_servers.manners import Policy
    from orchestrator.settings import Settings

ReadOnly = Annotated[bool, typer.Option("--read-only", help="Offer only tools that change nothing.")]
Destructive = Annotated[bool, typer.Option("--allow-destructive", help="Offer tools that destroy for good, too.")]
Longest = Annotated[float, typer.Option(min=1, max=86_400, metavar="SECONDS", help="No call takes longer.")]
Http = Annotated[int | None, typer.Option(min=0, max=65_535, metavar="PORT", help="HTTP, not stdio; 0: any port.")]
Host = Annotated[str, typer.Option(help="Address to listen on, with --http.")]
AllowHost = Annotated[
    list[str], typer.Option("--allow-host", help="Another name that clients use for it: name[:port].")
]
AllowOrigin = Annotated[list[str], typer.Option("--allow-origin", help="A web page that may use it.")]
TokenFile = Annotated[Path | None, typer.Option(help="Holds the bearer token for --http; else ATLAS_TOKEN.")]
FileRoots = Annotated[list[Path], typer.Option("--root", help="Files below this directory may be used; repeatable.")]


@dataclass(frozen=True, slots=True)
class Making:
    """What a server is made of: the policy, the settings, the token if there is one, and a stack for what it opens."""

    policy: Policy
    settings: Settings
    token: str | None
    stack: AsyncExitStack


Make = Callable[[Making], Awaitable["MCPServer[Any]"]]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    servers = typer.Typer(no_args_is_help=True, help="MCP servers, over stdio or HTTP, for AI clients.")
    servers.command("git")(git)
    servers.command("s3")(s3)
    servers.command("container")(container)
    servers.command("orchestrator")(orchestrator)
    app.add_typer(servers, name="mcp")


def git(
    root: Annotated[list[Path], typer.Option(help="Repositories below this directory may be used; repeatable.")],
    read_only: ReadOnly = False,
    allow_destructive: Destructive = False,
    allow_force: Annotated[bool, typer.Option("--allow-force", help="Allow forced pushes (with lease).")] = False,
    credential_helper: Annotated[str | None, typer.Option(help="git's, for https. Repositories name none.")] = None,
    longest: Longest = 600.0,
    http: Http = None,
    host: Host = "127.0.0.1",
    allow_host: AllowHost = [],  # noqa: B006  as Typer takes it
    allow_origin: AllowOrigin = [],  # noqa: B006
    token_file: TokenFile = None,
) -> None:
    """Git tools for the repositories below --root."""

    async def make(making: Making) -> MCPServer[Any]:
        from mcp_servers.git.identity import operator_identity
        from mcp_servers.git.server import git_server

        return git_server(
            root, making.policy, allow_force=allow_force, credential_helper=credential_helper,
            user=operator_identity(making.settings.home), token=making.token,
        )  # fmt: skip

    _serve(make, (read_only, allow_destructive, longest), (http, host, allow_host, allow_origin, token_file))


def s3(
    allow: Annotated[list[str], typer.Option(help="s3://bucket or s3://bucket/prefix that may be used; repeatable.")],
    root: FileRoots = [],  # noqa: B006
    read_only: ReadOnly = False,
    allow_destructive: Destructive = False,
    presign_seconds: Annotated[int, typer.Option(min=1, max=604_800, help="Longest life of a presigned URL.")] = 3_600,
    longest: Longest = 600.0,
    http: Http = None,
    host: Host = "127.0.0.1",
    allow_host: AllowHost = [],  # noqa: B006
    allow_origin: AllowOrigin = [],  # noqa: B006
    token_file: TokenFile = None,
) -> None:
    """S3 tools for what --allow names (Amazon S3, MinIO, …; ATLAS_S3_ENDPOINT and the usual AWS_* variables)."""

    async def make(making: Making) -> MCPServer[Any]:
        from mcp_servers.storage.s3 import S3Store
        from mcp_servers.storage.s3_calls import S3Settings
        from mcp_servers.storage.s3_reach import Reach
        from mcp_servers.storage.server import s3_server

        store = S3Store(S3Settings(endpoint=making.settings.s3_endpoint, region=making.settings.s3_region))
        making.stack.push_async_callback(store.close)
        return s3_server(
            Reach.of(allow), store, making.policy, roots=root, presign_seconds=presign_seconds, token=making.token
        )

    _serve(make, (read_only, allow_destructive, longest), (http, host, allow_host, allow_origin, token_file))


def container(
    root: FileRoots = [],  # noqa: B006
    network: Annotated[str, typer.Option(help="The engine's network for containers that ask for one.")] = "bridge",
    no_network: Annotated[bool, typer.Option("--no-network", help="No container has a network.")] = False,
    writable_root: Annotated[bool, typer.Option("--writable-root", help="Let containers change their image.")] = False,
    foreign: Annotated[bool, typer.Option("--foreign", help="Let containers of others be looked at.")] = False,
    no_builds: Annotated[bool, typer.Option("--no-builds", help="Offer no building of images.")] = False,
    read_only: ReadOnly = False,
    allow_destructive: Destructive = False,
    longest: Longest = 600.0,
    http: Http = None,
    host: Host = "127.0.0.1",
    allow_host: AllowHost = [],  # noqa: B006
    allow_origin: AllowOrigin = [],  # noqa: B006
    token_file: TokenFile = None,
) -> None:
    """Container tools over the hardened profile (Docker or Podman; DOCKER_HOST)."""

    async def make(making: Making) -> MCPServer[Any]:
        from mcp_servers.container.containers import Containers, Options
        from mcp_servers.container.server import container_server
        from orchestrator.cli.belongings import marked
        from orchestrator.cli.orphans import surviving
        from orchestrator.cli.persistence import opened

        options = Options(
            network=None if no_network else network, writable_root=writable_root, foreign=foreign, builds=not no_builds
        )
        # As a worker does: others see by it that this process, and so its containers, are alive.
        kept = opened(making.settings.database_url)
        making.stack.push_async_callback(kept.store.close)
        liveness = kept.liveness()
        making.stack.callback(liveness.close)
        contained = making.settings.home / "containers"
        making.stack.enter_context(marked(contained / liveness.boot))
        containers = Containers(
            boot=liveness.boot, home=str(making.settings.home), options=options,
            alive=partial(surviving, kept.census, contained),
        )  # fmt: skip
        return container_server(await making.stack.enter_async_context(containers), making.policy, root, making.token)

    _serve(make, (read_only, allow_destructive, longest), (http, host, allow_host, allow_origin, token_file))


def _serve(
    make: Make, policy: tuple[bool, bool, float], where: tuple[int | None, str, list[str], list[str], Path | None]
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
        port, host, hosts, origins, token_file = where
        token = _token(token_file) if port is not None else None
        rules = Policy(read_only=policy[0], allow_destructive=policy[1], seconds=policy[2])

        async def serve() -> None:
            with _ended_by_signals():
                async with AsyncExitStack() as stack:
                    server = await make(Making(rules, found, token, stack))
                    if port is None:
                        await serve_stdio(server)
                    else:
                        address = Address(port=port, host=host, hosts=hosts, origins=origins, token=token)
                        await serve_http(server, address, lambda url: _say(url, token))

        asyncio.run(serve())

    told(run)


@contextmanager
def _ended_by_signals() -> Generator[None]:
    """SIGTERM, or a terminal that is closed, cancels this task; when it has left what it opened, the process ends by
    SIGTERM. (While uvicorn serves, it takes that itself, and raises it again once it has closed its connections.)"""
    import asyncio

    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    taken = False

    def take(_number: int, _frame: object) -> None:
        nonlocal taken
        taken = True
        if task is not None:
            loop.call_soon_threadsafe(task.cancel)

    def hand_on(_number: int, _frame: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, take)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # not under nohup
        signal.signal(signal.SIGHUP, hand_on)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if taken:
            signal.raise_signal(signal.SIGTERM)


def _say(url: str, token: str | None) -> None:
    print(f"listening on {url}", file=sys.stderr)
    print("a bearer token is required" if token else "no token is required", file=sys.stderr, flush=True)


def _token(path: Path | None) -> str | None:
    if path is None:
        from orchestrator.settings import read_token

        return read_token(os.environ)
    try:
        token = path.read_text("utf-8").strip()
    except OSError as error:
        raise SettingsError(f"{path} can't be read: {error.strerror}", "Name a file that holds the token.") from error
    if not token:
        raise InputError(f"{path} is empty", "Put the token into it.")
    return token
