"""What one speaker is told over the real store: nothing is missed and nothing is told twice, whoever comes and goes."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncGenerator
from pathlib import Path
from random import Random

import pytest

from orchestrator.dispatch import Dispatch
from orchestrator.service import Service
from orchestrator.tasks import ended
from state import reading
from state.commands import Claimed, ClaimedMany, ClaimNext, Complete, Fail, NewTodo
from state.ports import ArtifactStore
from state.records import QUEUE
from state.sqlite import SqliteStore
from state.tables import Cursor, Run
from tests.agents.world import World, opened
from tests.contract.store_world import gate, proof, submission, task
from tests.services.rabbit_client import until
from tests.voice.ear import Ear, listening
from voice.following import Following
from voice.progress import Progress

ROOT = Path(__file__).parents[2]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncGenerator[SqliteStore]:
    store = SqliteStore(tmp_path / "atlas.db")
    yield store
    await store.close()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncGenerator[World]:
    async with opened(tmp_path) as world:
        yield world


async def submit(store: SqliteStore, run: str, *todos: NewTodo) -> None:
    await store.apply([submission(*(todos or (task("a", run=run),)), run=run)])


async def claims(store: SqliteStore, run: str, limit: int = 1000) -> list[Claimed]:
    (outcome,) = await store.apply([ClaimNext("w", QUEUE, limit, run=run)])
    assert isinstance(outcome, ClaimedMany)
    return outcome.claims


async def finish(store: SqliteStore, run: str) -> None:
    """What is ready of it."""
    for claim in await claims(store, run):
        await store.apply([Complete(claim.todo, claim.fence, [proof()])])


async def fail(store: SqliteStore, run: str) -> None:
    for claim in await claims(store, run):
        await store.apply([Fail(claim.todo, claim.fence, "timeout", "", None)])


async def last(store: SqliteStore, run: str) -> int:
    return await store.read(lambda session: session.get_one(Run, run).last_event)


async def cursor(store: SqliteStore, run: str, speaker: str = "ann") -> int:
    found = await store.read(lambda session: session.get(Cursor, (f"voice:{speaker}", run)))
    return found.seq if found else 0


async def settled(store: SqliteStore, run: str, speaker: str = "ann") -> None:
    """All that happened counts as told."""
    number = 0
    async with asyncio.timeout(20):
        while await cursor(store, run, speaker) != await last(store, run):
            number = await store.changed(number, 0.1)


def service(store: SqliteStore) -> Service:
    async def pin(*_: object) -> object:
        raise NotImplementedError

    artifacts: ArtifactStore = None  # type: ignore[assignment]
    return Service(Dispatch(store, None), artifacts, pin)  # type: ignore[arg-type]


# --- with a worker ---------------------------------------------------------------------------------------------------


async def test_a_run_from_start_to_end(world: World) -> None:
    todos: list[dict[str, object]] = [{"id": f"t{number}", "run": "true"} for number in range(4)]
    ask: dict[str, object] = {"id": "ship", "ask": "Push the branch?", "choices": ["push", "hold"]}
    after: dict[str, object] = {"id": "after", "run": "exit 3", "needs": ["ship"], "title": "Tell everybody"}
    async with listening(world.store) as ear:
        run = await world.submit(*todos, ask | {"needs": ["t0", "t1", "t2", "t3"]}, after, name="fix-parser")
        await until(lambda: ear.texts == ["fix parser has started, with 6 steps."])
        await world.hire()
        await until(lambda: "question" in ear.kinds)
        (asked,) = [saying for saying in ear.said if saying.kind == "question"]
        assert asked.text == "A question: Push the branch? One: push. Two: hold."
        (question,) = await world.service.questions(run)
        assert asked.question == question.id
        await world.service.answer("ship", "push", "ann")
        await until(lambda: "outcome" in ear.kinds)
        assert ear.texts[-1] == "It failed: Tell everybody, a command ended with an error."
        await settled(world.store, run)
    assert len(ear.kinds) == len(set(zip(ear.kinds, ear.texts, strict=True)))


async def test_who_goes_while_it_arrives_lets_the_next_one_be_told(store: SqliteStore) -> None:
    await submit(store, "r1")
    for turns in range(40):
        early = Following(store, Progress(), "ann", f"early-{turns}")
        arriving = asyncio.create_task(early.run())
        for _ in range(turns):
            await asyncio.sleep(0.001)
        await ended(arriving)
        async with listening(store, conversation=f"next-{turns}") as ear:
            assert ear.turned == [True], turns


async def test_what_is_committed_is_known_at_once(store: SqliteStore) -> None:
    async with listening(store) as ear:
        took: list[float] = []
        for number in range(15):
            begin = time.perf_counter()
            await submit(store, f"r{number}")
            await until(lambda number=number: any(saying.run == f"r{number}" for saying in ear.shown))
            took.append(time.perf_counter() - begin)
            await settled(store, f"r{number}")
    assert statistics.median(took) < 0.1, took


# --- coming and going ------------------------------------------------------------------------------------------------


async def test_who_comes_for_the_first_time_is_told_of_what_happens_from_then_on(store: SqliteStore) -> None:
    await submit(store, "over")
    await finish(store, "over")
    await submit(store, "old", *(task(f"t{number}", run="old") for number in range(2)))
    async with listening(store) as ear:
        await submit(store, "new")
        await until(lambda: len(ear.said) == 1)
        await finish(store, "old")
        await until(lambda: len(ear.said) == 2)
    assert ear.texts == ["new has started, with 1 step.", "old is done."]


async def test_what_was_missed_is_told_once(store: SqliteStore) -> None:
    async with listening(store) as ear:
        await submit(
            store, "web", *(task(f"t{number}", run="web") for number in range(8)), gate("ship", "t0", run="web")
        )
        await until(lambda: len(ear.said) == 1)
        await settled(store, "web")
    for run in ("parser", "docs"):
        await submit(store, run)
    await finish(store, "parser")
    await fail(store, "docs")
    for claim in (await claims(store, "web", 4))[:4]:
        await store.apply([Complete(claim.todo, claim.fence, [proof()])])
    async with listening(store, conversation="c2") as ear:
        await until(lambda: len(ear.said) == 2)
        for run in ("parser", "docs", "web"):
            await settled(store, run)
    assert ear.texts == [
        "While you were away: parser is done; docs failed: A, it took too long; web is at 4 of 9 steps;"
        " one question waits.",
        "web asks: ship? One: yes. Two: no.",
    ]
    async with listening(store, conversation="c3") as ear:
        await until(lambda: len(ear.said) == 1)
        (question,) = await service(store).questions()
        await service(store).answer(question.id, "yes", "ann")
        await settled(store, "web")
    assert ear.texts == ["web asks: ship? One: yes. Two: no.", "It is halfway: 5 of 9 steps."]


async def test_who_is_killed_between_taking_and_saying_loses_nothing(store: SqliteStore, tmp_path: Path) -> None:
    async with listening(store):
        pass
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.voice.told_and_killed", str(tmp_path / "atlas.db"), "1.0",
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert child.stdout
    try:
        assert await child.stdout.readline() == b"told here: True\n"
        await submit(store, "parser")
        assert await child.stdout.readline() == b"taken: parser has started, with 1 step.\n"
        await submit(store, "docs")
        assert await child.stdout.readline() == b"taken: docs has started, with 1 step.\n"
        assert await child.stdout.readline() == b"stored\n"
    finally:
        child.kill()
        await child.wait()
    async with listening(store) as ear:
        assert ear.turned[0] is False
        await until(lambda: len(ear.said) == 1)
        assert ear.turned == [False, True]
        await finish(store, "parser")
        await until(lambda: len(ear.said) == 2)
    assert ear.texts == ["While you were away: parser is at 0 of 1 step.", "parser is done."]


async def test_whoever_comes_and_goes_each_outcome_is_told_once(store: SqliteStore) -> None:
    random, told, runs = Random(7), Counter[str](), [f"job{number}" for number in range(24)]
    ears: list[Ear] = []
    async with listening(store):
        pass
    for number in range(6):
        async with listening(store, conversation=f"c{number}", silent=True) as ear:
            ears.append(ear)
            for run in runs[4 * number : 4 * number + 4]:
                await submit(store, run)
                await finish(store, run)
            if random.random() < 0.7:
                await until(lambda ear=ear: ear.following.progress.waiting > 0)
                if saying := ear.following.take():
                    ear.said.append(saying)
                    ear.following.said(saying)
                if another := ear.following.take():
                    ear.following.unsaid(another)
    async with listening(store, conversation="the last") as ear:
        ears.append(ear)
        for run in runs:
            await settled(store, run)
    for ear in ears:
        for saying in ear.said:
            told += Counter(run for run, _ in saying.tells if saying.kind in ("outcome", "away"))
    assert told == Counter(runs)


async def test_a_long_way_behind(store: SqliteStore) -> None:
    """More runs than are looked at in one go, one of them with more events than a page."""
    async with listening(store):
        pass
    await store.apply(
        [submission(*(task(f"t{number}", run="big") for number in range(400)), run="big", concurrency=999)]
    )
    await finish(store, "big")
    assert await last(store, "big") > 1_000
    for number in range(250):
        await submit(store, f"r{number}")
        await finish(store, f"r{number}")
    async with listening(store, silent=True) as ear:
        await submit(store, "fresh")
        await until(lambda: any(saying.run == "fresh" for saying in ear.shown))
        ear.may_speak.set()
        for run in ("big", "r0", "r249", "fresh"):
            await settled(store, run)
    assert [(saying.kind, len(saying.tells)) for saying in ear.said] == [("away", 251), ("milestone", 1)]
    assert ear.texts[0] == "While you were away: big, r0, r1, r10 and 247 others are done."


# --- two at once -----------------------------------------------------------------------------------------------------


async def test_of_two_conversations_of_one_speaker_one_is_told(store: SqliteStore) -> None:
    async with listening(store, conversation="c1") as first:
        async with listening(store, conversation="c2") as second:
            assert (first.turned, second.turned) == ([True], [False])
            await submit(store, "parser")
            await until(lambda: len(first.said) == 1)
            await settled(store, "parser")
            assert not second.said
            assert not second.following.told_here
        async with listening(store, conversation="c3") as third:
            before = asyncio.create_task(finish(store, "parser"))
            await until(lambda: len(first.said) == 2)
            await before
            assert not third.said
    async with listening(store, conversation="c4") as fourth:
        await submit(store, "docs")
        await until(lambda: len(fourth.said) == 1)
    assert first.texts == ["parser has started, with 1 step.", "It is done."]
    assert fourth.texts == ["docs has started, with 1 step."]


async def test_the_second_goes_on_when_the_first_ends(store: SqliteStore) -> None:
    first = listening(store, conversation="c1")
    ear = await first.__aenter__()
    async with listening(store, conversation="c2") as second:
        await submit(store, "parser")
        await until(lambda: len(ear.said) == 1)
        await first.__aexit__(None, None, None)
        await until(lambda: second.turned == [False, True])
        await finish(store, "parser")
        await until(lambda: len(second.said) == 1)
    assert second.texts == ["parser is done."]


async def test_two_speakers_are_both_told(store: SqliteStore) -> None:
    async with listening(store, "ann", "c1") as ann, listening(store, "bob", "c2", progress=Progress("zh")) as bob:
        await submit(store, "parser")
        await until(lambda: bool(ann.said and bob.said))
    assert ann.texts == ["parser has started, with 1 step."]
    assert bob.texts == ["parser 已开始，共 1 项。"]


# --- what is not told ------------------------------------------------------------------------------------------------


async def test_what_nobody_is_interested_in(store: SqliteStore) -> None:
    async with listening(store, interested=lambda run: run != "dull") as ear:
        await submit(store, "dull")
        await finish(store, "dull")
        await submit(store, "parser")
        await until(lambda: len(ear.said) == 1)
        await settled(store, "dull")
    assert ear.texts == ["parser has started, with 1 step."]


async def test_an_answer_from_elsewhere_withdraws_the_question(store: SqliteStore) -> None:
    async with listening(store, silent=True) as ear:
        await submit(store, "web", gate("ship", run="web"), task("on", "ship", run="web"))
        await until(lambda: any(saying.kind == "question" for saying in ear.shown))
        await service(store).answer("ship", "yes", "bob")
        newest = await last(store, "web")
        await until(lambda: ear.following.progress.heard_to("web") == newest)
        ear.may_speak.set()
        await settled(store, "web")
    assert ear.texts == ["web has started, with 2 steps."]


async def test_what_has_a_receipt_is_not_told(store: SqliteStore) -> None:
    progress = Progress()
    async with listening(store, progress=progress) as ear:
        progress.own("parser", "started")
        await submit(store, "parser")
        await settled(store, "parser")
        progress.own("parser", "cancelled")
        await service(store).cancel("parser", "ann")
        await settled(store, "parser")
        await submit(store, "docs")
        await until(lambda: len(ear.said) == 1)
    assert ear.texts == ["docs has started, with 1 step."]


async def test_the_cursor_waits_for_what_was_not_said(store: SqliteStore) -> None:
    async with listening(store, silent=True) as ear:
        await submit(store, "alpha", *(task(f"t{number}", run="alpha") for number in range(3)))
        await submit(store, "docs")
        await until(lambda: ear.following.progress.waiting == 2)
        saying = ear.following.take()
        assert saying
        assert saying.run == "alpha"
        ear.following.said(saying)
        await settled(store, "alpha")
        assert await cursor(store, "docs") == 0
    assert await store.read(lambda session: reading.sink_since(session, "voice:ann")) > 0
    assert await cursor(store, "docs") == 0
