"""One experiment: a load and troubles for so long, then peace until all is done, then the reckoning."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psycopg

from state.limits import LEASE_SECONDS
from tests.chaos.fleet.aftermath import Aftermath, Row, look
from tests.chaos.fleet.consequences import late_starts, violations
from tests.chaos.fleet.demands import Demand, Writer
from tests.chaos.fleet.effects import INSIDE
from tests.chaos.fleet.ground import Ground, opened_ground
from tests.chaos.fleet.load import Load, opened_load
from tests.chaos.fleet.troubles import OF_SERVICES, OF_WORKERS, troubled

STUCK_SECONDS = 240.0
"""Without an event, though there is work and nobody makes trouble."""
_STOP_SECONDS = 120.0
_TIDY_SECONDS = 2 * LEASE_SECONDS + 60.0
_START_SECONDS, _SLOWEST = 3.0, 5.0
"""Until a worker is up on an idle machine; and how far the pace of troubles follows a slower one."""
_LOOK_SECONDS, _TELL_SECONDS = 0.25, 10.0
_OPEN = """
SELECT (SELECT count(*) FROM run) AS runs, (SELECT count(*) FROM run WHERE ended_at IS NULL) AS open,
       (SELECT count(*) FROM todo WHERE owner IS NOT NULL) AS owned, (SELECT count(*) FROM outbox) AS outbox,
       (SELECT count(*) FROM artifact WHERE published_at IS NULL) AS unpublished,
       (SELECT count(*) FROM model_call WHERE state = 'reserved') AS reserved,
       (SELECT coalesce(sum(last_event), 0) FROM run) AS events
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How much trouble, and how much work."""

    seconds: float
    todos: int
    seed: int

    @classmethod
    def wanted(cls, seconds: float, todos: int, seed: int | None = None) -> Size:
        """As the environment says: ATLAS_FLEET_SECONDS, ATLAS_FLEET_TODOS, ATLAS_FLEET_SEED (of a run that failed);
        else this, with any seed if none is given."""
        given = os.environ.get
        seed = int(given("ATLAS_FLEET_SEED") or (random.SystemRandom().randrange(10**6) if seed is None else seed))
        return cls(float(given("ATLAS_FLEET_SECONDS", seconds)), int(given("ATLAS_FLEET_TODOS", todos)), seed)


@dataclass
class Experiment:
    """`say` is told each thing that happens."""

    size: Size
    path: Path
    engine: str
    say: Callable[[str], None]
    troubles: Counter[str] = field(default_factory=Counter[str])
    begun: float = field(default_factory=time.monotonic)
    slowness: float = 1.0
    summary: str = ""
    never: list[str] = field(default_factory=list[str])
    """What did not happen once, so that nothing is shown of it."""

    async def carry_out(self) -> list[str]:
        """What was violated."""
        self._note(f"seed {self.size.seed}: {self.size.todos} TODOs, {self.size.seconds:g} s of trouble")
        chance = random.Random(self.size.seed)
        with opened_ground(self.path, self.engine, random.Random(chance.random()), self._note) as ground:
            demands = list(Writer(random.Random(chance.random()), ground.places).demands(self.size.todos))
            async with opened_load(
                ground.database, ground.rabbit.url, ground.store, self.path, random.Random(chance.random()), demands
            ) as load:
                keeping = [asyncio.create_task(each) for each in (ground.workers.keep(), load.answer_questions())]
                try:
                    await self._up(ground, any)
                    self._adapt()
                    await self._trouble(ground, load, chance)
                    self._note("peace")
                    await load.finish()
                    await self._at_rest(ground, demands, keeping)
                    await self._up(ground, all)  # on each host somebody tidies up after the last who was killed
                    await self._tidied(ground)
                finally:
                    for task in keeping:
                        task.cancel()
                    await asyncio.gather(*keeping, return_exceptions=True)
                await ground.workers.stop(_STOP_SECONDS)
            world = await self._looked(ground, demands)
            (self.path / "aftermath.json").write_text(json.dumps(asdict(world), default=repr))
            return self._reckon(world, ground)

    async def _up(self, ground: Ground, enough: Callable[[Iterable[bool]], bool]) -> None:
        """Return when enough of the workers are."""
        async with asyncio.timeout(STUCK_SECONDS):
            while not enough(hand.up for hand in ground.workers.hands):  # noqa: ASYNC110 - it does not tell
                await asyncio.sleep(_LOOK_SECONDS)

    async def _tidied(self, ground: Ground) -> None:
        """Return when the dead have left nothing; or else after a while, as the invariants tell. Who died just before a
        database that was killed came back is not known to be dead before its lease has run out; and an engine is asked
        again after half a minute."""
        end = time.monotonic() + _TIDY_SECONDS
        while time.monotonic() < end:
            living = Counter(hand.host.home for hand in ground.workers.hands if hand.up)
            kept = [(host.home, host.home / name) for host in ground.hosts for name in ("work", "containers")]
            if all(not place.exists() or len([*place.iterdir()]) <= living[home] for home, place in kept):
                return
            await asyncio.sleep(_LOOK_SECONDS)

    def _adapt(self) -> None:
        """How long the first worker took to start tells how often workers may be killed: who is killed before it begins
        has nothing to lose."""
        self.slowness = min(max((time.monotonic() - self.begun) / _START_SECONDS / 2, 1.0), _SLOWEST)
        self._note(f"up; troubles of workers are {self.slowness:.1f} times rarer than on an idle machine")

    async def _trouble(self, ground: Ground, load: Load, chance: random.Random) -> None:
        end, slow = time.monotonic() + self.size.seconds, self.slowness

        def over() -> bool:
            return time.monotonic() >= end

        async with asyncio.TaskGroup() as group:
            group.create_task(load.hand_out(self.size.seconds))
            for kinds, pause in ((OF_WORKERS, (1.0 * slow, 6.0 * slow)), (OF_SERVICES, (0.5, 5.0))):
                own = random.Random(chance.random())
                group.create_task(troubled(ground, own, kinds, pause, over, self._happened))
        ground.workers.heal()

    async def _at_rest(self, ground: Ground, demands: list[Demand], keeping: list[asyncio.Task[None]]) -> None:
        """Return when nothing is left to do, or when nothing moves any more: the invariants tell what is wrong."""
        moved, since, row = -1, time.monotonic(), Row()
        told = since
        while time.monotonic() - since < STUCK_SECONDS:
            for task in keeping:
                if task.done():
                    task.result()
            try:
                [row] = await asyncio.to_thread(ground.sql, _OPEN)
            except psycopg.Error as error:
                self._note(f"the database: {error}")
            else:
                events = row.pop("events")
                if row.pop("runs") >= len(demands) and not any(row.values()):
                    return
                if events != moved:
                    moved, since = events, time.monotonic()
            if time.monotonic() - told > _TELL_SECONDS:
                told = time.monotonic()
                self._note(f"left: {row}")
            await asyncio.sleep(_LOOK_SECONDS)
        self._note(f"nothing has moved for {STUCK_SECONDS:g} s: {row}")

    async def _looked(self, ground: Ground, demands: list[Demand]) -> Aftermath:
        promises = {demand.name: demand.promise for demand in demands}
        return await asyncio.to_thread(
            look, ground.database, ground.places.log, ground.places.published, ground.models, promises, ground.left(),
            ground.workers.broken,
        )  # fmt: skip

    def _reckon(self, world: Aftermath, ground: Ground) -> list[str]:
        states = Counter(_with_reason(row["state"], row["reason"]) for row in world.todos)
        outcomes = Counter(_with_reason(row["outcome"], row["reason"]) for row in world.attempts)
        lost = sum(row["state"] != "answered" for row in world.calls)
        self.summary = "; ".join(
            (
                f"seed {self.size.seed}, {time.monotonic() - self.begun:.0f} s",
                f"{len(world.runs)} runs, {len(world.todos)} TODOs: {_counts(states)}",
                f"{len(world.attempts)} attempts: {_counts(outcomes)}",
                f"{len(world.effects)} effects, {late_starts(world)} late starts",
                f"{len(world.calls)} model calls, {lost} lost, {len(world.billed)} requests",
                f"troubles: {_counts(self.troubles)}",
                f"workers: {_counts(ground.workers.ends)}",
            )
        )
        happened = {
            "a command": world.effects, "a call of a model": world.billed,
            "an attempt that somebody else went on with": [
                row for row in world.attempts if row["outcome"] not in ("completed", "failed")
            ],
        }  # fmt: skip
        happened["a TODO in a container"] = [
            row for row in world.todos if row["key"].startswith(INSIDE) and row["state"] == "completed"
        ]
        self.never = [what for what, rows in happened.items() if not rows]
        self.never += [each.__name__ for each, _ in (*OF_WORKERS, *OF_SERVICES) if not self.troubles[each.__name__]]
        self._note(self.summary)
        return violations(world)

    def _happened(self, trouble: str, what: str) -> None:
        self.troubles[trouble if "came to nothing" not in what else f"{trouble} (in vain)"] += 1
        self._note(f"{trouble}: {what}")

    def _note(self, text: str) -> None:
        self.say(f"{time.monotonic() - self.begun:7.1f} s  {text}")


def _with_reason(what: str, reason: str | None) -> str:
    return f"{what}: {reason}" if reason else what


def _counts(counted: Counter[str]) -> str:
    return ", ".join(f"{number} {what}" for what, number in counted.most_common())
