"""Those who want something of the fleet: they submit, hand in, answer, cancel, hold and resume, and do not give up when
the database or the broker is away."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aio_pika

from mcp_servers.storage.artifacts import Artifacts
from mcp_servers.storage.stores import ObjectStores
from orchestrator.brokers.rabbit_broker import RabbitBroker
from orchestrator.brokers.rabbitmq import Rabbit
from orchestrator.brokers.relay import Relay
from orchestrator.cli.compose import pin_repository, private_directory
from orchestrator.dispatch import Dispatch
from orchestrator.plan.reading import read_plan
from orchestrator.service import Service
from state.errors import Conflict, NotFound, StoreError
from state.postgres import PostgresStore
from state.records import QUEUE
from tests.chaos.fleet.demands import Demand

log = logging.getLogger(__name__)
T = TypeVar("T")
PERSON = "a person"
_PAUSE = 0.3


@dataclass
class Load:
    """Works on `demands` for `seconds`; `finish` repeats what may not have come through."""

    service: Service
    broker_url: str
    directory: Path
    chance: random.Random
    demands: list[Demand]
    told: dict[str, str] = field(default_factory=dict[str, str])
    """Runs that were submitted, by name."""
    _helpers: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    async def hand_out(self, seconds: float) -> None:
        """Everything, evenly."""
        loop = asyncio.get_running_loop()
        begin, total = loop.time(), sum(demand.size for demand in self.demands)
        done = 0
        for demand in self.demands:
            await asyncio.sleep(max(0.0, begin + seconds * done / total - loop.time()))
            done += demand.size
            for helper in self._helpers:
                if helper.done():
                    helper.result()
            self._help(self._want(demand))

    async def finish(self) -> None:
        """Return when all of it is in the database, and every person has had their say."""
        await asyncio.gather(*self._helpers)
        for demand in self.demands:
            while demand.kind == "intake" and not await self._known(demand.name):
                await self._hand_in(demand)
                await asyncio.sleep(_PAUSE)

    async def answer_questions(self) -> None:
        """Until cancelled."""
        while True:
            try:
                for question in await self.service.questions():
                    await self.service.answer(question.id, "yes", PERSON)
            except (StoreError, Conflict):
                pass
            await asyncio.sleep(_PAUSE)

    # --- one demand --------------------------------------------------------------------------------------------------

    async def _want(self, demand: Demand) -> None:
        if demand.kind == "intake":
            await self._hand_in(demand)
            return
        run = await self._submit(demand)
        self.told[demand.name] = run
        if demand.kind == "cancelled":
            await asyncio.sleep(self.chance.uniform(0.2, 4.0))
            await _surely(lambda: self.service.cancel(run, PERSON))
        elif demand.kind == "held":
            await asyncio.sleep(self.chance.uniform(0.2, 2.0))
            await _surely(lambda: self.service.hold(run, "a person wants a pause"))
            await asyncio.sleep(self.chance.uniform(0.2, 3.0))
            await _surely(lambda: self.service.resume(run, QUEUE))

    async def _submit(self, demand: Demand) -> str:
        """The run; looks for it before it submits once more, as it is not known whether the last time came through."""
        plan = read_plan(None, json.dumps(demand.document))
        while True:
            try:
                return (await self.service.submit(plan, self.directory)).run
            except StoreError as error:
                log.info("%s: %s", demand.name, error.message)
            if found := await self._known(demand.name):
                return found

    async def _known(self, name: str) -> str | None:
        async def look() -> str | None:
            try:
                return (await self.service.find(name)).id
            except NotFound:
                return None

        return await _surely(look)

    async def _hand_in(self, demand: Demand) -> None:
        """To the intake queue, confirmed; now and then twice."""
        body = json.dumps(demand.document).encode()
        for _ in range(self.chance.choice((1, 1, 2))):
            message = aio_pika.Message(body, message_id=demand.name, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
            try:
                async with asyncio.timeout(15), await aio_pika.connect(self.broker_url) as connection:
                    channel = await connection.channel(on_return_raises=True)
                    await channel.default_exchange.publish(message, "atlas.intake")
            except (
                *aio_pika.exceptions.CONNECTION_EXCEPTIONS,
                aio_pika.exceptions.AMQPError,
                asyncio.CancelledError,
            ) as error:
                if (task := asyncio.current_task()) and task.cancelling():
                    raise
                log.info("%s: not handed in: %r", demand.name, error)

    def _help(self, work: Awaitable[None]) -> None:
        self._helpers.add(asyncio.ensure_future(work))


async def _surely(call: Callable[[], Awaitable[T]]) -> T | None:
    """Its result, however often the database is away; None if it is too late."""
    while True:
        try:
            return await call()
        except StoreError as error:
            log.info("%s", error.message)
        except Conflict:
            return None
        await asyncio.sleep(_PAUSE)


@asynccontextmanager
async def opened_load(
    database: str, broker: str, store: str, directory: Path, chance: random.Random, demands: list[Demand]
) -> AsyncGenerator[Load]:
    """With a service of its own, composed as the command line does."""
    scratch = private_directory(directory / "scratch")
    kept = await asyncio.to_thread(PostgresStore, database)
    stores = ObjectStores(scratch=scratch)
    artifacts = Artifacts(stores, store.rstrip("/") + "/", scratch=scratch)
    rabbit = Rabbit(broker)
    relay = Relay(kept, RabbitBroker(rabbit))

    async def pin(repo: str, base: str | None, directory: Path | None) -> Any:
        return await pin_repository(artifacts, scratch, repo, base, directory)

    service = Service(Dispatch(kept, None, relay), artifacts, pin)
    load = Load(service, broker, directory, chance, demands)
    try:
        await rabbit.open(10.0)
        yield load
    finally:
        for task in load._helpers:  # pyright: ignore[reportPrivateUsage]
            task.cancel()
        await asyncio.gather(*load._helpers, return_exceptions=True)  # pyright: ignore[reportPrivateUsage]
        await relay.close()
        await rabbit.close()
        await stores.close()
        await kept.close()
