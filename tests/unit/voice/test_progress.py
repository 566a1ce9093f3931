"""What is told unasked: once, in few words, the most urgent first."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from orchestrator.views import EventView
from tests.unit.voice.log import Log
from voice.hearing import Known
from voice.progress import LONG_AGO, Own, Progress
from voice.wording.facts import Trouble

TITLES = {"t1": "Write the tests", "t2": "Fix it"}


def said(progress: Progress, now: float = 0.0) -> list[str]:
    """All that waits, said one after the other."""
    found: list[str] = []
    while saying := progress.take(now):
        progress.said(saying)
        found.append(saying.text)
    return found


def hearing(progress: Progress, *logs: Log, now: float = 0.0) -> list[str]:
    """What is said of what is new."""
    for log in logs:
        progress.hear(log.new(), TITLES, now)
    return said(progress, now)


# --- one run ---------------------------------------------------------------------------------------------------------


def test_a_run_from_start_to_end() -> None:
    progress, log = Progress(), Log()
    assert hearing(progress, log.submitted()) == ["fix parser has started, with 8 steps."]
    assert hearing(progress, log.progress(1)) == []
    assert hearing(progress, log.progress(2)) == ["It is at a quarter: 2 of 8 steps."]
    assert hearing(progress, log.progress(3)) == []
    assert hearing(progress, log.progress(6)) == ["It is at three quarters: 6 of 8 steps."]
    assert hearing(progress, log.to("completed")) == ["It is done."]


def test_in_chinese() -> None:
    progress, log = Progress("zh"), Log()
    assert hearing(progress, log.submitted("planning")) == ["fix parser 已开始，正在制定计划。"]
    assert hearing(progress, log.add("run.planned", hash="h", todos=7)) == ["任务的计划已完成，共 7 项。"]
    assert hearing(progress, log.asked()) == ["有一个问题：Push the branch? 第一：push。第二：hold。"]


def test_small_runs_have_no_milestones() -> None:
    progress, log = Progress(), Log(total=3)
    assert hearing(progress, log.submitted().progress(1).progress(2))[1:] == []


def test_a_plan_that_grows_repeats_no_milestone() -> None:
    progress, log = Progress(), Log(total=4)
    hearing(progress, log.submitted())
    assert len(hearing(progress, log.progress(2))) == 1
    assert hearing(progress, log.progress(2, 20)) == []
    assert hearing(progress, log.progress(10, 20)) == []
    assert hearing(progress, log.progress(15, 20)) == ["It is at three quarters: 15 of 20 steps."]


def test_the_same_events_again_say_nothing() -> None:
    progress, log = Progress(), Log().submitted().progress(4).asked()
    assert len(hearing(progress, log)) == 2
    progress.hear(log.events, TITLES)
    assert said(progress) == []


def test_why_a_run_failed() -> None:
    progress, log = Progress(), Log().submitted()
    hearing(progress, log)
    log.add("todo.risk", "t1", text="write: pytest: 3 failed").todo("t1", "verifying", "ready", "verification", "x")
    assert hearing(progress, log) == ["The checks of Write the tests did not pass. It will be tried again."]
    log.todo("t2", "in_progress", "failed", "timeout").progress(3)
    log.todo("t1", "verifying", "failed", "verification", "pytest: 3 failed").to("failed")
    assert hearing(progress, log) == ["It failed: Fix it, it took too long, and 1 more."]


def test_why_a_run_is_blocked_and_that_it_goes_on() -> None:
    progress, log = Progress(), Log().submitted()
    hearing(progress, log)
    log.todo("t1", "in_progress", "blocked", "stuck", "Oracle: the disk is full. Buy one.").to("blocked")
    assert hearing(progress, log) == ["It is blocked: Write the tests, the disk is full."]
    assert hearing(progress, log.todo("t1", "blocked", "ready").to("in_progress").to("completed")) == ["It is done."]


def test_an_outcome_that_is_true_no_more_is_not_told() -> None:
    progress, log = Progress(), Log().submitted()
    hearing(progress, log)
    assert hearing(progress, log.to("blocked").to("in_progress")) == []


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (
            Log().submitted().add("todo.risk", "t1", text="Oracle: no such file. Make it."),
            "Trouble with Write the tests. no such file.",
        ),
        (Log().submitted().add("todo.risk", None, text="Beware of `x`."), "A risk. Beware of x."),
        (Log().submitted().budget(exhausted=False), "It has used four fifths of its budget."),
        (Log().submitted().budget(exhausted=True).to("budget_exhausted"), "It stopped: its budget is used up."),
        (Log().submitted().to("held", "a person"), "It is paused."),
        (Log().submitted().to("cancelled", "cancelled by x"), "It was cancelled."),
        (Log().submitted().todo("t1", "in_progress", "failed", "oom"), "Write the tests failed: it ran out of memory."),
        (
            Log().submitted().todo("t1", "in_progress", "blocked", "secret"),
            "Write the tests is blocked: a secret is missing.",
        ),
    ],
)
def test_what_is_a_risk(log: Log, expected: str) -> None:
    progress = Progress()
    progress.own("r1", "started")
    assert hearing(progress, log) == [expected]


def test_levels_of_detail() -> None:
    def story() -> Log:
        log = Log().submitted().todo("t1", "in_progress", "ready", "exit").progress(4)
        log.add("worker.took_over", "t2", worker="w", cause="died", crash_count=1)
        return log.todo("t2", "verifying", "completed").asked().to("awaiting_input").answered().to("completed")

    def told(progress: Progress) -> list[str]:
        return [text for event in story().events for text in one(progress, event)]

    def one(progress: Progress, event: EventView) -> list[str]:
        progress.hear([event], TITLES)
        return said(progress)

    less, normal, more = told(Progress("en", "less")), told(Progress()), told(Progress("en", "more"))
    assert less == ["fix parser asks: Push the branch? One: push. Two: hold.", "It is done."]
    assert normal == [
        "fix parser has started, with 8 steps.",
        "It is halfway: 4 of 8 steps.",
        "A question: Push the branch? One: push. Two: hold.",
        "It is done.",
    ]
    assert more == [
        "fix parser has started, with 8 steps.",
        "Write the tests failed: a command ended with an error. It will be tried again.",
        "It is halfway: 4 of 8 steps.",
        "Another worker took over Fix it.",
        "Fix it is done.",
        "A question: Push the branch? One: push. Two: hold.",
        "It is done.",
    ]


# --- what waits ------------------------------------------------------------------------------------------------------


def test_three_milestones_are_the_last_one() -> None:
    progress, log = Progress(), Log().submitted().progress(2).progress(4).progress(6)
    assert hearing(progress, log) == ["fix parser is at three quarters: 6 of 8 steps."]


def test_an_outcome_stands_for_what_came_before_it() -> None:
    progress, log = (
        Progress(),
        Log().submitted().progress(4).todo("t1", "in_progress", "failed", "exit").to("completed"),
    )
    assert hearing(progress, log) == ["fix parser is done."]
    assert progress.told_to() == {"r1": 4}


def test_questions_go_first_then_outcomes_then_risks() -> None:
    progress = Progress()
    one, two, three = (Log(f"r{number}", name).submitted() for number, name in enumerate(("a", "b", "c")))
    hearing(progress, one, two, three)
    one.progress(4)
    two.todo("t1", "in_progress", "failed", "exit").asked()
    three.to("completed")
    assert hearing(progress, one, two, three) == [
        "b asks: Push the branch? One: push. Two: hold.",
        "c is done.",
        "Write the tests failed in b: a command ended with an error.",
        "a is halfway: 4 of 8 steps.",
    ]


def replanned(log: Log) -> Log:
    return log.todo("t9", "awaiting_input", "not_applicable", "replanned")


def expired(log: Log) -> Log:
    return log.add("question.expired", "t9", question="q1")


def cancelled(log: Log) -> Log:
    return log.to("cancelled")


@pytest.mark.parametrize("end", [Log.answered, expired, replanned, cancelled])
def test_a_question_that_waits_no_more_is_not_asked(end: Callable[[Log], Log]) -> None:
    progress, log = Progress(), Log().submitted().asked()
    progress.hear(log.new())
    taken = progress.take()
    assert taken
    assert taken.question == "q1"
    assert progress.stands(taken)
    progress.hear(end(log).new())
    assert not progress.stands(taken)
    progress.unsaid(taken)
    assert "asks" not in " ".join(said(progress))


def test_what_was_cut_off_waits_again_unless_there_is_newer() -> None:
    progress, log = Progress(), Log().submitted().progress(2)
    progress.hear(log.new())
    taken = progress.take()
    assert taken
    progress.unsaid(taken)
    again = progress.take()
    assert again
    assert again.kind == "milestone"
    progress.hear(log.progress(4).new())
    progress.unsaid(again)
    assert said(progress) == ["It is halfway: 4 of 8 steps."]


def test_what_somebody_did_themselves_is_not_told_again() -> None:
    progress, log = Progress(), Log()
    progress.own("r1", "started")
    assert hearing(progress, log.submitted()) == []
    progress.own("r1", "held")
    assert hearing(progress, log.to("held")) == []
    progress.own("r1", "resumed")
    assert hearing(progress, log.to("in_progress", "resumed")) == []
    assert hearing(progress, log.to("held")) == ["It is paused."]  # by somebody else
    hearing(progress, log.to("in_progress"))
    progress.own("r1", "cancelled")
    assert hearing(progress, log.to("cancelled")) == []


@pytest.mark.parametrize(
    ("act", "log"), [("started", Log().submitted()), ("cancelled", Log().submitted().to("cancelled"))]
)
def test_nor_when_it_was_heard_of_first(act: Own, log: Log) -> None:
    progress = Progress()
    progress.hear(log.new())
    progress.own("r1", act)
    assert said(progress) == []
    assert progress.told_to() == {"r1": len(log.events)}


# --- several runs ----------------------------------------------------------------------------------------------------


def test_several_runs_are_named() -> None:
    progress, one, two = Progress(), Log(), Log("r2", "docs")
    hearing(progress, one.submitted())
    hearing(progress, two.submitted())
    assert hearing(progress, two.progress(4)) == ["docs is halfway: 4 of 8 steps."]
    assert hearing(progress, one.to("completed")) == ["fix parser is done."]
    assert hearing(progress, two.progress(6)) == ["docs is at three quarters: 6 of 8 steps."]
    assert hearing(progress, two.to("completed")) == ["It is done."]


def test_many_outcomes_are_told_together() -> None:
    progress = Progress()
    logs = [Log(f"r{number}", f"job {number}").submitted().to("completed") for number in range(9)]
    assert hearing(progress, *logs) == ["Meanwhile: job 0, job 1, job 2, job 3 and 5 others are done."]


def test_runs_whose_beginning_was_not_heard() -> None:
    progress, log = Progress(), Log().submitted().progress(4).progress(5)
    progress.know([Known("r1", "fix-parser", "in_progress", 5, 8, {"t2": ("failed", Trouble("Fix it", "exit"))})])
    progress.hear_to("r1", 3)
    assert hearing(progress, log) == []
    assert hearing(progress, log.progress(6)) == ["fix parser is at three quarters: 6 of 8 steps."]
    assert hearing(progress, log.to("failed")) == ["It failed: Fix it, a command ended with an error."]


# --- who was away ----------------------------------------------------------------------------------------------------


def test_what_was_missed_is_told_once() -> None:
    progress = Progress()
    parser = Log("r1", "parser").submitted().progress(4).to("completed")
    docs = Log("r2", "docs").submitted().todo("t1", "in_progress", "failed", "exit").to("failed")
    web = Log("r3", "web").submitted().progress(6).asked()
    for log in (parser, docs, web):
        progress.hear(log.new(), TITLES)
    progress.away()
    assert said(progress) == [
        "While you were away: parser is done; docs failed: Write the tests, a command ended with an error;"
        " web is at 6 of 8 steps; one question waits.",
        "web asks: Push the branch? One: push. Two: hold.",
    ]
    assert progress.told_to() == {"r1": 3, "r2": 3, "r3": 3}


def test_questions_that_wait_are_put_again() -> None:
    progress = Progress()
    progress.know([Known("r1", "web", "awaiting_input", 1, 2, {})])
    progress.ask("r1", "q1", "t9", "Push?", ["yes", "no"])
    progress.ask("r1", "q1", "t9", "Push?", ["yes", "no"])
    progress.away(3)
    assert said(progress) == ["web asks: Push? One: yes. Two: no."]


def test_a_second_absence_adds_to_the_first() -> None:
    progress, one, two = Progress(), Log("r1", "a").submitted().progress(4), Log("r2", "b").submitted().to("completed")
    progress.hear(one.new())
    progress.away()
    progress.hear([*one.to("completed").new(), *two.new()])
    progress.away()
    assert said(progress) == ["While you were away: a and b are done."]


def test_what_waits_for_long_is_told_in_short() -> None:
    progress, log = Progress(), Log().submitted().progress(4)
    progress.hear(log.new(), TITLES, 10.0)
    progress.hear(log.todo("t1", "verifying", "ready", "verification").new(), TITLES, 11.0 + LONG_AGO)
    assert said(progress, 11.0 + LONG_AGO) == ["While you were away: fix parser is at 4 of 8 steps."]
