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
    intents.Answer("blue"), intents.Yes(), intents.Talk("delete all"),
]  # fmt: skip


@pytest.mark.parametrize("intent", CHANGES)
def test_nobody_changes_anything_without_the_wake_word(intent: Intent) -> None:
    asked = Memory(PARSER, "q-deploy", Asked(yes=(Start("x"),)))
    done = acts(intent, GATES, asked, woken=False)
    assert all(isinstance(act, Tell | Hush) for act in done)
    assert decide(Heard(intent, woken=False), GATES, asked)[0] == asked


@pytest.mark.parametrize("intent", [each for each in CHANGES if not isinstance(each, intents.Yes | intents.Talk)])
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


ANY = st.sampled_from(
    [*CHANGES, intents.Status(), intents.Stop(), intents.No(), intents.Repeat(), intents.Help(), intents.Quiet(),
     intents.Backchannel(), intents.Resume(), intents.Questions(), intents.Detail(more=True)]
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
            assert confidence == 1.0 or isinstance(intent, intents.Yes)
            if any(isinstance(act, ChangeRuns) and act.change == "cancel" for act in done):
                assert before.asked is not None
