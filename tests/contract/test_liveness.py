"""Who is alive: locks that die with their process, leases that end, on one host and beside a database server."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from state.liveness import FileCensus, FileLiveness
from state.ports import Census, Liveness, Verdict
from state.postgres import PostgresStore
from state.postgres_liveness import PostgresCensus, PostgresLiveness
from state.records import new_id

DEADLINE = 20.0
SHORT = 0.4
CHILD = """
import sys
from pathlib import Path
from state.liveness import FileLiveness
from state.postgres_liveness import PostgresLiveness

kind, place, lease = sys.argv[1], sys.argv[2], float(sys.argv[3])
alive = PostgresLiveness(place, lease=lease) if kind == "postgres" else FileLiveness(Path(place), lease=lease)
print(alive.boot, flush=True)
sys.stdin.read()
alive.close()
"""


@dataclass
class Place:
    """Where liveness is kept: `kind` and `where` for other processes."""

    kind: str
    where: str
    census: Census
    made: list[Liveness]

    def alive(self, lease: float = 30.0) -> Liveness:
        made: Liveness = (
            PostgresLiveness(self.where, lease=lease)
            if self.kind == "postgres"
            else FileLiveness(Path(self.where), lease=lease)
        )
        self.made.append(made)
        return made

    async def verdict(self, boot: str) -> Verdict:
        return (await self.census.verdicts([boot]))[boot]

    async def until(self, boot: str, wanted: Verdict) -> None:
        async with asyncio.timeout(DEADLINE):
            while await self.verdict(boot) != wanted:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    @contextmanager
    def process(self, lease: float = 30.0) -> Generator[tuple[subprocess.Popen[str], str]]:
        """Another process that is alive, and its boot id."""
        command = [sys.executable, "-c", CHILD, self.kind, self.where, str(lease)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            try:
                assert child.stdout
                yield child, child.stdout.readline().strip()
            finally:
                child.kill()


@pytest.fixture(params=["file", pytest.param("postgres", marks=pytest.mark.postgres)])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Place]:
    if request.param == "file":
        here = Place("file", str(tmp_path / "workers"), FileCensus(tmp_path / "workers"), [])
        yield here
    else:
        url = str(request.getfixturevalue("postgres_cleared"))
        store = PostgresStore(url)
        here = Place("postgres", url, PostgresCensus(store), [])
        yield here
        await store.close()
    for each in here.made:
        each.close()


async def test_who_is_there_is_alive(place: Place) -> None:
    one, other = place.alive(), place.alive()
    assert one.boot != other.boot
    nobody = new_id()
    assert await place.census.verdicts([one.boot, other.boot, nobody]) == {
        one.boot: "alive", other.boot: "alive", nobody: "dead",
    }  # fmt: skip
    assert await place.census.verdicts([]) == {}
    assert one.intact()
    assert one.renew()


async def test_a_clean_end_is_seen_at_once(place: Place) -> None:
    one = place.alive()
    one.close()
    assert await place.verdict(one.boot) == "dead"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
async def test_a_killed_process_is_dead_long_before_its_lease_ends(place: Place, number: signal.Signals) -> None:
    with place.process() as (child, boot):
        assert await place.verdict(boot) == "alive"
        os.kill(child.pid, number)
        await place.until(boot, "dead")
        await place.census.forget([boot])
        assert await place.verdict(boot) == "dead"


async def test_a_stopped_process_has_its_lease_and_no_more(place: Place) -> None:
    with place.process(lease=SHORT) as (child, boot):
        os.kill(child.pid, signal.SIGSTOP)
        await place.until(boot, "expired")
        os.kill(child.pid, signal.SIGCONT)
        os.kill(child.pid, signal.SIGKILL)
        await place.until(boot, "dead")


async def test_a_lease_that_ran_out_is_renewed_and_says_so(place: Place) -> None:
    one = place.alive(lease=SHORT)
    await place.until(one.boot, "expired")
    assert not one.renew()
    assert await place.verdict(one.boot) == "alive"
    assert one.renew()


async def test_a_look_does_not_disturb(place: Place) -> None:
    one = place.alive()
    looks = [place.census.verdicts([one.boot, new_id()]) for _ in range(50)]
    assert all(found[one.boot] == "alive" for found in await asyncio.gather(*looks))
    assert one.renew()


async def test_many_are_looked_at_together(place: Place) -> None:
    alive = [place.alive() for _ in range(8)]
    gone = [new_id() for _ in range(500)]
    found = await place.census.verdicts([*(each.boot for each in alive), *gone])
    assert {found[each.boot] for each in alive} == {"alive"}
    assert {found[boot] for boot in gone} == {"dead"}
