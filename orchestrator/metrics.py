"""The metrics of one process, for Prometheus: what its worker does, what its store takes, how alive it is.

They live in a registry of their own. Labels are kinds and outcomes: no names, no ids, no text.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.metering import settled_as
from state.commands import Claimed, Command, Outcome, Refused

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ATTEMPT_BUCKETS = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200)
_READY_BUCKETS = (0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 1, 5, 30, 120, 600, 3_600, 14_400)
_COMMIT_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


@dataclass(slots=True)
class _Attempt:
    begun: float
    counted: bool = False


class ProcessMetrics:
    """`WorkerMeter` and `CommitMeter`. `text` is what Prometheus reads."""

    def __init__(self, *, slots: int, clock: Callable[[], float] = time.monotonic) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._clock = clock
        self._attempts: dict[tuple[str, int], _Attempt] = {}
        self._registry = own = CollectorRegistry()
        self._gauge = Gauge
        self._claimed = Counter("atlas_todos_claimed", "TODOs that this worker took.", ["kind"], registry=own)
        self._settled = Counter(
            "atlas_todos_settled",
            "What became of the TODOs that this worker took. released: given back without a verdict, or left until a"
            " person answers; refused: cancelled or another's by then.",
            ["kind", "outcome"],
            registry=own,
        )
        self._seconds = Histogram(
            "atlas_attempt_seconds",
            "From a TODO's claim until what became of it was in SQL.",
            ["kind"],
            buckets=_ATTEMPT_BUCKETS,
            registry=own,
        )
        self._waited = Histogram(
            "atlas_todo_ready_seconds",
            "Since a TODO was ready, or due again, until this worker took it.",
            ["kind"],
            buckets=_READY_BUCKETS,
            registry=own,
        )
        self._woken = Counter("atlas_wake_ups", "Wake-ups that came from the broker.", registry=own)
        self._commits = Histogram(
            "atlas_store_commit_seconds",
            "From giving commands to the store until they were durable, waiting for others included.",
            buckets=_COMMIT_BUCKETS,
            registry=own,
        )
        self._failures = Counter(
            "atlas_store_commit_failures",
            "Commits that failed: the database was full, locked or away. Most are tried again.",
            registry=own,
        )
        self.gauge("atlas_worker_slots", "TODOs that this worker takes at a time.", lambda: slots)
        self.gauge("atlas_todos_in_progress", "TODOs that this worker is at now.", lambda: len(self._attempts))

    def gauge(self, name: str, meaning: str, value: Callable[[], float]) -> None:
        """One more number of this process, asked for at each scrape. `value` must be quick and must not raise."""
        self._gauge(name, meaning, registry=self._registry).set_function(value)

    def lease_age(self, seconds: Callable[[], float]) -> None:
        """Show since when this worker's lease has not been renewed."""
        self.gauge("atlas_lease_age_seconds", "Seconds since this worker's lease was renewed.", seconds)

    def broker_connected(self, connected: Callable[[], bool]) -> None:
        """Show whether the broker is there."""
        self.gauge("atlas_broker_connected", "1 while the broker's connection stands.", connected)

    def watchers(self, count: Callable[[], float]) -> None:
        """Show how many event streams are open."""
        self.gauge("atlas_event_streams", "Event streams that are open.", count)

    def add(self, collector: Collector) -> None:
        """Show what this collector has, too."""
        self._registry.register(collector)

    def text(self) -> bytes:
        """All of it, in `CONTENT_TYPE`."""
        from prometheus_client import generate_latest

        return generate_latest(self._registry)

    # --- WorkerMeter -------------------------------------------------------------------------------------------------

    def claimed(self, claim: Claimed) -> None:
        self._attempts[claim.todo, claim.fence] = _Attempt(self._clock())
        self._claimed.labels(claim.kind).inc()
        self._waited.labels(claim.kind).observe(claim.waited)

    def settled(self, claim: Claimed, command: Command, outcome: Outcome) -> None:
        """A refusal is not the last word: the head of a run may have moved, and the work is merged once more."""
        if not isinstance(outcome, Refused):
            self._count(claim, settled_as(command, outcome))

    def ended(self, claim: Claimed) -> None:
        """What nothing was counted for was refused, or would have been."""
        self._count(claim, "refused")
        self._attempts.pop((claim.todo, claim.fence), None)

    def woken(self) -> None:
        self._woken.inc()

    def _count(self, claim: Claimed, outcome: str) -> None:
        attempt = self._attempts.get((claim.todo, claim.fence))
        if attempt is None or attempt.counted:
            return
        attempt.counted = True
        self._settled.labels(claim.kind, outcome).inc()
        self._seconds.labels(claim.kind).observe(self._clock() - attempt.begun)

    # --- CommitMeter -------------------------------------------------------------------------------------------------

    def committed(self, seconds: float) -> None:
        self._commits.observe(seconds)

    def not_committed(self) -> None:
        self._failures.inc()
