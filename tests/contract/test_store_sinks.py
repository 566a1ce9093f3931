"""Who tells a sink what happens: one worker at a time, and a cursor that others go on from."""

from __future__ import annotations

from sqlmodel import select

from state import frequent
from state.commands import AdvanceSink, Complete, Delivered, TakeSink
from state.limits import SINK_SECONDS
from state.tables import Cursor, Sink
from tests.contract.store_world import RUN, World, proof, submission, task


async def sink(world: World) -> Sink:
    return await world.store.read(lambda session: session.exec(select(Sink)).one())


async def test_one_worker_has_it_while_its_time_lasts(world: World) -> None:
    await world.done(TakeSink("topic", "w1", 10.0))
    assert await world.refused(TakeSink("topic", "w2", 10.0)) == "lease_lost"
    await world.done(TakeSink("topic", "w1", 10.0))
    await world.done(TakeSink("hook", "w2", 10.0))
    world.clock.time += 10.5
    await world.done(TakeSink("topic", "w2", 10.0))
    assert await world.refused(TakeSink("topic", "w1", 10.0)) == "lease_lost"


async def test_only_who_has_it_says_what_was_told(world: World) -> None:
    await world.submit(task("a"))
    assert await world.refused(AdvanceSink("topic", "w1", [(RUN, 1)])) == "lease_lost"
    await world.done(TakeSink("topic", "w1", 10.0))
    await world.done(AdvanceSink("topic", "w1", [(RUN, 2)]))
    assert await world.refused(AdvanceSink("topic", "w2", [(RUN, 1)])) == "lease_lost"
    cursors = await world.store.read(lambda session: session.exec(select(Cursor)).all())
    assert [(each.sink, each.run_id, each.seq) for each in cursors] == [("topic", RUN, 2)]


async def test_a_cursor_only_goes_forward(world: World) -> None:
    await world.submit(task("a"))
    await world.done(TakeSink("topic", "w1", 10.0))
    await world.do(*[AdvanceSink("topic", "w1", [(RUN, seq)]) for seq in (1, 2, 1)])
    await world.done(AdvanceSink("topic", "w1", [(RUN, 1)]))
    assert (await world.store.read(lambda session: session.exec(select(Cursor)).one())).seq == 2


async def test_how_far_wake_ups_and_sinks_have_come_is_no_news(world: World) -> None:
    """Whoever waits for news would look, and find none."""
    await world.submit(task("a"))
    await world.done(TakeSink("topic", "w1", 10.0))
    number = await world.store.changed(0, 1.0)
    while (again := await world.store.changed(number, 0.3)) != number:  # what all this still causes
        number = again
    await world.done(Delivered(["a"]))
    await world.done(AdvanceSink("topic", "w1", [(RUN, 1)]))
    assert await world.store.changed(number, 0.3) == number
    await world.done(TakeSink("topic", "w1", 0.0))
    assert await world.store.changed(number, 5.0) != number


async def test_what_is_told_of_next(world: World) -> None:
    await world.done(TakeSink("topic", "w1", 10.0))
    since = (await sink(world)).since
    await world.store.apply([submission(task("a", run=f"r{number}"), run=f"r{number}") for number in range(3)])
    news = await world.store.read(lambda session: frequent.news(session, "topic", since, 10))
    assert [(each.run, each.after) for each in news] == [("r0", 0), ("r1", 0), ("r2", 0)]
    await world.done(AdvanceSink("topic", "w1", [("r0", news[0].last), ("r1", 1)]))
    news = await world.store.read(lambda session: frequent.news(session, "topic", since, 10))
    assert [(each.run, each.after) for each in news] == [("r1", 1), ("r2", 0)]
    limited = await world.store.read(lambda session: frequent.news(session, "topic", since, 1))
    assert len(limited) == 1
    other = await world.store.read(lambda session: frequent.news(session, "hook", since, 10))
    assert len(other) == 3, "each sink has a cursor of its own"


async def test_events_of_some_types(world: World) -> None:
    await world.store.apply([submission(task("a", run=f"r{number}"), run=f"r{number}") for number in range(2)])
    news = [frequent.News("r0", 0, 9), frequent.News("r1", 1, 9)]

    async def types(*wanted: str) -> list[tuple[str, str]]:
        found = await world.store.read(lambda session: frequent.events_of(session, news, 10, wanted))
        return [(each.run_id, each.type) for each in found]

    assert await types("run.submitted") == [("r0", "run.submitted")]
    assert await types("run.submitted", "todo.state") == [
        ("r0", "run.submitted"), ("r0", "todo.state"), ("r1", "todo.state"),
    ]  # fmt: skip
    assert await types() == []


async def test_what_ended_before_is_not_looked_at_again(world: World) -> None:
    await world.submit(task("a"))
    claim = await world.claim("a")
    await world.done(Complete(claim.todo, claim.fence, [proof()]))
    await world.done(TakeSink("topic", "w1", 10.0))
    ended = (await world.run()).ended_at
    assert ended is not None

    async def news(since: float) -> int:
        return len(await world.store.read(lambda session: frequent.news(session, "topic", since, 10)))

    assert await news(ended - 1) == 1
    assert await news(ended + 1) == 0
    begun = (await sink(world)).since
    await world.done(AdvanceSink("topic", "w1", [], caught_up=True))
    assert (await sink(world)).since == begun, "it only goes forward"
    world.clock.time += 1_000
    await world.done(AdvanceSink("topic", "w1", [], caught_up=True))
    assert (await sink(world)).since == world.clock.time - SINK_SECONDS
