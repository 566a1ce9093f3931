"""What to do about what somebody said. Pure: intents and what is known in, acts out.

- Without the wake word nothing is started, changed or answered.
- "Stop" is done at once. What ends work for good, starts some on a guess, or approves what has not just been read
  aloud, is read back first, and done when the answer is yes.
- Who is not sure what was said asks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from orchestrator.views import RunView
from voice import answers, intents
from voice.acts import (
    Act,
    Asked,
    AskModel,
    Change,
    ChangeRuns,
    GoOn,
    Hush,
    ReadQuestions,
    Run,
    SayAgain,
    SetDetail,
    Start,
    StartNamed,
    Tell,
    TellStatus,
)
from voice.engines.heard import FAINT, SURE
from voice.intents import Intent
from voice.naming import plans_called, runs_called
from voice.situation import Decision, Memory, Situation
from voice.transcripts import read_back


@dataclass(frozen=True, slots=True)
class Heard:
    """A turn. `said`: its words, for reading back."""

    intent: Intent
    said: str = ""
    woken: bool = True
    confidence: float = 1.0


_FREE = (
    intents.Quiet, intents.Repeat, intents.Status, intents.Help, intents.Questions, intents.Detail,
    intents.Backchannel,
)  # fmt: skip
"""Intents of whoever speaks, with or without the wake word: they change nothing."""
_UNSURE = (
    intents.StartGoal, intents.StartPlan, intents.Stop, intents.Cancel, intents.Approve, intents.Reject,
    intents.Hold, intents.Resume, intents.Retry, intents.Choose, intents.Answer, intents.Detail,
)  # fmt: skip
_OPEN_FOR: dict[Change, frozenset[str] | None] = {
    "stop": None, "cancel": None, "hold": None, "resume": frozenset(("held", "budget_exhausted")),
    "retry": frozenset(("failed", "blocked")),
}  # fmt: skip


def decide(heard: Heard, situation: Situation, memory: Memory) -> Decision:
    """See the module."""
    intent = heard.intent
    if heard.confidence < FAINT:
        return memory, [Tell("not_understood") if heard.woken else GoOn()]
    if not heard.woken and not isinstance(intent, _FREE):
        return memory, [Hush()] if isinstance(intent, intents.Stop) else [Tell("wake_word_first")]
    if isinstance(intent, intents.Backchannel):
        return memory, [GoOn()]
    if heard.confidence < SURE and isinstance(intent, _UNSURE):
        _, acts = _decide(intent, situation, replace(memory, asked=None))
        return replace(memory, asked=Asked(yes=tuple(acts))), [Tell("not_sure", text=read_back(heard.said))]
    return _decide(intent, situation, memory)


def _decide(intent: Intent, situation: Situation, memory: Memory) -> Decision:
    asked, memory = memory.asked, replace(memory, asked=None)
    match intent:
        case intents.Yes() if asked is not None and asked.yes:
            return memory, list(asked.yes)
        case intents.No() if asked is not None:
            return memory, [Tell("nothing_changed")]
        case intents.Stop(scope="everything") if asked is not None and asked.change in ("cancel", "hold"):
            return memory, [ChangeRuns(asked.change, asked.among, all=True)]
        case intents.Yes() | intents.Approve() | intents.No() | intents.Reject():
            plain = isinstance(intent, intents.Yes | intents.No)
            return answers.yes_or_no(isinstance(intent, intents.Yes | intents.Approve), situation, memory, plain=plain)
        case intents.Choose(number=number):
            if asked is not None and asked.change is not None:
                return _chosen(number, asked, memory)
            return answers.choice(number, situation, memory)
        case intents.Answer(text=text):
            return answers.words(text, situation, memory)
        case intents.Talk(text=text):
            return _talk(text, situation, memory, asked)
        case _:
            return _command(intent, situation, memory)


_CHANGES: dict[type[Intent], Change] = {
    intents.Cancel: "cancel", intents.Hold: "hold", intents.Resume: "resume", intents.Retry: "retry",
}  # fmt: skip


def _command(intent: Intent, situation: Situation, memory: Memory) -> Decision:
    match intent:
        case intents.StartGoal(goal=goal):
            return memory, [Start(goal)]
        case intents.StartPlan(name=name):
            found = plans_called(name, situation.plans)
            return memory, [StartNamed(found[0]) if len(found) == 1 else Tell("no_such_plan", name=name)]
        case intents.Stop(scope=scope, run=name):
            return _change("stop", name, situation, memory, all_of_them=scope == "everything")
        case intents.Cancel(run=name) | intents.Hold(run=name) | intents.Resume(run=name) | intents.Retry(run=name):
            return _change(_CHANGES[type(intent)], name, situation, memory)
        case intents.Status(run=name):
            return _status(name, situation, memory)
        case intents.Questions():
            only = situation.questions[0].id if len(situation.questions) == 1 else None
            return replace(memory, question=only), [ReadQuestions()]
        case _:
            return memory, [_simple(intent)]


def _simple(intent: Intent) -> Act:
    match intent:
        case intents.Detail(more=more):
            return SetDetail(more)
        case intents.Repeat():
            return SayAgain()
        case intents.Quiet():
            return Hush()
        case _:
            return Tell("help")


def _change(
    change: Change, name: str | None, situation: Situation, memory: Memory, *, all_of_them: bool = False
) -> Decision:
    wanted = _OPEN_FOR[change]
    runs = [run for run in situation.runs if run.state in wanted] if wanted is not None else situation.open
    known = [_run(run) for run in runs]
    if name is not None:
        chosen = runs_called(name, known)
        if not chosen:
            over = runs_called(name, [_run(run) for run in situation.runs])
            return memory, [Tell("already_over", name=over[0].name) if over else Tell("no_such_run", name=name)]
    else:
        chosen = known
        if not all_of_them and len(known) > 1 and memory.focus in known:
            chosen = [run for run in known if run == memory.focus]
    if not chosen:
        nothing: dict[Change, Tell] = {
            "stop": Tell("nothing_to_stop"), "cancel": Tell("nothing_to_stop"), "hold": Tell("nothing_to_pause"),
            "resume": Tell("nothing_to_resume"), "retry": Tell("nothing_to_retry"),
        }  # fmt: skip
        return memory, [nothing[change]]
    if len(chosen) > 1 and not all_of_them:
        names = tuple(run.name for run in chosen)
        return replace(memory, asked=Asked(change=change, among=tuple(chosen))), [Tell("which_run", names=names)]
    if len(chosen) == 1:
        return _changed(change, chosen[0], memory)
    return memory, [ChangeRuns(change, tuple(chosen), all=True)]


def _status(name: str | None, situation: Situation, memory: Memory) -> Decision:
    if name is None:
        run = memory.focus if len(situation.open) < 2 else None
        if len(situation.open) == 1:
            run = _run(situation.open[0])
        return replace(memory, focus=run or memory.focus), [TellStatus(run)]
    found = runs_called(name, [_run(run) for run in situation.runs])
    if not found:
        return memory, [Tell("no_such_run", name=name)]
    if len(found) > 1:
        return memory, [Tell("which_run", names=tuple(run.name for run in found))]
    return replace(memory, focus=found[0]), [TellStatus(found[0])]


def _chosen(number: int, asked: Asked, memory: Memory) -> Decision:
    """Of several runs that were named, by their number."""
    if asked.change is None or not 0 < number <= len(asked.among):
        return replace(memory, asked=asked), [Tell("no_such_choice", count=len(asked.among))]
    run = asked.among[number - 1]
    return _changed(asked.change, run, memory)


def _changed(change: Change, run: Run, memory: Memory) -> Decision:
    act = ChangeRuns(change, (run,))
    if change == "cancel":
        return Memory(run, memory.question, Asked(yes=(act,))), [Tell("sure_cancel", names=(run.name,))]
    return replace(memory, focus=run), [act]


def _talk(text: str, situation: Situation, memory: Memory, asked: Asked | None) -> Decision:
    if asked is not None and asked.change is not None and (found := runs_called(text, asked.among)):
        if len(found) == 1:
            return _changed(asked.change, found[0], memory)
        names = tuple(run.name for run in found)
        return replace(memory, asked=Asked(change=asked.change, among=tuple(found))), [Tell("which_run", names=names)]
    if situation.model:
        return memory, [AskModel(text)]
    if not situation.free_speech:
        return replace(memory, asked=asked), [Tell("not_understood")]
    return replace(memory, asked=Asked(yes=(Start(text),))), [Tell("sure_start", text=read_back(text))]


def _run(run: RunView) -> Run:
    return Run(run.id, run.name)
