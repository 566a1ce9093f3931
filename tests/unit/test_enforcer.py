"""The enforcer: what it decides, and that no behaviour of a model keeps it going for ever."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.enforcer import (
    CONSULTATIONS,
    CREDIT,
    ERRORS,
    FRUITLESS,
    Amounts,
    Consult,
    Continue,
    Counters,
    Decision,
    Done,
    Ended,
    News,
    Snapshot,
    Standing,
    Stop,
    Wait,
    decide,
)

FRESH = Counters()
STOPPED = Snapshot("gave_in", FRESH, open_items=("write the test",))


def after(decision: Decision, now: Snapshot, **changes: object) -> Decision:
    return decide(replace(now, counters=decision.counters, **changes))  # pyright: ignore[reportArgumentType]


def test_a_role_that_stops_early_goes_on() -> None:
    decision = decide(STOPPED)
    assert isinstance(decision, Continue)
    assert "write the test" in decision.prompt
    assert decision.counters.fruitless == decision.counters.continuations == 1


def test_done_needs_a_finished_checklist() -> None:
    claim = replace(STOPPED, ended="claims_done")
    decision = decide(claim)
    assert isinstance(decision, Continue)
    assert "You say that you are done" in decision.prompt
    assert isinstance(decide(replace(claim, open_items=())), Done)


def test_words_alone_end_with_oracle_and_then_blocked() -> None:
    decision: Decision = decide(STOPPED)
    for _ in range(FRUITLESS - 1):
        decision = after(decision, STOPPED)
        assert isinstance(decision, Continue)
    decision = after(decision, STOPPED)
    assert isinstance(decision, Consult)
    for _ in range(FRUITLESS):
        decision = after(decision, STOPPED)
        assert isinstance(decision, Continue)
    decision = after(decision, STOPPED, diagnosis="the service is not there")
    assert isinstance(decision, Stop)
    assert decision.state == "blocked"
    assert "the service is not there" in decision.reason


@pytest.mark.parametrize("news", [News(items=1), News(verified=1), News(trees=1), News(results=1)])
def test_what_moves_something_starts_the_count_anew(news: News) -> None:
    tired = replace(STOPPED, counters=replace(FRESH, fruitless=FRUITLESS), news=news)
    decision = decide(tired)
    assert isinstance(decision, Continue)
    assert decision.counters.fruitless == 0
    assert decision.counters.credit == CREDIT - bool(news.trees or news.results)


def test_new_trees_are_worth_something_only_so_often() -> None:
    busy = replace(STOPPED, news=News(trees=1, results=5))
    decision: Decision = decide(busy)
    turns = 1
    while isinstance(decision, Continue):
        decision = after(decision, busy)
        turns += 1
    assert isinstance(decision, Consult)
    assert turns == CREDIT + FRUITLESS + 1


@pytest.mark.parametrize("standing", ["held", "budget_exhausted"])
@pytest.mark.parametrize("ended", ["gave_in", "claims_done", "unavailable"])
def test_nobody_is_made_to_go_on_in_a_run_that_stands_still(standing: Standing, ended: Ended) -> None:
    decision = decide(replace(STOPPED, ended=ended, standing=standing, open_items=("x",)))
    assert isinstance(decision, Wait)
    assert decision.counters == FRESH, "it did nothing wrong"
    assert bool(decision.prompt) == (ended != "unavailable"), "what it hears when it goes on"
    tired = replace(STOPPED, standing=standing, counters=replace(FRESH, fruitless=FRUITLESS))
    assert isinstance(decide(tired), Wait), "Oracle is not asked either"


def test_what_is_done_may_be_finished_in_a_run_that_is_held() -> None:
    assert isinstance(decide(replace(STOPPED, ended="claims_done", standing="held", open_items=())), Done)


@pytest.mark.parametrize("ended", ["claims_done", "gave_in", "unavailable", "overflow"])
def test_a_cancel_comes_before_everything(ended: Ended) -> None:
    decision = decide(replace(STOPPED, ended=ended, standing="cancelled"))
    assert isinstance(decision, Stop)
    assert decision.state == "cancelled"


def test_errors_are_waited_out_longer_and_longer_and_not_for_ever() -> None:
    failing = replace(STOPPED, ended="unavailable")
    decision: Decision = decide(failing)
    waits: list[float] = []
    while isinstance(decision, Continue):
        waits.append(decision.after)
        decision = after(decision, failing)
    assert waits == [5.0, 10.0, 20.0, 40.0, 80.0, 160.0][:ERRORS]
    assert isinstance(decision, Stop)
    recovered = decide(replace(STOPPED, counters=replace(FRESH, errors=ERRORS)))
    assert recovered.counters.errors == 0


def test_what_does_not_fit_is_blocked() -> None:
    decision = decide(replace(STOPPED, ended="overflow"))
    assert isinstance(decision, Stop)
    assert decision.state == "blocked"


@pytest.mark.parametrize("spent", [Amounts(turns=9), Amounts(tool_calls=9), Amounts(tokens=9), Amounts(seconds=9.5)])
def test_caps_stand_above_progress(spent: Amounts) -> None:
    caps = Amounts(9, 9, 9, 9.0)
    decision = decide(replace(STOPPED, spent=spent, caps=caps, news=News(items=3)))
    assert isinstance(decision, Stop)
    assert decision.state == "failed"
    assert "cap of 9" in decision.reason


NEWS = st.builds(News, st.integers(0, 1), st.integers(0, 1), st.integers(0, 3), st.integers(0, 3))
ENDS: st.SearchStrategy[Ended] = st.sampled_from(["claims_done", "gave_in", "unavailable"])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(ENDS, NEWS), min_size=1, max_size=30), st.integers(0, 4), st.integers(0, 4))
def test_no_behaviour_goes_on_for_ever(script: list[tuple[Ended, News]], items: int, checks: int) -> None:
    """A frozen checklist and a set of verifications can each move only so often; nothing else counts for long."""
    counters, pushed, step = FRESH, 0, 0
    bound = (items + checks + CREDIT + CONSULTATIONS + 1) * (FRUITLESS + 1) * (ERRORS + 2)
    while True:
        ended, news = script[step % len(script)]
        step += 1
        real = replace(news, items=min(news.items, items), verified=min(news.verified, checks))
        items, checks = items - real.items, checks - real.verified
        decision = decide(Snapshot(ended, counters, real, open_items=("x",)))
        counters = decision.counters
        if not isinstance(decision, Continue | Consult):
            assert isinstance(decision, Stop)
            return
        pushed += 1
        assert pushed <= bound
