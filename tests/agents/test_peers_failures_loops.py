"""What peers fail at, and we must not: loops without an end (product.md's last section: 1, 2, 7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from roles.models.port import Usage
from roles.models.prices import load_prices
from state.records import QUEUE
from tests.agents.cast import DONE, TRY_AGAIN, Answering, Cast, Heard, Player, acts, call, lists, runs, ticks, writes
from tests.agents.test_cancelling import become, cancelled
from tests.agents.test_planners import GOAL, GOOD, OBJECTS
from tests.agents.world import SMALL, World, opened, todo
from tests.services.model_wires import Answer, Billed, Part, Say

ROOM = replace(SMALL, caps=replace(SMALL.caps, turns=1_000, tool_calls=4_000, tokens=10**9))
"""No cap is met: whoever ends, ends because nothing moves."""
PUSH = "Go on; or ask"
"""What a role hears that is made to go on."""


def _stops_after_every_step(heard: Heard) -> Part:
    """Something new each time, so that there is a reason to make it go on."""
    return Say("I stop here.") if heard.replies % 2 else runs(f"echo {heard.replies}")


def _pushes(world: World) -> int:
    return sum(PUSH in heard.last for heard in world.stage.heard)


async def _nothing_is_asked(world: World) -> None:
    """Although workers look at all there is, a new one too, and carry out another run."""
    asked, run = len(world.server.asked), world.run
    for _ in range(2):
        await world.hire()
        assert await world.play({"id": "other", "run": "true"}) == "completed"
    world.run = run
    assert len(world.server.asked) == asked


# --- 1. "A continuation loop that cannot be stopped, overrides "wait", or goes on after completion." ------------------


@pytest.mark.parametrize("times", [1, 5, 12])
async def test_a_continuation_loop_that_cannot_be_stopped(tmp_path: Path, times: int) -> None:
    """1: a continuation loop that cannot be stopped. It is cancelled after so many continuations."""
    async with opened(tmp_path, cast={"hephaestus": _stops_after_every_step}, bounds=ROOM) as world:
        await world.submit(todo())
        await world.hire()
        await become(lambda: _pushes(world) >= times, f"{times} continuations")
        await cancelled(world)
        await _nothing_is_asked(world)


async def test_a_continuation_loop_that_overrides_hold(tmp_path: Path) -> None:
    """1: a continuation loop that overrides "wait". A person holds the run: the role is not made to go on until
    the run is resumed."""
    async with opened(tmp_path, cast={"hephaestus": _stops_after_every_step}, bounds=ROOM) as world:
        await world.submit(todo())
        await world.hire()
        await become(lambda: _pushes(world) >= 2, "two continuations")
        await world.service.hold(world.run, "held by me")
        pushes = _pushes(world)
        await become(lambda: not world.busy, "nobody works")
        assert _pushes(world) <= pushes + 1
        assert (await world.row()).state == "held"
        assert (await world.todo()).state == "ready"
        pushes = _pushes(world)
        await world.service.resume(world.run, QUEUE)
        await become(lambda: _pushes(world) > pushes, "it goes on")


async def test_a_continuation_loop_that_overrides_wait(tmp_path: Path) -> None:
    """1: a continuation loop that overrides "wait". The role asks a person, and wants to go on: until there is an
    answer nothing more is done and nobody makes it go on, neither a worker that is there nor one that comes."""
    asks = [Say("I do not wait."), call("ask_person", question="May I?"), runs(f"touch {tmp_path}/went-on")]
    async with opened(tmp_path, cast={"hephaestus": acts(Say("Hm."), asks, [writes(), DONE])}, bounds=ROOM) as world:
        assert await world.play(todo()) == "awaiting_input"
        assert (_pushes(world), len(world.server.asked)) == (1, 2)
        await _nothing_is_asked(world)
        assert (await world.row()).state == "awaiting_input"
        assert not (tmp_path / "went-on").exists()
        await world.answer("yes")
        await world.until(lambda run: run.state == "completed")
        assert world.stage.by("hephaestus")[2].turns[-1].results[0] == "me answers: yes"
        assert (tmp_path / "went-on").exists()


async def test_a_continuation_loop_that_goes_on_after_completion(tmp_path: Path) -> None:
    """1: a continuation loop that goes on after completion. What the role wants besides is not done, it hears nothing
    more, and nobody takes the run up again."""
    more = runs(f"touch {tmp_path}/more")
    async with opened(tmp_path, cast={"hephaestus": acts(writes(), [Say("And now"), DONE, more], more)}) as world:
        assert await world.play(todo()) == "completed", await world.told()
        assert len(world.stage.by("hephaestus")) == 2
        await _nothing_is_asked(world)
        assert not (tmp_path / "more").exists()
        assert [each.outcome for each in await world.attempts() if each.todo_id == (await world.todo()).id] == [
            "completed"
        ]


# --- 2. "A blocked task that loops for hours because text replies, failing commands, or flipping a status back and
# forth counted as progress." ------------------------------------------------------------------------------------------


async def _stuck(path: Path, player: Player, calls: int) -> None:
    """With room for thousands of calls it is blocked after so many at most, because nothing was measured to move."""
    async with opened(path, cast={"hephaestus": player}, bounds=ROOM) as world:
        assert await world.play(todo()) == "blocked", await world.told()
        state, reason, detail = (await world.told())["fix"]
        assert (state, reason) == ("blocked", "stuck")
        assert "no measurable progress" in (detail or "")
        assert len(world.stage.by("hephaestus")) <= calls
        assert len(world.stage.by("oracle")) == 1, "who looked at it once"
        assert (await world.row()).head is None


async def test_a_blocked_task_that_loops_because_text_replies_counted_as_progress(tmp_path: Path) -> None:
    """2: a blocked task that loops for hours because text replies counted as progress: other words each time."""
    await _stuck(tmp_path, lambda heard: Say(f"Step {heard.replies} of {heard.replies + 1} is done, I go on."), 10)


async def test_a_blocked_task_that_loops_because_failing_commands_counted_as_progress(tmp_path: Path) -> None:
    """2: a blocked task that loops for hours because failing commands counted as progress: another command each time,
    which prints something else and fails."""

    def fails(heard: Heard) -> Answering:
        return [runs(f"echo attempt {heard.replies}.{number}; sh check.sh || exit 2") for number in range(4)]

    await _stuck(tmp_path, fails, 40)


def _flips_items(heard: Heard) -> Part:
    """Completes what it has set and completed, splits it, drops the parts, and sets it anew."""
    item = heard.replies // 5 % 4 + 1
    again: Sequence[Part] = (
        lists("the answer is right", "the check passes"), ticks(item),
        call("checklist", action="split", item=item, items=[f"{heard.replies}, a", f"{heard.replies}, b"]),
        call("checklist", action="drop", item=item, reason="it is not needed"), lists(f"item {heard.replies}", "more"),
    )  # fmt: skip
    return again[heard.replies % len(again)]


async def test_a_blocked_task_that_loops_because_flipping_a_status_counted_as_progress(tmp_path: Path) -> None:
    """2: a blocked task that loops for hours because flipping a status back and forth counted as progress."""
    await _stuck(tmp_path, _flips_items, 150)


async def test_a_blocked_task_that_loops_because_flipping_a_check_counted_as_progress(tmp_path: Path) -> None:
    """2: the same with the status of its verification: it is mended and broken again and again."""
    flips = [writes(), call("check"), writes(content="wrong again\n"), call("check")]
    await _stuck(tmp_path, lambda heard: Say("It flickers.") if heard.replies % 2 else flips, 40)


# --- 7. "Unbounded review rounds (18 and 30+ seen). Unbounded spend (hundreds of dollars in one night)." --------------


async def test_unbounded_review_rounds(tmp_path: Path) -> None:
    """7: unbounded review rounds. A reviewer who never approves a plan has three, and then a person decides."""
    cast = {"prometheus": acts(GOOD), "metis": acts(OBJECTS)}
    async with opened(tmp_path, cast=cast) as world:
        assert await world.play(goal=GOAL) == "awaiting_input"
        assert (len(world.stage.by("prometheus")), len(world.stage.by("metis"))) == (3, 3)
        (question,) = await world.questions()
        assert "It could be better." in question.text
        assert not world.hands[0].worker.busy
        await world.answer("reject")
        await world.until(lambda run: run.state == "failed")
        assert (await world.told())["plan"][1] == "rejected"
        assert "me rejected the plan" in ((await world.told())["plan"][2] or "")
        assert len(world.server.asked) == 6


async def test_unbounded_review_rounds_of_what_was_done(tmp_path: Path) -> None:
    """7: unbounded review rounds. A reviewer who never approves of work whose commands pass has as many as there are
    attempts."""
    cast: Cast = {"oracle": lambda heard: TRY_AGAIN if "diagnosis" in heard.tools else OBJECTS}
    reviewed = todo(verify=[{"run": "sh check.sh"}, {"review": "oracle"}], retries={"max": 2, "backoff": 0.01})
    async with opened(tmp_path, cast=cast, bounds=ROOM) as world:
        assert await world.play(reviewed) == "failed"
        assert (await world.told())["fix"][:2] == ("failed", "verification")
        assert sum("verdict" in heard.tools for heard in world.stage.by("oracle")) == 3
        assert (await world.row()).head is None


async def test_unbounded_spend_overnight(tmp_path: Path) -> None:
    """7: unbounded spend, hundreds of dollars in one night. Roles that never end, workers that come and look for work:
    what their server counted, at its maker's prices, stays below what was allowed."""
    model, dollars, many = "anthropic/claude-haiku-4-5", 0.12, 8
    used = Billed(input=3_000, cached=400, written=100, output=500)
    price = load_prices().of(model)
    assert price

    def never_ends(heard: Heard) -> Answering:
        return Answer((Say("I shall."), runs(f"echo {heard.replies}")), usage=used, chunk=200)

    todos = [todo(id=f"fix-{n}", touches=[f"{n}.txt"], retries={"max": 20, "backoff": 0.01}) for n in range(many)]
    async with opened(tmp_path, "anthropic", cast={"hephaestus": never_ends}, bounds=ROOM) as world:
        await world.hire(slots=many)
        models = {"default": [model]}
        assert await world.play(*todos, budget={"usd": dollars}, concurrency=many, models=models) == "budget_exhausted"
        await _nothing_is_asked(world)
        told = [asked.answer.usage for asked in world.server.asked if asked.whole and asked.answer.usage]
        cost = sum(price.cost(Usage(each.input, each.cached, each.written, each.output)) for each in told)
        assert Decimal("0.01") < cost <= Decimal(str(dollars))
        budget = await world.budget()
        assert budget.nano == sum(row.nano for row in await world.calls())
        assert abs(Decimal(budget.nano) / 10**9 - cost) < Decimal("0.000001")
        assert (await world.row()).state == "budget_exhausted"
