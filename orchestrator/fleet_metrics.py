"""How all of Atlas stands, for Prometheus: read from SQL when somebody asks, and not again for two seconds."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from state.errors import StoreError
from state.fleet import Fleet, Spend, Spending, fleet, spend_after
from state.ports import Store

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

log = logging.getLogger(__name__)

KEPT_SECONDS = 2.0
ANSWER_SECONDS = 3.0
"""What a database that is slow is waited for; then the scrape goes on without."""
_PAGES = 10
"""Of spend, at each look: a ledger of millions is read in a few scrapes, and does not keep others from reading."""
_NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class _Seen:
    at: float
    fleet: Fleet | None = None
    spend: dict[str, Spend] | None = None
    workers: int = 0


class FleetMetrics:
    """A collector of `ProcessMetrics`. `alive` counts the workers that are; what it raises counts as
    no answer of the database. Await `refresh` before each scrape: a collector can't wait for anything itself."""

    def __init__(
        self,
        store: Store,
        alive: Callable[[], Awaitable[int]],
        clock: Callable[[], float] = time.monotonic,
        patience: float = ANSWER_SECONDS,
    ) -> None:
        self._store = store
        self._alive = alive
        self._clock = clock
        self._patience = patience
        self._spending = Spending()
        self._seen = _Seen(float("-inf"))
        self._looking: asyncio.Task[_Seen] | None = None

    async def refresh(self) -> None:
        """Look again if the last look is too old. However many ask, one looks; and while that takes long, nobody else
        does, who would only stand in line behind it."""
        self._take()
        if self._looking is None and self._clock() - self._seen.at >= KEPT_SECONDS:
            self._looking = asyncio.create_task(self._look())
        if self._looking is not None:
            await asyncio.wait({self._looking}, timeout=self._patience)
            self._take()

    def _take(self) -> None:
        """What the look under way has found; nothing, as long as it is: what was seen before is too old."""
        if self._looking is not None:
            looked, self._seen = self._looking.done(), _Seen(float("-inf"))
            if looked:
                found, self._looking = self._looking, None
                self._seen = found.result()

    async def close(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.wait({self._looking})

    async def _look(self) -> _Seen:
        try:
            found = await self._store.read(fleet)
            spend, workers = await self._spend(), await self._alive()
        except StoreError as error:
            log.warning("metrics: %s", error.message)
            return _Seen(self._clock())
        return _Seen(self._clock(), found, spend, workers)

    async def _spend(self) -> dict[str, Spend] | None:
        """None: there is more than can be read at once."""
        self._spending.begin()
        for _ in range(_PAGES):
            page = await self._store.read(lambda session: spend_after(session, self._spending.after))
            if self._spending.take(page):
                return self._spending.total()
        return None

    def collect(self) -> Iterator[Metric]:
        """As prometheus_client has it. What could not be read is not shown: an old number would look like a new one."""
        from prometheus_client.metrics_core import GaugeMetricFamily

        seen = self._seen
        if seen.fleet is None:
            yield GaugeMetricFamily("atlas_fleet_read", "1 while the database tells how the fleet stands.", 0)
            return
        yield GaugeMetricFamily("atlas_fleet_read", "1 while the database tells how the fleet stands.", 1)
        yield from _standing(seen.fleet)
        yield GaugeMetricFamily("atlas_workers_alive", "Workers that are alive.", seen.workers)
        if seen.spend is not None:
            yield from _spent(seen.spend)

    def describe(self) -> list[Metric]:
        """Nothing beforehand: nothing has been read when it is registered."""
        return []


def _standing(found: Fleet) -> Iterator[Metric]:
    from prometheus_client.metrics_core import GaugeMetricFamily

    runs = GaugeMetricFamily(
        "atlas_runs", "Runs by state: all that have not ended, and the newest that have.", labels=["state"]
    )
    for state, number in sorted(found.runs.items()):
        runs.add_metric([state], number)
    yield runs
    todos = GaugeMetricFamily(
        "atlas_queue_todos", "TODOs by state, of the runs in the queue that have not ended.", labels=["state"]
    )
    for state, number in sorted(found.todos.items()):
        todos.add_metric([state], number)
    yield todos
    yield GaugeMetricFamily("atlas_todos_ready", "TODOs that are ready, of all runs.", found.ready)
    yield GaugeMetricFamily(
        "atlas_oldest_claimable_seconds",
        "For how long some TODO of the queue has been waiting for a worker; 0 when none does.",
        found.oldest_claimable or 0.0,
    )
    yield GaugeMetricFamily("atlas_outbox_rows", "Wake-ups that no broker has confirmed.", found.outbox)
    yield GaugeMetricFamily("atlas_questions_open", "Questions that wait for a person.", found.questions)
    yield GaugeMetricFamily(
        "atlas_fleet_whole", "0 when there is more than was counted: the other numbers are too low.", int(found.whole)
    )


def _spent(spend: dict[str, Spend]) -> Iterator[Metric]:
    from prometheus_client.metrics_core import CounterMetricFamily

    calls = CounterMetricFamily("atlas_model_calls", "Model calls of all runs, by model.", labels=["model"])
    tokens = CounterMetricFamily("atlas_model_tokens", "Tokens of all kinds, by model.", labels=["model"])
    usd = CounterMetricFamily(
        "atlas_model_usd", "What they cost, by model; 0 when no price is known.", labels=["model"]
    )
    for model, used in sorted(spend.items()):
        calls.add_metric([model], used.calls)
        tokens.add_metric([model], used.tokens)
        usd.add_metric([model], used.nano / _NANO)
    yield from (calls, tokens, usd)
