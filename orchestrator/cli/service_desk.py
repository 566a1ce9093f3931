"""`atlas serve`: what the server is made of, and the worker beside it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcp_servers.gate import LOOPBACK
from mcp_servers.manners import Policy
from mcp_servers.serving import Address, is_loopback, listening
from mcp_servers.subscriptions import Subscriptions
from orchestrator.asking import Reach
from orchestrator.changes import Changes
from orchestrator.cli.compose import House, more_files, private_directory, whoami, workshop
from orchestrator.cli.driving import Interruption, serve_queue
from orchestrator.cli.server import TOKEN_FILE, tokens_of, write_secret
from orchestrator.cli.voice_means import voice_means
from orchestrator.feeds import Feeds
from orchestrator.fleet_metrics import FleetMetrics
from orchestrator.health import Health, Verdict
from orchestrator.hints import Hints
from orchestrator.http.access import Failures
from orchestrator.http.app import Names, application
from orchestrator.http.bounds import PLAN_BODY_BYTES
from orchestrator.http.parts import Parts
from orchestrator.http.server import serving
from orchestrator.http.streams import Streams
from orchestrator.looking import Looking
from orchestrator.mcp.mounted import Mounted, caller_of
from orchestrator.mcp.server import orchestration
from orchestrator.mcp.tasks import RunTasks
from orchestrator.mcp.tools import RunTools
from orchestrator.metrics import ProcessMetrics
from orchestrator.tasks import ended
from orchestrator.tokens import Tokens
from state import reading
from voice.serving import Voice
from voice.wishes import Network

if TYPE_CHECKING:
    from voice.sessions import Means

_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104


@dataclass(frozen=True, slots=True)
class Desk:
    """`slots`: TODOs that are carried out here at a time; 0: other processes do it."""

    house: House
    address: Address
    slots: int

    async def serve(self) -> int:
        """Until told to stop."""
        house = self.house
        more_files()
        interruption = Interruption()  # before anything is made that a signal would leave behind
        tokens = tokens_of(house)
        parts = self._parts(tokens)
        metrics = ProcessMetrics(slots=self.slots)
        metrics.watchers(lambda: parts.streams.open)
        metrics.add(fleet := FleetMetrics(house.store, self._alive))

        async def text() -> bytes:
            await fleet.refresh()
            return metrics.text()

        mcp = _orchestration(parts)
        talk = self._talk()
        app = application(parts, Health(ready={"database": self._database}, metrics=text), self._names(), mcp, talk)

        def close() -> None:
            parts.streams.close()
            mcp.close()
            talk.close()

        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(fleet.close)
            listener = stack.enter_context(listening(self.address))
            secret = await tokens.first(whoami()) if not tokens.given else None
            server = await stack.enter_async_context(serving(app, listener, close, websockets=talk.websockets))
            self._say(listener.getsockname()[1], secret)
            stopping = asyncio.create_task(interruption.wait())
            working = asyncio.create_task(self._work(metrics, interruption))
            try:
                await asyncio.wait([server, stopping, working], return_when=asyncio.FIRST_COMPLETED)
                if interruption.number is None:
                    return 1  # something has ended by itself, and has said why
                close()
                await working
            finally:
                await ended(stopping, working)
        return 0

    async def _work(self, metrics: ProcessMetrics, interruption: Interruption) -> None:
        if not self.slots:
            await interruption.wait()
            return
        async with workshop(self.house) as shop:
            await serve_queue(self.house.metered(metrics), shop, self.slots, interruption, metrics=metrics)

    def _parts(self, tokens: Tokens) -> Parts:
        house = self.house
        changes = Changes(house.store, house.artifacts, private_directory(house.settings.home / "repositories"))
        return Parts(
            service=house.service, looking=Looking(house.store), telling=house.telling, changes=changes,
            feeds=Feeds(house.store), hints=Hints(house.store), tokens=tokens,
            reach=Reach(house.settings.serve_repositories, house.settings.serve_remotes), streams=Streams(),
            failures=Failures(),
        )  # fmt: skip

    def _names(self) -> Names:
        host = self.address.host
        everywhere = host in _EVERYWHERE
        names = LOOPBACK if everywhere or is_loopback(host) else {host}
        return Names(
            hosts=frozenset((*names, *self.address.hosts)),
            origins=frozenset(self.address.origins),
            addresses=everywhere,
        )

    def _talk(self) -> Voice:
        """Behind a proxy, which other names tell of, clients are elsewhere even if it listens on loopback."""
        here = is_loopback(self.address.host) and not self.address.hosts
        network = Network(ice_servers=self.house.settings.voice_ice_servers, here=here)
        return Voice(self._voice_means, network)

    def _voice_means(self) -> AbstractAsyncContextManager[Means]:
        from voice.choices import Choices

        return voice_means(self.house, Choices(chimes=self.house.settings.voice_chimes))

    async def _database(self) -> Verdict:
        await self.house.store.read(reading.now)
        return None

    async def _alive(self) -> int:
        boots = await self.house.store.read(reading.queue_workers)
        return sum(verdict == "alive" for verdict in (await self.house.census.verdicts(boots)).values())

    def _say(self, port: int, secret: str | None) -> None:
        """Where it is, and how to come in; a new secret once, in the part of a URL that browsers keep to themselves."""
        host = self.address.host if self.address.host not in _EVERYWHERE else "127.0.0.1"
        url = f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
        if secret:
            path = self.house.settings.home / TOKEN_FILE
            write_secret(path, secret)
            print(f"the first token, also in {path}: {secret}", file=sys.stderr)
            url = f"{url}#token={secret}"
        elif (path := self.house.settings.home / TOKEN_FILE).exists():
            print(f"log in with a token; {path} has one", file=sys.stderr)
        print(f"listening on {url}", file=sys.stderr, flush=True)


def _orchestration(parts: Parts) -> Mounted:
    """At /mcp: what clients may do there, their tokens say."""
    bodies = RunTools(parts.service, parts.looking, parts.reach, caller_of)
    subscriptions = Subscriptions()
    server = orchestration(bodies, subscriptions, Policy(), RunTasks(parts.service, caller_of))
    return Mounted(server, subscriptions, PLAN_BODY_BYTES)
