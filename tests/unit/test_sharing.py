"""Callers that ask the same share runs: none is told what was true before it asked, and leaving harms nobody."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_servers.sharing import ABREAST, Sharing


@dataclass
class Asked:
    """Runs that end when the test says so; each answers when it began."""

    sharing: Sharing = field(default_factory=Sharing)
    now: int = 0
    ends: list[asyncio.Future[None]] = field(default_factory=list[asyncio.Future[None]])
    most: int = 0
    stopped: int = 0

    async def run(self) -> int:
        self.now += 1
        began, end = self.now, asyncio.get_running_loop().create_future()
        self.ends.append(end)
        self.most = max(self.most, len(self.ends))
        try:
            await end
        except asyncio.CancelledError:
            self.stopped += 1
            raise
        finally:
            self.ends.remove(end)
        return began

    async def ask(self, key: str = "status") -> tuple[int, int]:
        """(when it was asked, when the run began whose answer it is)"""
        self.now += 1
        asked = self.now
        return asked, await self.sharing.ask(key, self.run)

    def start(self, count: int, key: str = "status") -> list[asyncio.Task[tuple[int, int]]]:
        return [asyncio.create_task(self.ask(key)) for _ in range(count)]


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_sixteen_take_three_runs() -> None:
    asked = Asked()
    calls = asked.start(16)
    await settled()
    assert len(asked.ends) == ABREAST
    while asked.ends:
        asked.ends[0].set_result(None)
        await settled()
    answers = [await call for call in calls]
    assert len({began for _, began in answers}) == ABREAST + 1
    assert all(asked_at < began for asked_at, began in answers)
    assert len(asked.sharing) == 0


async def test_other_questions_do_not_wait() -> None:
    asked = Asked()
    calls = [*asked.start(8, "one"), *asked.start(8, "other")]
    await settled()
    assert len(asked.ends) == 2 * ABREAST
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert (len(asked.ends), len(asked.sharing)) == (0, 0)


async def test_who_leaves_harms_nobody() -> None:
    asked = Asked()
    calls = asked.start(ABREAST + 3)
    await settled()
    calls[0].cancel()
    calls[-1].cancel()
    await settled()
    assert asked.stopped == 1
    while asked.ends:
        asked.ends[0].set_result(None)
        await settled()
    assert [call.cancelled() for call in calls] == [True, False, False, False, True]
    assert asked.stopped == 1


async def test_a_run_that_all_have_left_is_stopped() -> None:
    asked = Asked()
    calls = asked.start(ABREAST + 2)
    await settled()
    asked.ends[0].set_result(None)
    await settled()
    assert len(asked.ends) == ABREAST
    for call in calls[-2:]:
        call.cancel()
    await asyncio.gather(*calls[-2:], return_exceptions=True)
    assert (len(asked.ends), asked.stopped) == (ABREAST - 1, 1)


async def test_a_failure_is_told_to_all_and_ends_with_them() -> None:
    asked = Asked()
    calls = asked.start(ABREAST + 2)
    await settled()
    asked.ends[0].set_exception(ValueError("one"))
    await settled()
    asked.ends[-1].set_exception(ValueError("both"))
    asked.ends[0].set_result(None)
    await settled()
    said = [str(call.exception()) for call in calls]
    assert sorted(said) == ["None", "both", "both", "one"]
    [call] = asked.start(1)
    await settled()
    asked.ends[0].set_result(None)
    await call


STEPS = st.lists(st.tuples(st.sampled_from(["ask", "leave", "end", "fail", "wait"]), st.integers(0, 20)), max_size=60)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_in_any_order(steps: list[tuple[str, int]]) -> None:
    async def play() -> None:
        asked, calls = Asked(), list[asyncio.Task[tuple[int, int]]]()
        for step, which in steps:
            await do(step, which, asked, calls)
            assert asked.most <= ABREAST
        while not all(call.done() for call in calls):
            await do("end", 0, asked, calls)
            await settled()
        assert (len(asked.ends), len(asked.sharing)) == (0, 0)
        for call in calls:
            if not call.cancelled() and not call.exception():
                at, began = call.result()
                assert at < began

    asyncio.run(play())


async def do(step: str, which: int, asked: Asked, calls: list[asyncio.Task[tuple[int, int]]]) -> None:
    pending = [end for end in asked.ends if not end.done()]
    if step == "ask":
        calls += asked.start(1)
    elif step == "leave" and calls:
        calls[which % len(calls)].cancel()
    elif step == "end" and pending:
        pending[which % len(pending)].set_result(None)
    elif step == "fail" and pending:
        pending[which % len(pending)].set_exception(ValueError)
    else:
        await settled()
