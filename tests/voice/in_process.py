"""The voice server in the process of a test, whose tasks, threads and files can be counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from mcp_servers.serving import Address, listening
from orchestrator.http.access import STILL
from orchestrator.http.problems import handle
from orchestrator.http.server import serving
from orchestrator.tokens import Caller
from state.sqlite import SqliteStore
from tests.integration.task_workshop import task_workshop
from voice.engines.parts import Wanted
from voice.engines.selection import ChosenEngines
from voice.rooms import Rooms
from voice.serving import NEEDED, Voice
from voice.sessions import Means
from voice.wishes import Bounds, Network

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


@dataclass(frozen=True, slots=True)
class Here:
    """Where it is. Whoever comes is let in."""

    port: int
    voice: Voice
    store: SqliteStore
    token: str = "none"

    @property
    def rooms(self) -> Rooms:
        """Which somebody has entered."""
        assert self.voice.entered
        return self.voice.entered


@dataclass(frozen=True, slots=True)
class _Everybody:
    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            scope["state"] = {**scope.get("state", {}), "caller": Caller("somebody", "operate", True), STILL: _always}
        await self.app(scope, receive, send)


async def _always() -> bool:
    return True


@asynccontextmanager
async def voice_here(
    directory: Path, bounds: Bounds | None = None, needed: Sequence[str] = NEEDED, wanted: Wanted | None = None
) -> AsyncGenerator[Here]:
    """Up, and gone afterwards with all conversations."""
    store = SqliteStore(directory / "atlas.db")
    engines = ChosenEngines(wanted)
    try:
        async with task_workshop(directory, store) as shop:
            await engines.ready()
            means = Means(shop.service, store, engines)
            voice = Voice(lambda: nullcontext(means), Network(here=True), bounds, needed)
            app = FastAPI(lifespan=lambda _: voice.running())
            handle(app)
            app.include_router(voice.router)
            with listening(Address(port=0)) as listener:
                async with serving(_Everybody(app), listener, voice.close, websockets=voice.websockets):
                    if needed is NEEDED:
                        await voice.rooms()
                    yield Here(listener.getsockname()[1], voice, store)
    finally:
        await engines.close()
        await store.close()


async def settled(count: Any, wanted: Any, what: str, seconds: float = 20.0) -> None:
    """Until `count()` is no more than `wanted`; fails when it is not in time."""
    deadline = asyncio.get_running_loop().time() + seconds
    while (found := count()) > wanted:
        assert asyncio.get_running_loop().time() < deadline, f"{found} {what}, not {wanted}"
        await asyncio.sleep(0.05)
