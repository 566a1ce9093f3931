"""What says something of a worker, and nothing of a TODO; and what becomes of the TODO. The store is real."""

from __future__ import annotations

import errno
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from sqlmodel import select

from mcp_servers.git.program import GitError
from orchestrator import hindrance as module
from orchestrator.dispatch import Dispatch
from orchestrator.enforcer import ERRORS
from orchestrator.hindrance import Hindrance, Rest, hindrance, put_off
from orchestrator.outcome import settlement
from state.commands import Claimed, ClaimedMany, ClaimNext, NewTodo, SubmitRun
from state.errors import EngineAway, InputError, NewerDocument, RemoteMissing, RemoteUnavailable, SandboxUnavailable
from state.ports import Blockage, Deferral
from state.records import QUEUE, TodoKind, local_placement, new_id
from state.sqlite import SqliteStore
from state.tables import Event
from tests.contract.store_world import FakeClock


def unavailable(number: int) -> RemoteUnavailable:
    error = RemoteUnavailable("the store could not be written")
    error.__cause__ = OSError(number, "x")
    return error


@pytest.mark.parametrize(
    ("error", "reason", "host", "passing"),
    [
        (OSError(errno.ENOSPC, "x", "/work"), "store", True, False),
        (OSError(errno.EDQUOT, "x"), "store", True, False),
        (GitError("fatal: write error: No space left on device"), "store", True, False),
        (OSError(errno.EMFILE, "x"), "sandbox", True, True),
        (BlockingIOError(errno.EAGAIN, "x"), "sandbox", True, True),
        (OSError(errno.ENOMEM, "x"), "sandbox", True, True),
        (RuntimeError("can't start new thread"), "sandbox", True, True),
        (EngineAway("no engine answers"), "sandbox", True, False),
        (RemoteUnavailable("away"), "store", False, False),
        (unavailable(errno.ENOSPC), "store", True, False),
        (unavailable(errno.ECONNREFUSED), "store", False, False),
        (NewerDocument("newer"), "input", False, False),
    ],
)
def test_what_hinders_a_worker(error: Exception, reason: str, host: bool, passing: bool) -> None:
    found = hindrance(error)
    assert found
    assert (found.reason, found.host, found.passing) == (reason, host, passing)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EACCES, "x"), FileNotFoundError(errno.ENOENT, "x"), RuntimeError("x"),
        GitError("fatal: no such ref"),
        SandboxUnavailable("no engine"), RemoteMissing("x"), InputError("x"), ZeroDivisionError(),
    ],
)  # fmt: skip
def test_what_does_not(error: Exception) -> None:
    assert hindrance(error) is None


@pytest.fixture
async def dispatch(tmp_path: Path) -> AsyncGenerator[tuple[Dispatch, FakeClock]]:
    clock = FakeClock()
    store = SqliteStore(tmp_path / "a.db", now=clock)
    yield Dispatch(store, None), clock
    await store.close()


async def claimed(dispatch: Dispatch, placement: str) -> Claimed:
    outcome = await dispatch.one(ClaimNext("w", placement, 1))
    assert isinstance(outcome, ClaimedMany)
    return outcome.claims[0]


async def submitted(dispatch: Dispatch, placement: str, kind: TodoKind = "task") -> Claimed:
    todo = NewTodo(new_id(), "t", "t", kind, "{}")
    await dispatch.one(SubmitRun(new_id(), "r", None, placement, 9, "person", "test", "{}", "{}", "h", [todo]))
    return await claimed(dispatch, placement)


async def test_in_the_queue_it_is_put_off_longer_each_time_and_blocked_in_the_end(
    dispatch: tuple[Dispatch, FakeClock],
) -> None:
    ways, clock = dispatch
    claim, waits = await submitted(ways, QUEUE), list[float]()
    for _ in range(ERRORS):
        result = await put_off(ways, claim, Hindrance("the disk is full", "store"), QUEUE)
        assert isinstance(result, Deferral)
        waits.append(result.after)
        await ways.one(settlement(claim, result, "w"))
        clock.advance(result.after)
        claim = await claimed(ways, QUEUE)
    assert waits == [5, 10, 20, 40, 80, 160]
    assert claim.attempt == 0, "no attempt is lost by it"
    told = await ways.store.read(
        lambda session: session.exec(select(Event.data).where(Event.type == "todo.progress")).all()
    )
    assert "waits 5 s: the disk is full" in told[0]
    assert await put_off(ways, claim, Hindrance("the disk is full", "store"), QUEUE) == Blockage(
        "store", "the disk is full"
    )


@pytest.mark.parametrize(
    ("found", "kind", "waits"),
    [
        (Hindrance("full", "store"), "task", False),
        (Hindrance("full", "store"), "agent", True),
        (Hindrance("no engine", "sandbox"), "agent", False),
        (Hindrance("too few files", "sandbox", passing=True), "task", True),
    ],
)
async def test_who_waits_for_his_own_run_is_told_at_once_of_what_does_not_pass(
    dispatch: tuple[Dispatch, FakeClock], found: Hindrance, kind: TodoKind, waits: bool
) -> None:
    """A role whose disk is full waits all the same, as it does for a store: what it has done was paid for."""
    ways, _ = dispatch
    place = local_placement("w")
    claim = await submitted(ways, place, kind)
    result = await put_off(ways, claim, found, place)
    assert isinstance(result, Deferral if waits else Blockage)
    if isinstance(result, Deferral):
        assert result.after == (2.0 if found.passing else 5.0)


def test_a_worker_rests_longer_each_time_and_then_tries_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    rest = Rest()
    assert (rest.slots(9, [99.0]), rest.now) == (9, False)
    waits: list[float] = []
    for _ in range(6):
        began = now[0]
        rest.begin("full")
        rest.begin("full")  # what ends at the same time
        while rest.now:
            assert rest.slots(9, []) == 0
            now[0] += 0.5
        waits.append(now[0] - began)
        assert (rest.slots(9, [began]), rest.slots(0, []), rest.why) == (1, 0, "full")
        assert rest.slots(9, [began, now[0]]) == 0, "one is tried"
    assert waits == [1, 2, 4, 8, 16, 16]
    rest.over(now[0] - 30)  # it began before
    assert rest.slots(9, []) == 1
    rest.over(now[0])
    assert (rest.slots(9, []), rest.why) == (9, None)
    rest.begin("full")
    now[0] += 1
    assert rest.slots(9, []) == 1
