"""What is done about what somebody said: nothing wrong, and nothing unasked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.views import Progress, QuestionView, RunView, Spend
from voice import intents
from voice.acts import (
    AnswerQuestion,
    Asked,
    AskModel,
    ChangeRuns,
    GoOn,
    Hush,
    ReadQuestions,
    Run,
    SayAgain,
    Start,
    StartNamed,
    Tell,
    TellStatus,
)
from voice.dialogue import Heard, decide
from voice.intents import Intent
from voice.situation import Memory, Situation


def run(name: str, state: str = "in_progress") -> RunView:
    return RunView(f"id-{name}", name, None, state, None, Progress(1, 4), Spend(), None, None)


def question(name: str, *choices: str, of: str = "parser") -> QuestionView:
    return QuestionView(f"q-{name}", f"id-{of}", "todo", f"Do {name}?", list(choices), "pending", None, None, None)


NEW = Memory()
NOTHING = Situation()
ONE = Situation([run("parser")])
TWO = Situation([run("parser"), run("docs"), run("old", "failed")], plans=["nightly"])
GATE = Situation([run("parser")], [question("deploy", "approve", "reject")])
HEARD = Situation(GATE.runs, GATE.questions, free_speech=True)
GATES = Situation(
    [run("parser"), run("docs")], [question("deploy", "approve", "reject"), question("merge", "yes", "no", of="docs")]
)
OPEN_QUESTION = Situation([run("parser")], [question("color")])
PARSER, DOCS = Run("id-parser"), Run("id-docs")


def acts(intent: Intent, situation: Situation = ONE, memory: Memory = NEW, *, woken: bool = True) -> list[object]:
    return list(decide(Heard(intent, woken=woken), situation, memory)[1])


@pytest.mark.parametrize(
    ("intent", "situation", "memory", "expected"),
    [
        (intents.StartGoal("fix it"), NOTHING, Memory(), [Start("fix it")]),
        (intents.StartPlan("nightly"), TWO, Memory(), [StartNamed("nightly")]),
        (intents.StartPlan("weekly"), TWO, Memory(), [Tell("no_such_plan", name="weekly")]),
        (intents.Stop(), NOTHING, Memory(), [Tell("nothing_to_stop")]),
        (intents.Stop(), ONE, Memory(), [ChangeRuns("stop", (PARSER,))]),
        (intents.Stop(), TWO, Memory(focus=DOCS), [ChangeRuns("stop", (DOCS,))]),
        (intents.Stop(), TWO, Memory(), [Tell("which_run", names=("parser", "docs"))]),
        (intents.Stop("everything"), TWO, Memory(), [ChangeRuns("stop", (PARSER, DOCS), all=True)]),
        (intents.Stop(run="docs"), TWO, Memory(focus=PARSER), [ChangeRuns("stop", (DOCS,))]),
        (intents.Stop(run="old"), TWO, Memory(), [Tell("already_over", name="old")]),
        (intents.Stop(run="other"), TWO, Memory(), [Tell("no_such_run", name="other")]),
        (intents.Cancel(), ONE, Memory(), [Tell("sure_cancel", names=("parser",))]),
        (intents.Cancel("docs"), TWO, Memory(), [Tell("sure_cancel", names=("docs",))]),
        (intents.Hold(), ONE, Memory(), [ChangeRuns("hold", (PARSER,))]),
        (intents.Resume(), ONE, Memory(), [Tell("nothing_to_resume")]),
        (intents.Resume(), Situation([run("parser", "held")]), Memory(), [ChangeRuns("resume", (PARSER,))]),
        (intents.Retry(), TWO, Memory(), [ChangeRuns("retry", (Run("id-old"),))]),
        (intents.Status(), ONE, Memory(), [TellStatus(PARSER)]),
        (intents.Status(), TWO, Memory(), [TellStatus(None)]),
        (intents.Status("docs"), TWO, Memory(), [TellStatus(DOCS)]),
        (intents.Questions(), GATE, Memory(), [ReadQuestions()]),
        (intents.Approve(), NOTHING, Memory(), [Tell("nothing_asked")]),
        (intents.Approve(), GATE, Memory(), [Tell("sure_approve", text="Do deploy?")]),
        (intents.Approve(), GATE, Memory(question="q-deploy"), [Tell("sure_approve", text="Do deploy?")]),
        (intents.Approve(), HEARD, Memory(question="q-deploy"), [AnswerQuestion("q-deploy", "approve")]),
        (intents.Reject(), HEARD, Memory(question="q-deploy"), [AnswerQuestion("q-deploy", "reject")]),
        (intents.No(), GATE, Memory(question="q-deploy"), [AnswerQuestion("q-deploy", "reject")]),
        (intents.Yes(), GATE, Memory(question="q-deploy"), [AnswerQuestion("q-deploy", "approve")]),
        (intents.Yes(), GATE, Memory(), [Tell("sure_approve", text="Do deploy?")]),
        (intents.Approve(), GATES, Memory(), [Tell("which_question", names=("parser", "docs"))]),
        (intents.Yes(), GATES, Memory(question="q-merge"), [AnswerQuestion("q-merge", "yes")]),
        (intents.Choose(2), GATE, Memory(question="q-deploy"), [AnswerQuestion("q-deploy", "reject")]),
        (intents.Choose(2), GATE, Memory(), [Tell("sure_answer", answer="reject")]),
        (intents.Choose(3), GATE, Memory(question="q-deploy"), [Tell("no_such_choice", count=2)]),
        (intents.Answer("blue"), OPEN_QUESTION, Memory(), [Tell("sure_answer", answer="blue")]),
        (intents.Answer("Approve"), GATE, Memory(question="q-deploy"), [AnswerQuestion("q-deploy", "approve")]),
        (intents.Yes(), NOTHING, Memory(), [Tell("nothing_asked")]),
        (intents.Backchannel(), ONE, Memory(), [GoOn()]),
        (intents.Talk("hello there"), ONE, Memory(), [Tell("not_understood")]),
        (intents.Talk("hello there"), Situation(model=True), Memory(), [AskModel("hello there")]),
        (intents.Talk("hello there"), Situation(free_speech=True), Memory(), [Tell("sure_start", text="hello there")]),
    ],
)  # fmt: skip
def test_an_intent_in_a_situation(intent: Intent, situation: Situation, memory: Memory, expected: list[object]) -> None:
    assert acts(intent, situation, memory) == expected


CHANGES: list[Intent] = [
    intents.StartGoal("fix it"), intents.StartPlan("nightly"), intents.Stop("everything"), intents.Cancel("docs"),
    intents.Hold("docs"), intents.Retry(), intents.Approve(), intents.Reject(), intents.Choose(1),
    intents.Answer("blue"), intents.Yes(), intents.No(), intents.Talk("delete all"), intents.Cancel(scope="everything"),
    intents.Hold(scope="everything"), intents.Everything(), intents.Detail(more=False),
]  # fmt: skip


@pytest.mark.parametrize("intent", CHANGES)
def test_nobody_changes_anything_without_the_wake_word(intent: Intent) -> None:
    asked = Memory(PARSER, "q-deploy", Asked(yes=(Start("x"),)))
    done = acts(intent, GATES, asked, woken=False)
    assert all(isinstance(act, Tell | Hush) for act in done)
    assert decide(Heard(intent, woken=False), GATES, asked)[0] == asked


@pytest.mark.parametrize("intent", [each for each in CHANGES if not isinstance(each, intents.Detail | intents.Talk)])
def test_who_is_not_sure_what_was_said_asks_and_a_yes_does_it(intent: Intent) -> None:
    known = Memory(PARSER, "q-deploy")
    memory, said = decide(Heard(intent, "something like it", confidence=0.3), GATES, known)
    assert said == [Tell("not_sure", text="something like it")]
    sure = acts(intent, GATES, known)
    assert acts(intents.Yes(), GATES, memory) == sure
    assert acts(intents.No(), GATES, memory) == [Tell("nothing_changed")]


def test_a_cancel_is_done_by_a_yes_and_by_nothing_else() -> None:
    memory, _ = decide(Heard(intents.Cancel("docs")), TWO, Memory())
    assert acts(intents.Yes(), TWO, memory) == [ChangeRuns("cancel", (DOCS,))]
    again, done = decide(Heard(intents.Repeat()), TWO, memory)
    assert done == [SayAgain()]
    assert acts(intents.Yes(), TWO, again) == [ChangeRuns("cancel", (DOCS,))]
    for other in (intents.No(), intents.Status(), intents.Approve(), intents.Help()):
        after, done = decide(Heard(other), TWO, memory)
        assert not any(isinstance(act, ChangeRuns) for act in done)
        assert not any(isinstance(act, ChangeRuns) for act in acts(intents.Yes(), TWO, after))


def test_of_several_runs_one_is_named_by_its_name_or_its_number_or_all_are_meant() -> None:
    memory, _ = decide(Heard(intents.Stop()), TWO, Memory())
    assert acts(intents.Talk("docs"), TWO, memory) == [ChangeRuns("stop", (DOCS,))]
    assert acts(intents.Choose(1), TWO, memory) == [ChangeRuns("stop", (PARSER,))]
    assert acts(intents.Stop("everything"), TWO, memory) == [ChangeRuns("stop", (PARSER, DOCS), all=True)]
    memory, said = decide(Heard(intents.Cancel()), TWO, Memory())
    again, said = decide(Heard(intents.Choose(2)), TWO, memory)
    assert said == [Tell("sure_cancel", names=("docs",))]
    assert acts(intents.Yes(), TWO, again) == [ChangeRuns("cancel", (DOCS,))]


def test_what_was_heard_unsurely_is_decided_on_when_it_is_confirmed() -> None:
    memory, _ = decide(Heard(intents.Cancel("docs"), "cancel docs", confidence=0.3), TWO, Memory())
    memory, said = decide(Heard(intents.Yes()), TWO, memory)
    assert said == [Tell("sure_cancel", names=("docs",))]
    assert acts(intents.Yes(), TWO, memory) == [ChangeRuns("cancel", (DOCS,))]
    memory, _ = decide(Heard(intents.Stop(), "stop", confidence=0.3), TWO, Memory())
    memory, said = decide(Heard(intents.Yes()), TWO, memory)
    assert said == [Tell("which_run", names=("parser", "docs"))]
    memory, said = decide(Heard(intents.Choose(2), "two", confidence=0.3), TWO, memory)
    assert said == [Tell("not_sure", text="two")]
    assert acts(intents.Yes(), TWO, memory) == [ChangeRuns("stop", (DOCS,))]


def test_a_yes_that_is_unsure_is_asked_about_once() -> None:
    memory, _ = decide(Heard(intents.Cancel("docs")), TWO, Memory())
    memory, said = decide(Heard(intents.Yes(), "yes", confidence=0.3), TWO, memory)
    assert said == [Tell("not_sure", text="yes")]
    memory, said = decide(Heard(intents.Yes(), "yes", confidence=0.3), TWO, memory)
    assert said == [ChangeRuns("cancel", (DOCS,))]
    memory, _ = decide(Heard(intents.Cancel("docs")), TWO, Memory())
    assert decide(Heard(intents.No(), "no", confidence=0.3), TWO, memory)[1] == [Tell("nothing_changed")]


@pytest.mark.parametrize("between", [intents.Status(), intents.StartGoal("fix it"), intents.Stop(run="docs")])
def test_a_question_was_just_read_until_somebody_wants_something_else(between: Intent) -> None:
    heard = Memory(question="q-deploy")
    after, _ = decide(Heard(between), GATE, heard)
    assert acts(intents.Yes(), GATE, after) == [Tell("sure_approve", text="Do deploy?")]
    for passing in (intents.Repeat(), intents.Help(), intents.Choose(9)):
        after, _ = decide(Heard(passing), GATE, heard)
        assert acts(intents.Yes(), GATE, after) == [AnswerQuestion("q-deploy", "approve")]
    after, said = decide(Heard(intents.Choose(9)), GATE, Memory())
    assert said == [Tell("no_such_choice", count=2)]
    assert acts(intents.Yes(), GATE, after) == [Tell("sure_approve", text="Do deploy?")]


def test_who_puts_it_off_answers_nothing() -> None:
    after, said = decide(Heard(intents.Later()), GATE, Memory(question="q-deploy"))
    assert said == [Tell("left_waiting")]
    assert acts(intents.No(), GATE, after) == [Tell("sure_reject", text="Do deploy?")]
    asked, _ = decide(Heard(intents.Cancel("docs")), TWO, Memory())
    after, said = decide(Heard(intents.Later()), TWO, asked)
    assert said == [Tell("nothing_changed")]
    assert acts(intents.Yes(), TWO, after) == [Tell("nothing_asked")]


def test_which_run_is_answered_by_its_name_or_by_all_of_them() -> None:
    free = Situation(GATES.runs, GATES.questions, free_speech=True)
    asked, said = decide(Heard(intents.Yes()), free, Memory())
    assert said == [Tell("which_question", names=("parser", "docs"))]
    after, said = decide(Heard(intents.Talk("docs")), free, asked)
    assert said == [Tell("sure_approve", text="Do merge?")]
    assert acts(intents.Yes(), free, after) == [AnswerQuestion("q-merge", "yes")]
    assert acts(intents.Everything(), free, asked) == [Tell("which_question", names=("parser", "docs"))]
    two = Situation([run("docs one"), run("docs two")])
    asked, said = decide(Heard(intents.Status("docs")), two, Memory())
    assert said == [Tell("which_run", names=("docs one", "docs two"))]
    assert acts(intents.Talk("docs two"), two, asked) == [TellStatus(Run("id-docs two"))]
    assert acts(intents.Everything(), two, asked) == [TellStatus(None)]
    asked, _ = decide(Heard(intents.Cancel()), TWO, Memory())
    after, said = decide(Heard(intents.Everything()), TWO, asked)
    assert said == [Tell("sure_cancel_all", names=("parser", "docs"))]
    assert acts(intents.Yes(), TWO, after) == [ChangeRuns("cancel", (PARSER, DOCS), all=True)]


def test_questions_of_one_run_are_read_when_it_is_not_clear_which_is_meant() -> None:
    both = Situation([run("parser")], [question("deploy", "approve", "reject"), question("merge", "yes", "no")])
    assert acts(intents.Approve(), both) == [ReadQuestions()]


def test_a_choice_may_be_said_in_its_own_words_when_it_was_read() -> None:
    free = Situation(GATE.runs, [question("deploy", "push it", "hold")], free_speech=True)
    assert acts(intents.Talk("Push it."), free, Memory(question="q-deploy")) == [AnswerQuestion("q-deploy", "push it")]
    assert acts(intents.Talk("Push it."), free, Memory()) == [Tell("sure_start", text="Push it")]


def test_a_name_is_taken_as_a_whole_before_a_part_of_it() -> None:
    runs = Situation([run("nightly-deploy"), run("nightly", "completed")], plans=["deploy-production"])
    assert acts(intents.Stop(run="nightly"), runs) == [Tell("already_over", name="nightly")]
    assert acts(intents.Stop(run="deploy"), runs) == [ChangeRuns("stop", (Run("id-nightly-deploy"),))]
    latest = Situation([run("latest-deps")])
    assert acts(intents.Stop(run="test"), latest) == [Tell("no_such_run", name="test")]
    asked, said = decide(Heard(intents.Stop(run="late")), latest, Memory())
    assert said == [Tell("sure_cancel", names=("latest-deps",))]
    assert acts(intents.Yes(), latest, asked) == [ChangeRuns("stop", (Run("id-latest-deps"),))]
    asked, said = decide(Heard(intents.StartPlan("deploy")), runs, Memory())
    assert said == [Tell("sure_start", text="deploy-production")]
    assert acts(intents.Yes(), runs, asked) == [StartNamed("deploy-production")]


def test_yes_is_neither_of_two_that_are_both_deeds() -> None:
    read = Memory(question="q-deploy")
    for choices, yes, no in (
        (("abort", "continue"), None, None),
        (("yes", "cancel"), "yes", "cancel"),
        (("no", "go on"), "go on", "no"),
        (("同意", "不同意"), "同意", "不同意"),
        (("批准并合并", "拒绝"), "批准并合并", "拒绝"),
    ):
        there = Situation([run("parser")], [question("deploy", *choices)])
        for intent, value in ((intents.Yes(), yes), (intents.No(), no)):
            said = AnswerQuestion("q-deploy", value) if value else Tell("no_such_choice", count=2)
            assert acts(intent, there, read) == [said], (choices, intent)


@pytest.mark.parametrize(
    "text", ["Yes, cancel it.", "Atlas, yes, stop it please", "yeah cancel that run", "是的，取消"]
)
def test_a_yes_may_say_what_to(text: str) -> None:
    asked, _ = decide(Heard(intents.Cancel("docs")), TWO, Memory())
    assert acts(intents.Talk(text), TWO, asked) == [ChangeRuns("cancel", (DOCS,))]
    unsure, said = decide(Heard(intents.Talk(text), text, confidence=0.3), TWO, asked)
    assert [act.which for act in said if isinstance(act, Tell)] == ["not_sure"]
    assert acts(intents.Yes(), TWO, unsure) == [ChangeRuns("cancel", (DOCS,))]


@pytest.mark.parametrize("text", ["Yes, but pause it first.", "yes, cancel the meeting", "no, the other one", "是不是"])
def test_what_begins_as_an_answer_and_is_none_starts_nothing(text: str) -> None:
    free = Situation(TWO.runs, free_speech=True)
    asked, _ = decide(Heard(intents.Cancel("docs")), free, Memory())
    memory, said = decide(Heard(intents.Talk(text)), free, asked)
    assert said == [SayAgain()]
    assert acts(intents.Yes(), free, memory) == [ChangeRuns("cancel", (DOCS,))]


def test_a_no_is_not_confirmed_by_a_deed() -> None:
    asked, _ = decide(Heard(intents.Reject()), GATE, Memory())
    assert acts(intents.Talk("yes, approve it"), GATE, asked) == [SayAgain()]


ANY = st.sampled_from(
    [*CHANGES, intents.Status(), intents.Stop(), intents.No(), intents.Repeat(), intents.Help(), intents.Quiet(),
     intents.Backchannel(), intents.Resume(), intents.Questions(), intents.Detail(more=True), intents.Later()]
)  # fmt: skip


@given(st.lists(st.tuples(ANY, st.booleans(), st.sampled_from([0.2, 1.0])), max_size=12))
def test_whatever_is_said_changes_come_from_what_was_woken_and_sure(
    said: list[tuple[Intent, bool, float]],
) -> None:
    memory = Memory()
    for intent, woken, confidence in said:
        before = memory
        memory, done = decide(Heard(intent, "words", woken=woken, confidence=confidence), GATES, memory)
        if any(isinstance(act, ChangeRuns | Start | StartNamed | AnswerQuestion) for act in done):
            assert woken
            assert confidence == 1.0 or (isinstance(intent, intents.Yes) and before.asked is not None)
            if any(isinstance(act, ChangeRuns) and act.change == "cancel" for act in done):
                assert before.asked is not None
