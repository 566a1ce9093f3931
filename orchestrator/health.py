"""Whether a worker is well, over HTTP: `GET /healthz`, `/readyz` and `/metrics`.

Anybody who reaches the address may ask: nothing is shown but numbers, the names of checks, and what they say.
`/healthz` asks to be restarted when it fails, `/readyz` only not to be counted on. The server lives in the worker's
event loop, so that a loop that hangs does not answer at all.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mcp_servers.storage.threads import completed
from orchestrator.metrics import CONTENT_TYPE
from state.errors import AtlasError, InputError
from state.limits import LEASE_SECONDS, POLL_SECONDS

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

log = logging.getLogger(__name__)

CHECK_SECONDS = 2.0
READY_SECONDS = 5 * POLL_SECONDS
"""A worker that polls hears from its database within one poll and a commit, however busy it is."""
_END_SECONDS = 1
"""What answers under way have, once the server is to end."""
_LAST_PORT = 65_535

Verdict = str | None
"""What is wrong, in words without names or secrets; None: nothing."""
Check = Callable[[], Verdict | Awaitable[Verdict]]


@dataclass(frozen=True, slots=True)
class Health:
    """Named checks: `alive` for ``/healthz``, `ready` for ``/readyz``. `metrics` is the text of ``/metrics``."""

    alive: Mapping[str, Check] = field(default_factory=dict[str, Check])
    ready: Mapping[str, Check] = field(default_factory=dict[str, Check])
    metrics: Callable[[], Awaitable[bytes]] | None = None


def lease_fresh(age: Callable[[], float], limit: float = LEASE_SECONDS) -> Check:
    """The worker's lease was renewed less than `limit` seconds ago."""
    return lambda: _older(age(), limit, "not renewed")


def database_answers(silent: Callable[[], float], limit: float = READY_SECONDS) -> Check:
    """The database, which is asked all the time, answered less than `limit` seconds ago. Asks nothing itself: probes
    must not load a database that is in trouble. See `orchestrator.measured_store.MeasuredStore.silent`."""
    return lambda: _older(silent(), limit, "no answer")


def not_draining(draining: Callable[[], bool]) -> Check:
    """The worker takes TODOs."""
    return lambda: "draining" if draining() else None


def _older(seconds: float, limit: float, what: str) -> Verdict:
    return f"{what} for {seconds:.1f} s; the limit is {limit:g} s" if seconds >= limit else None


async def failures(checks: Mapping[str, Check], within: float = CHECK_SECONDS) -> dict[str, str]:
    """What the checks found, by name; empty: all is well. A check that has not answered `within` so many seconds has
    failed. Of what one raises only its kind is told."""
    found = await asyncio.gather(*(_asked(check, within) for check in checks.values()))
    return {name: verdict for name, verdict in zip(checks, found, strict=True) if verdict is not None}


async def _asked(check: Check, within: float) -> Verdict:
    try:
        async with asyncio.timeout(within):
            verdict = check()
            return await verdict if inspect.isawaitable(verdict) else verdict
    except TimeoutError:
        return f"no answer within {within:g} s"
    except AtlasError as error:
        return error.code
    except Exception as error:
        log.warning("a check of this worker's health broke", exc_info=error)
        return type(error).__name__


@asynccontextmanager
async def serving(health: Health, *, port: int, host: str = "127.0.0.1") -> AsyncGenerator[int]:
    """Answer while this lasts; yields the port (0 takes a free one; a `host` that begins with `/` is the path of a Unix
    socket, which has none). `InputError`: the address can't be had.

    Signals are left to the caller. What is being asked when it ends is cut off after a second."""
    import uvicorn

    from orchestrator.http.server import PatientOnlySoLong

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Generator[None]:
            yield

    with _listening(host, port) as listener:
        config = uvicorn.Config(
            _app(health), http=PatientOnlySoLong, log_config=None,
            log_level="warning", access_log=False, lifespan="off", ws="none",
            server_header=False, timeout_graceful_shutdown=_END_SECONDS,
        )  # fmt: skip
        server = Server(config)
        running = asyncio.create_task(server.serve(sockets=[listener]), name="health")
        try:
            yield 0 if listener.family == socket.AF_UNIX else listener.getsockname()[1]
        finally:
            server.should_exit = True
            await completed(running)


def _listening(host: str, port: int) -> socket.socket:
    try:
        if host.startswith("/"):
            return _at(Path(host))
        if not 0 <= port <= _LAST_PORT:
            raise OSError("no such port")
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        where = host if host.startswith("/") else f"{host} port {port}"
        raise InputError(f"cannot listen on {where}: {error}", "Choose another.") from error


def _at(path: Path) -> socket.socket:
    """In place of the socket that an earlier worker has left there, and of nothing else: none that answers."""
    if path.is_socket():
        with socket.socket(socket.AF_UNIX) as asking:
            if asking.connect_ex(str(path)) == 0:
                raise OSError("somebody listens there")
        path.unlink()
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(str(path))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


def _app(health: Health) -> Starlette:
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse, PlainTextResponse
    from starlette.responses import Response as Answer
    from starlette.routing import Route

    async def judged(checks: Mapping[str, Check]) -> Response:
        reasons = await failures(checks)
        if reasons:
            return JSONResponse({"status": "failing", "reasons": reasons}, 503)
        return JSONResponse({"status": "ok"})

    async def healthz(_: Request) -> Response:
        return await judged(health.alive)

    async def readyz(_: Request) -> Response:
        return await judged(health.ready)

    async def metrics(_: Request) -> Response:
        if health.metrics is None:
            return PlainTextResponse("there are no metrics here", 404)
        return Answer(await health.metrics(), headers={"content-type": CONTENT_TYPE})

    return Starlette(
        routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)],
    )
