"""What `atlas serve` has below ``/voice``: the page, and what it talks to. Pipecat is loaded by whoever comes first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import WebSocketRoute

from orchestrator.http.access import STILL
from orchestrator.http.parts import caller_of
from orchestrator.http.problems import of_error, problem
from state.errors import EngineUnavailable
from voice.wishes import Answer, Bounds, Candidates, Full, Network, Offer

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from voice.rooms import Rooms
    from voice.sessions import Means

    OpenMeans = Callable[[], AbstractAsyncContextManager[Means]]

PAGE = Path(__file__).parent / "page"
NEEDED = "pipecat", "aiortc", "websockets"
"""Packages, of the extra `voice`."""
_HINT = "Install Atlas with its extra, atlas-orchestrator[voice], and start the server again."
_MISSING = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Talk – Atlas</title><link rel="stylesheet" href="/static/app.css"></head><body><main class="card"><h1>Talk</h1>
<p>This server can't hear or speak. Install <code>atlas-orchestrator[voice]</code> where it runs,
and start it again.</p>
<p><a href="/">To the dashboard</a></p></main></body></html>
"""
_HEADERS = {"Cache-Control": "no-cache", "Permissions-Policy": "camera=(), geolocation=(), microphone=(self)"}


class Voice:
    """An `orchestrator.http.annex.Annex`. Without the extra `voice` it says what to install.
    `means` is opened by whoever comes first, and closed when it ends."""

    def __init__(
        self, means: OpenMeans, network: Network, bounds: Bounds | None = None, needed: Sequence[str] = NEEDED
    ) -> None:
        self._means = means
        self._opened = AsyncExitStack()
        self.network = network
        self._bounds = bounds or Bounds()
        self._installed = all(find_spec(each) for each in needed)
        self._rooms: Rooms | None = None
        self._entering = asyncio.Lock()
        self._closed = False

    @property
    def websockets(self) -> bool:
        """Whether they can be spoken."""
        return self._installed

    @property
    def entered(self) -> Rooms | None:
        """Where conversations are, if anybody has come yet."""
        return self._rooms

    def close(self) -> None:
        """End all conversations."""
        self._closed = True
        if self._rooms:
            self._rooms.close()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Conversations end with it."""
        try:
            yield
        finally:
            self.close()
            async with self._opened:
                if self._rooms:
                    await self._rooms.closed()

    async def rooms(self) -> Rooms:
        """Where conversations are. `EngineUnavailable`: what they need is not installed."""
        if not self._installed:
            raise EngineUnavailable("this server can't hear or speak", _HINT)
        async with self._entering:
            if self._rooms is None:  # in a thread: it is much code
                from voice.logs import to_logging

                to_logging()
                module = await asyncio.to_thread(import_module, "voice.rooms")
                means = await self._opened.enter_async_context(self._means())
                rooms: Rooms = module.Rooms(means, self.network, self._bounds)
                if self._closed:
                    rooms.close()
                self._rooms = rooms
        return self._rooms

    @property
    def router(self) -> APIRouter:
        """See `Annex`."""
        router = APIRouter(prefix="/voice", include_in_schema=False)
        _pages(router, installed=self._installed)
        _talk(router, self)
        router.routes.append(WebSocketRoute("/voice/ws", _Socket(self)))
        return router


class _Socket:
    """An ASGI application."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            rooms = await self._voice.rooms()
        except EngineUnavailable as error:
            await of_error(error)(scope, receive, send)
        else:
            await rooms.socket(scope, receive, send)


def _pages(router: APIRouter, *, installed: bool) -> None:
    files = frozenset(each.name for each in PAGE.iterdir() if each.is_file())

    @router.api_route("", methods=["GET", "HEAD"])
    async def page() -> Response:
        if not installed:
            return HTMLResponse(_MISSING, 501)
        return FileResponse(PAGE / "index.html", headers=_HEADERS)

    @router.api_route("/static/{name}", methods=["GET", "HEAD"])
    async def file(name: str) -> Response:
        if name not in files:
            return problem(404, "not_found", f"there is no {name[:100]!r}")
        return FileResponse(PAGE / name, headers={"Cache-Control": "no-cache"})

    _ = page, file


def _talk(router: APIRouter, voice: Voice) -> None:
    @router.get("/api/setup")
    async def setup() -> Response:
        """What a page needs to know before it makes an offer; the server makes ready meanwhile."""
        await voice.rooms()
        return JSONResponse({"ice_servers": list(voice.network.ice_servers)})

    @router.post("/api/offer", response_model=Answer)
    async def offer(body: Offer, request: Request) -> Response:
        try:
            rooms = await voice.rooms()
            found = await rooms.offer(caller_of(request), body, request.scope["state"][STILL])
        except Full as error:
            return problem(429, error.code, error.message, error.hint, {"Retry-After": "1"})
        return JSONResponse(found.model_dump())

    @router.patch("/api/offer")
    async def candidates(body: Candidates, request: Request) -> Response:
        await (await voice.rooms()).candidates(caller_of(request), body)
        return JSONResponse({"status": "success"})

    @router.get("/ws")
    async def plain() -> Response:
        await voice.rooms()
        return problem(426, "upgrade_required", "a WebSocket is spoken here", headers={"Upgrade": "websocket"})

    _ = setup, offer, candidates, plain
