"""Completed means evidence; a failure says whether another attempt follows."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlmodel import select

from state import reading
from state.commands import BeginVerifying, Block, Claim, Complete, Fail, Published, Refused, Retry
from state.limits import DETAIL_CHARACTERS
from state.records import QUEUE, Evidence
from state.tables import ArtifactRow, EvidenceRow
from tests.contract.store_world import START, World, output, proof, task, todo_id

X = todo_id("x")
REFUSED: dict[str, list[Evidence]] = {
    "none": [],
    "failed": [proof(False)],
    "one of them failed": [proof(), proof(False), proof()],
    "of two subjects": [proof(subject="tree:1"), proof(subject="tree:2")],
}


async def _evidence(world: World) -> list[EvidenceRow]:
    rows = await world.store.read(lambda session: session.exec(select(EvidenceRow)).all())
    return sorted(rows, key=lambda row: (row.fence, row.number))


@pytest.mark.parametrize("verifying", [False, True])
@pytest.mark.parametrize("evidence", REFUSED)
async def test_without_good_evidence_nothing_is_completed(world: World, evidence: str, verifying: bool) -> None:
    await world.submit(task("x"))
    fence = (await world.claim("x")).fence
    if verifying:
        await world.done(BeginVerifying(X, fence))
    assert await world.refused(Complete(X, fence, REFUSED[evidence], [output()])) == "evidence"
    await world.done(Complete(X, fence, [proof()]))


async def test_evidence_and_manifest_are_written_with_the_settlement(world: World) -> None:
    await world.submit(task("x"))
    fence = (await world.claim("x")).fence
    items = [proof(item_hash="one", exit_code=None, command=None), proof(item_hash="two", output_tail="ok\n")]
    tree = output("/out/tree/")
    tree.tree, tree.listing, tree.size = True, "[]", 1 << 50
    await world.done(Complete(X, fence, items, [output(), tree]))
    rows = await _evidence(world)
    assert [(row.number, row.item_hash, row.exit_code, row.output_tail) for row in rows] == [
        (0, "one", None, ""),
        (1, "two", 0, "ok\n"),
    ]
    assert {(row.todo_id, row.epoch, row.attempt, row.fence, row.subject, row.passed) for row in rows} == {
        (X, 0, 0, fence, "exit:1", True)
    }
    outputs = await world.store.read(lambda session: session.exec(select(ArtifactRow)).all())
    assert {(row.internal, row.tree, row.size, row.published_at) for row in outputs} == {
        ("/out/a", False, 3, None),
        ("/out/tree/", True, 1 << 50, None),
    }


async def test_published_outputs_are_marked(world: World) -> None:
    await world.submit(task("x"))
    fence = (await world.claim("x")).fence
    await world.done(Complete(X, fence, [proof()], [output("/a"), output("/b")]))
    world.clock.advance(5.0)
    await world.done(Published(X, fence, ["/a"]))
    outputs = await world.store.read(lambda session: session.exec(select(ArtifactRow)).all())
    assert {row.internal: row.published_at for row in outputs} == {"/a": START + 5.0, "/b": None}


async def test_nothing_is_published_before_it_is_completed(world: World) -> None:
    await world.submit(task("x"))
    fence = (await world.claim("x")).fence
    assert await world.refused(Published(X, fence, ["/a"])) == "not_ready"
    assert await world.refused(Published("nowhere", 1, ["/a"])) == "missing"
    await world.do(Published(X, fence, ["/a"]), Complete(X, fence, [proof()], [output("/a")]))
    outputs = await world.store.read(lambda session: session.exec(select(ArtifactRow)).all())
    assert [row.published_at for row in outputs] == [None]


async def test_one_output_twice_is_refused_whole(world: World) -> None:
    await world.submit(task("x"))
    fence = (await world.claim("x")).fence
    assert await world.refused(Complete(X, fence, [proof()], [output("/a"), output("/a")])) == "invalid"


async def test_a_failed_attempt_keeps_its_evidence(world: World) -> None:
    await world.submit(task("x"))
    fence = (await world.claim("x")).fence
    await world.done(Fail(X, fence, "verification", "one test fails", 0.0, [proof(), proof(False)]))
    fence = (await world.claim("x")).fence
    await world.done(Complete(X, fence, [proof()]))
    assert [(row.attempt, row.number, row.passed) for row in await _evidence(world)] == [
        (0, 0, True),
        (0, 1, False),
        (1, 0, True),
    ]
    risks = [event.data["text"] for event in await world.events() if event.type == "todo.risk"]
    assert risks == ["x: one test fails"]


async def _manifest(world: World) -> list[tuple[int, str, float | None]]:
    """(fence, path, when it was published), as read for people and publishers."""
    rows = await world.store.read(lambda session: reading.artifacts(session, X))
    unpublished = await world.store.read(reading.unpublished)
    assert {row.internal for row in unpublished} == {row.internal for row in rows if row.published_at is None}
    return [(row.fence, row.internal, row.published_at) for row in rows]


async def test_the_last_failure_leaves_what_was_wanted_whatever_happens(world: World) -> None:
    await world.submit(task("x"))
    await world.done(Fail(X, (await world.claim("x")).fence, "exit", "no", 0.0, outputs=[output("/a")]))
    assert await _manifest(world) == [], "another attempt follows"
    fence = (await world.claim("x")).fence
    await world.done(Fail(X, fence, "exit", "no", outputs=[output("/a"), output("/b")]))
    assert (await world.todo("x")).state == "failed"
    assert await _manifest(world) == [(fence, "/a", None), (fence, "/b", None)]
    await world.done(Published(X, fence, ["/a"]))
    assert await _manifest(world) == [(fence, "/a", START), (fence, "/b", None)]
    assert await world.refused(Fail(X, fence, "exit", "again", outputs=[output("/c")])) == "lease_lost"


async def test_what_a_retry_leaves_comes_instead(world: World) -> None:
    await world.submit(task("x"))
    first = (await world.claim("x")).fence
    await world.done(Fail(X, first, "exit", "no", outputs=[output("/a"), output("/b")]))
    await world.done(Retry(X, "me"))
    await world.done(Published(X, first, ["/a"]))
    assert await _manifest(world) == [(first, "/a", START), (first, "/b", None)]
    second = (await world.claim("x")).fence
    await world.done(Complete(X, second, [proof()], [output("/a")]))
    await world.done(Published(X, first, ["/a", "/b"]))
    assert await _manifest(world) == [(second, "/a", None)], "the first attempt's copies are not the second's"


async def test_an_output_of_a_failure_twice_is_refused_whole(world: World) -> None:
    await world.submit(task("x"))
    fence = (await world.claim("x")).fence
    assert await world.refused(Fail(X, fence, "exit", "", outputs=[output("/a"), output("/a")])) == "invalid"


async def test_another_attempt_waits_its_time(world: World) -> None:
    await world.submit(task("x"))
    await world.done(Fail(X, (await world.claim("x")).fence, "exit", "no", 30.0))
    row = await world.todo("x")
    assert (row.state, row.reason, row.detail, row.not_before) == ("ready", "exit", "no", START + 30.0)
    world.clock.advance(29.9)
    assert await world.refused(Claim(X, "w", QUEUE)) == "not_ready"
    world.clock.advance(0.1)
    assert (await world.claim("x")).attempt == 1


async def test_a_story_is_cut_to_its_bound(world: World) -> None:
    await world.submit(task("x"), task("y"))
    await world.done(Fail(X, (await world.claim("x")).fence, "exit", "é" * 1_000_000))
    await world.done(Block(todo_id("y"), (await world.claim("y")).fence, "image", "é" * 1_000_000))
    assert (await world.todo("x")).detail == (await world.todo("y")).detail == "é" * DETAIL_CHARACTERS


async def test_what_failed_is_over_for_its_owner_and_open_to_people(world: World) -> None:
    await world.submit(task("x"))
    await world.fail("x", "oom")
    row = await world.todo("x")
    assert (row.state, row.reason, row.detail, row.owner, row.ended_at) == ("failed", "oom", "it broke", None, START)
    assert (await world.run()).state == "failed"
    assert (await world.run()).ended_at == START
    await world.done(Retry(X, "me"))
    assert (await world.run()).state == "in_progress"
    assert (await world.run()).ended_at is None
    await world.finish("x")
    assert (await world.run()).state == "completed"


ABSURD: dict[str, Complete | Fail] = {
    "exit code": Complete(X, 1, [proof(exit_code=1 << 31)]),
    "size": Complete(X, 1, [proof()], [output()]),
    "seconds": Complete(X, 1, [proof(seconds=float("nan"))]),
    "retry": Fail(X, 1, "exit", "", float("inf")),
    "NUL": Complete(X, 1, [proof(output_tail="a\0b")]),
    "surrogate": Fail(X, 1, "exit", "\udfff"),
    "NUL in a path": Complete(X, 1, [proof()], [output("/a\0")]),
    "NUL in a failure's path": Fail(X, 1, "exit", "", outputs=[output("/a\0")]),
    "a failure's long path": Fail(X, 1, "exit", "", outputs=[output("/" + "a" * 5_000)]),
    "a failure's size": Fail(X, 1, "exit", "", outputs=[replace(output(), size=1 << 63)]),
}


@pytest.mark.parametrize("what", ABSURD)
async def test_what_no_database_could_hold_is_refused(world: World, what: str) -> None:
    await world.submit(task("x"))
    await world.claim("x")
    command = ABSURD[what]
    if what == "size" and isinstance(command, Complete):
        huge = output()
        huge.size = 1 << 63
        command = Complete(X, 1, command.evidence, [huge])
    assert await world.refused(command) == "invalid"


async def test_two_settlements_in_one_call(world: World) -> None:
    await world.submit(task("x"))
    fence = (await world.claim("x")).fence
    first, second = await world.do(Complete(X, fence, [proof()]), Fail(X, fence, "exit", "late"))
    assert not isinstance(first, Refused)
    assert isinstance(second, Refused)
    assert second.code == "lease_lost"
    assert (await world.todo("x")).state == "completed"
