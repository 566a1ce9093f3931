"""What to do about what somebody said. Pure: intents and what is known in, acts out.

- Without the wake word nothing is started, changed or answered.
- "Stop" is done at once. What ends work for good, starts some on a guess, or approves what has not just been read
  aloud, is read back first, and done when the answer is yes.
- Who is not sure what was said asks, and decides when that is confirmed.
- What was asked is forgotten with the next thing that somebody wants. So is which question was read aloud.
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
from voice.confirming import confirms
from voice.engines.heard import FAINT, SURE
from voice.intents import Intent
from voice.naming import is_called, names_words, plans_called, runs_called
from voice.situation import Decision, Memory, Situation
from voice.transcripts import read_back, uncalled


@dataclass(frozen=True, slots=True)
class Heard:
    """A turn. `said`: its words, for reading back."""

    intent: Intent
    said: str = ""
    woken: bool = True
    confidence: float = 1.0


_FREE = (
    intents.Quiet, intents.Repeat, intents.Status, intents.Help, intents.Questions, intents.Backchannel,
)  # fmt: skip
"""Intents of whoever speaks, with or without the wake word: they change nothing."""
_UNSURE = (
    intents.StartGoal, intents.StartPlan, intents.Stop, intents.Cancel, intents.Approve, intents.Reject,
    intents.Hold, intents.Resume, intents.Retry, intents.Choose, intents.Answer, intents.Everything, intents.Yes,
    intents.No,
)  # fmt: skip
_MARKS = " .,!?。，！？"
_IN_PASSING = (intents.Quiet, intents.Repeat, intents.Help, intents.Detail)
"""After which a question that was read aloud may still be answered."""
_OPEN_FOR: dict[Change, frozenset[str] | None] = {
    "stop": None, "cancel": None, "hold": None, "resume": frozenset(("held", "budget_exhausted")),
    "retry": frozenset(("failed", "blocked")),
}  # fmt: skip


def decide(heard: Heard, situation: Situation, memory: Memory) -> Decision:
    """See the module."""
    intent = _meant(heard.intent, memory.asked)
    if heard.confidence < FAINT:
        return memory, [Tell("not_understood") if heard.woken else GoOn()]
    if isinstance(intent, intents.Backchannel):
        return memory, [GoOn()]
    if isinstance(intent, intents.Repeat):  # of what was asked, too, which may be answered then
        return memory, [SayAgain()]
    if not heard.woken:
        return memory, _unwoken(intent, situation, memory)
    if heard.confidence < SURE and isinstance(intent, _UNSURE) and not _said_again(intent, memory.asked):
        asked = Asked(about=intent, before=memory.asked)
        return replace(memory, asked=asked), [Tell("not_sure", text=read_back(heard.said))]
    return _decide(intent, situation, memory)


def _meant(intent: Intent, asked: Asked | None) -> Intent:
    """A yes may say what to; it has to be heard as surely as any."""
    if isinstance(intent, intents.Talk) and asked is not None and asked.yes:
        return intents.Yes() if confirms(uncalled(intent.text), asked.yes) == "yes" else intent
    return intent


def _unwoken(intent: Intent, situation: Situation, memory: Memory) -> list[Act]:
    """Of whoever speaks: what it is about stays what it was."""
    if isinstance(intent, intents.Stop):
        return [Hush()]
    return _command(intent, situation, memory)[1] if isinstance(intent, _FREE) else [Tell("wake_word_first")]


def _said_again(intent: Intent, asked: Asked | None) -> bool:
    """Whether somebody says yes to having said yes, or no to whatever was asked."""
    if isinstance(intent, intents.No):
        return asked is not None
    return isinstance(intent, intents.Yes) and asked is not None and asked.about == intent


def _decide(intent: Intent, situation: Situation, memory: Memory) -> Decision:  # noqa: PLR0911 - one of each
    asked, memory = memory.asked, replace(memory, asked=None)
    match intent:
        case intents.Yes() if asked is not None and asked.yes:
            return memory, list(asked.yes)
        case intents.Yes() if asked is not None and asked.about is not None and not asked.among:
            return _decide(asked.about, situation, replace(memory, asked=asked.before))
        case intents.No() if asked is not None:
            return memory, [Tell("nothing_changed")]
        case intents.Later():
            waits = asked is None and bool(situation.questions)
            return replace(memory, question=None), [Tell("left_waiting" if waits else "nothing_changed")]
        case intents.Everything() | intents.Stop(scope="everything") if asked is not None and asked.among:
            return _all_of(asked, intent, situation, memory)
        case intents.Everything():
            return replace(memory, asked=asked), [Tell("not_understood")]
        case intents.Choose(number=number) if asked is not None and asked.among:
            return _numbered(number, asked, situation, memory)
        case intents.Yes() | intents.Approve() | intents.No() | intents.Reject() | intents.Choose() | intents.Answer():
            return _answer(intent, situation, memory)
        case intents.Talk(text=text):
            return _talk(text, situation, memory, asked)
        case _:
            return _command(intent, situation, memory)


def _answer(
    intent: intents.Yes | intents.No | intents.Approve | intents.Reject | intents.Choose | intents.Answer,
    situation: Situation, memory: Memory,
) -> Decision:  # fmt: skip
    match intent:
        case intents.Choose(number=number):
            memory, acts = answers.choice(number, situation, memory)
        case intents.Answer(text=text):
            memory, acts = answers.words(text, situation, memory)
        case _:
            yes, plain = isinstance(intent, intents.Yes | intents.Approve), isinstance(intent, intents.Yes | intents.No)
            memory, acts = answers.yes_or_no(yes, situation, memory, plain=plain)
    if any(isinstance(act, Tell) and act.which == "which_question" for act in acts):
        memory = replace(memory, asked=Asked(about=intent, among=answers.asking_runs(situation)))
    return memory, acts


_CHANGES: dict[type[Intent], Change] = {
    intents.Cancel: "cancel", intents.Hold: "hold", intents.Resume: "resume", intents.Retry: "retry",
}  # fmt: skip


def _command(intent: Intent, situation: Situation, memory: Memory) -> Decision:
    if not isinstance(intent, _IN_PASSING):
        memory = replace(memory, question=None)
    match intent:
        case intents.StartGoal(goal=goal):
            return memory, [Start(goal)]
        case intents.StartPlan(name=name):
            return _start_plan(name, situation, memory)
        case intents.Stop(scope=scope, run=name):
            return _change("stop", name, situation, memory, all_of_them=scope == "everything")
        case intents.Cancel(run=name) | intents.Hold(run=name) | intents.Resume(run=name) | intents.Retry(run=name):
            every = not isinstance(intent, intents.Retry) and intent.scope == "everything"
            return _change(_CHANGES[type(intent)], name, situation, memory, all_of_them=every)
        case intents.Status(run=name):
            return _status(name, situation, memory)
        case intents.Questions():
            only = situation.questions[0].id if len(situation.questions) == 1 else None
            return replace(memory, question=only), [ReadQuestions()]
        case _:
            return memory, [_simple(intent)]


def _start_plan(name: str, situation: Situation, memory: Memory) -> Decision:
    found = plans_called(name, situation.plans)
    if len(found) != 1:
        return memory, [Tell("no_such_plan", name=name)]
    act = StartNamed(found[0])
    if is_called(name, found[0]):
        return memory, [act]
    return replace(memory, asked=Asked(yes=(act,))), [Tell("sure_start", text=found[0])]


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
        seen = [_run(run) for run in situation.runs]
        named = [run for run in seen if is_called(name, run.name)]
        chosen = runs_called(name, known) if not named or any(run in known for run in named) else []
        if not chosen:
            over = runs_called(name, seen)
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
        loosely = name is not None and not (is_called(name, chosen[0].name) or names_words(name, chosen[0].name))
        return _changed(change, chosen[0], memory, ask=loosely)
    return _changed_all(change, tuple(chosen), memory)


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
        asked = Asked(about=intents.Status(), among=tuple(found))
        return replace(memory, asked=asked), [Tell("which_run", names=tuple(run.name for run in found))]
    return replace(memory, focus=found[0]), [TellStatus(found[0])]


def _numbered(number: int, asked: Asked, situation: Situation, memory: Memory) -> Decision:
    """Of several runs that were named, by its number."""
    if not 0 < number <= len(asked.among):
        return replace(memory, asked=asked), [Tell("no_such_choice", count=len(asked.among))]
    return _named(asked.among[number - 1], asked, situation, memory)


def _named(run: Run, asked: Asked, situation: Situation, memory: Memory) -> Decision:
    if asked.change is not None:
        return _changed(asked.change, run, memory)
    if asked.about is None or isinstance(asked.about, intents.Status):
        return replace(memory, focus=run), [TellStatus(run)]
    of_it = [each for each in situation.questions if each.run == run.id]
    return _decide(asked.about, replace(situation, questions=of_it), memory)


def _all_of(asked: Asked, intent: Intent, situation: Situation, memory: Memory) -> Decision:
    """Of several runs that were named. Who hears only commands may take "everything" for "stop everything"."""
    if asked.change in ("cancel", "hold") or (asked.change is not None and isinstance(intent, intents.Everything)):
        return _changed_all(asked.change, asked.among, memory)
    if isinstance(intent, intents.Stop):
        return _command(intent, situation, memory)
    if isinstance(asked.about, intents.Status):
        return memory, [TellStatus(None)]
    return replace(memory, asked=asked), [Tell("which_question", names=tuple(run.name for run in asked.among))]


def _changed(change: Change, run: Run, memory: Memory, *, ask: bool = False) -> Decision:
    """`ask`: it is not sure that this one is meant."""
    act = ChangeRuns(change, (run,))
    if change == "cancel" or (ask and change == "stop"):
        return replace(memory, focus=run, asked=Asked(yes=(act,))), [Tell("sure_cancel", names=(run.name,))]
    return replace(memory, focus=run), [act]


def _changed_all(change: Change, runs: tuple[Run, ...], memory: Memory) -> Decision:
    act = ChangeRuns(change, runs, all=True)
    if change == "cancel":
        names = tuple(run.name for run in runs)
        return replace(memory, asked=Asked(yes=(act,))), [Tell("sure_cancel_all", names=names)]
    return memory, [act]


def _talk(text: str, situation: Situation, memory: Memory, asked: Asked | None) -> Decision:
    if asked is not None and asked.among and (found := runs_called(uncalled(text), asked.among)):
        if len(found) == 1:
            return _named(found[0], asked, situation, memory)
        which = "which_run" if asked.change is not None or isinstance(asked.about, intents.Status) else "which_question"
        names = tuple(run.name for run in found)
        return replace(memory, asked=replace(asked, among=tuple(found))), [Tell(which, names=names)]
    if asked is not None and asked.yes and confirms(uncalled(text), asked.yes):
        return replace(memory, asked=asked), [SayAgain()]
    read, words = next((each for each in situation.questions if each.id == memory.question), None), text.strip(_MARKS)
    if read is not None and any(each.casefold() == words.casefold() for each in read.choices):
        return answers.words(words, situation, memory)
    if situation.model:
        return replace(memory, question=None), [AskModel(text)]
    if not situation.free_speech:
        return replace(memory, asked=asked), [Tell("not_understood")]
    return Memory(memory.focus, asked=Asked(yes=(Start(text),))), [Tell("sure_start", text=read_back(text))]


def _run(run: RunView) -> Run:
    return Run(run.id, run.name)
