"""Whoever watches a run is given every event once and in order, from wherever they begin, however slow they are."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from orchestrator.feeds import Feeds, Watch
from orchestrator.tasks import ended
from state.commands import Release
from state.limits import PAGE
from state.sqlite import SqliteStore
from tests.contract.store_world import RUN, FakeClock, World, submission, task

PATIENCE = 60.0


@asynccontextmanager
async def feeds_of(world: World) -> AsyncGenerator[Feeds]:
    feeds = Feeds(world.store)
    running = asyncio.create_task(feeds.run())
    yield feeds
    assert not running.done()
    await ended(running)


async def happens(world: World, times: int) -> None:
    """The TODO is taken and given back: two events each time."""
    for _ in range(times):
        claim = await world.claim("a")
        await world.done(Release(claim.todo, claim.fence, "drain", "boot"))


async def newest(world: World) -> int:
    return (await world.run()).last_event


async def given(watch: Watch, upto: int) -> list[int]:
    """The numbers of all events until this one."""
    seen: list[int] = []
    async with asyncio.timeout(PATIENCE):
        while watch.after < upto:
            seen += [each.view.seq for each in await watch.next()]
    return seen


async def test_what_was_there_before_is_given_at_once(world: World) -> None:
    await world.done(submission(task("a")))
    await happens(world, 3)
    last = await newest(world)
    async with feeds_of(world) as feeds:
        for after in (0, 1, last - 1):
            async with feeds.watch(RUN, after) as watch:
                assert await given(watch, last) == list(range(after + 1, last + 1))


async def test_everyone_is_given_every_event_once_and_in_order(world: World) -> None:
    """Some come late, some are slow, some leave in the middle and come back."""
    await world.done(submission(task("a")))
    chance, over = random.Random(7), asyncio.Event()

    async def watcher(feeds: Feeds, start: int) -> list[int]:
        seen: list[int] = []
        after = start
        while not (over.is_set() and after >= await newest(world)):
            async with feeds.watch(RUN, after) as watch:
                for _ in range(chance.randint(1, 20)):
                    next_one = asyncio.ensure_future(watch.next())
                    await asyncio.wait([next_one], timeout=chance.choice((0.0, 0.001, 0.05)))
                    if next_one.done():
                        seen += [each.view.seq for each in next_one.result()]
                    else:
                        await ended(next_one)
                    await asyncio.sleep(chance.choice((0.0, 0.0, 0.01)))
                after = watch.after
        return seen

    async with feeds_of(world) as feeds:
        starts = [chance.randint(0, 30) for _ in range(40)]
        watching = [asyncio.create_task(watcher(feeds, start)) for start in starts]
        await happens(world, 150)
        over.set()
        async with asyncio.timeout(PATIENCE):
            seen = await asyncio.gather(*watching)
    last = await newest(world)
    for start, numbers in zip(starts, seen, strict=True):
        assert numbers == list(range(start + 1, last + 1))


async def test_who_falls_behind_what_is_kept_misses_nothing(world: World) -> None:
    await world.done(submission(task("a")))
    async with feeds_of(world) as feeds, feeds.watch(RUN) as slow, feeds.watch(RUN) as quick:
        first = [each.view.seq for each in await slow.next()]
        await happens(world, PAGE)
        last = await newest(world)
        assert last > 2 * PAGE
        assert await given(quick, last) == list(range(1, last + 1))
        assert first + await given(slow, last) == list(range(1, last + 1))


async def test_what_is_not_kept_any_more_shows_in_the_numbers(tmp_path: Path) -> None:
    world = World(SqliteStore(tmp_path / "a.db"), FakeClock())

    def delete(where: str) -> None:
        with closing(sqlite3.connect(tmp_path / "a.db")) as connection, connection:
            connection.execute(f"DELETE FROM event WHERE {where}")  # noqa: S608 - the test's own

    await world.done(submission(task("a")))
    await happens(world, 5)
    last = await newest(world)
    delete("seq <= 4")
    async with feeds_of(world) as feeds:
        async with feeds.watch(RUN) as watch:
            assert await given(watch, last) == list(range(5, last + 1))
        delete("true")
        async with feeds.watch(RUN) as watch:
            waiting = asyncio.ensure_future(watch.next())
            await asyncio.wait([waiting], timeout=0.2)
            assert not waiting.done()
            await happens(world, 1)
            async with asyncio.timeout(PATIENCE):
                assert [each.view.seq for each in await waiting][-1] > last
    await world.store.close()


async def test_an_event_as_the_wire_has_it(world: World) -> None:
    await world.done(submission(task("a")))
    async with feeds_of(world) as feeds, feeds.watch(RUN) as watch:
        (happened, *_) = await watch.next()
    lines = happened.sse.decode().split("\n")
    assert lines[0] == "id: 1"
    assert lines[1].startswith("event: ")
    assert lines[2].startswith('data: {"run":"run-1","seq":1,')
    assert lines[3:] == ["", ""]
