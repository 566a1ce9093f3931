"""Carries out what `voice.dialogue` decided on, through the service, and words what came of it.

There is no rule of orchestration here: what may be done, and what follows from it, is the service's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from orchestrator import asking
from orchestrator.service import Service
from state.errors import AtlasError, Conflict, InputError, NotFound, StoreError
from state.records import QUEUE, Provenance, TodoStatus
from voice.acts import (
    Act,
    AnswerQuestion,
    ChangeRuns,
    ReadQuestions,
    Run,
    SetDetail,
    Start,
    StartNamed,
    Tell,
    TellStatus,
)
from voice.intents import Language
from voice.naming import runs_called
from voice.progress import Own
from voice.saying import Saying
from voice.situation import Memory, Situation
from voice.wording.facts import facts_of, facts_of_standing
from voice.wording.receipts import Receipt, receipt
from voice.wording.spoken import sentence
from voice.wording.status import asks, status, status_of_all

log = logging.getLogger(__name__)

T = TypeVar("T")

AT_ONCE_SECONDS = 0.15
"""What takes longer is said to be under way, and its end is told when it has come."""
_RUNS = 30
_DONE: Mapping[str, Receipt] = {
    "stop": "stopped", "cancel": "cancelled", "hold": "paused", "resume": "resumed", "retry": "retrying",
}  # fmt: skip
_FAILED: frozenset[TodoStatus] = frozenset(("failed", "blocked"))


class Told(Protocol):
    """What is told unasked: `voice.progress.Progress`, in short."""

    def own(self, run: str, act: Own) -> None:
        """Who listens did this just now, and has a receipt."""
        ...

    def change_detail(self, *, more: bool) -> None:
        """Tell more from now on, or less."""
        ...

    def withdraw_question(self, question: str) -> None:
        """It is put to who listens otherwise, or is answered."""
        ...


@dataclass(frozen=True, slots=True)
class Speaker:
    """On whose behalf a conversation acts. `name` is for the record. `changes`: may start, change and answer things.
    `repository`: where the goals of this conversation are worked on, a path or URL."""

    name: str
    provenance: Provenance = "person"
    changes: bool = True
    repository: str | None = None
    plans: Mapping[str, Path] = field(default_factory=dict[str, Path])


@dataclass(frozen=True, slots=True)
class Done:
    """What came of acts: what the conversation is about now, and what to say."""

    memory: Memory
    sayings: list[Saying]


class Desk:
    """Of one conversation. `later` is given what is to be said of acts that took their time."""

    def __init__(
        self, service: Service, speaker: Speaker, language: Language, told: Told,
        later: Callable[[Saying], None], *, model: bool = False, free_speech: bool = False,
    ) -> None:  # fmt: skip
        self._service = service
        self._speaker = speaker
        self._language: Language = language
        self._unasked = told
        self._later = later
        self._model = model
        self._free_speech = free_speech
        self._under_way: set[asyncio.Future[Any]] = set()

    async def situation(self) -> Situation:
        """As it is now. `StoreError`: the database is away."""
        runs, questions = await asyncio.gather(self._service.current_runs(_RUNS), self._service.questions())
        plans = list(self._speaker.plans)
        return Situation(runs, questions, plans, model=self._model, free_speech=self._free_speech)

    async def describe(self, name: str) -> str:
        """A run in words, for a model: state, TODOs, what went wrong."""
        known = [Run(run.id, run.name) for run in await self._service.current_runs(_RUNS)]
        found = runs_called(name, known)
        if len(found) != 1:
            return f"{len(found)} runs are called so; there are: {', '.join(run.name for run in known) or 'none'}"
        standing = await self._service.standing(found[0].id)
        told = [f"{standing.run.name}: {standing.run.state}, {standing.run.progress.settled} of"
                f" {standing.run.progress.total} TODOs settled, {standing.run.spend.usd:.2f} USD"]  # fmt: skip
        told += [f"- {each.title or each.key}: {each.state} {each.detail or ''}".rstrip() for each in standing.todos]
        return "\n".join(told)

    async def close(self) -> None:
        """Waits for what is under way: it was promised."""
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def carry_out(self, act: Act, situation: Situation, memory: Memory) -> Done:
        """One act. Errors are said, and raised by none."""
        try:
            return await self._carry_out(act, situation, memory)
        except StoreError as error:
            log.warning("%s", error)
            return Done(memory, [self._tell("unavailable")])
        except AtlasError as error:
            return Done(memory, [self._refused(error)])

    async def _carry_out(self, act: Act, situation: Situation, memory: Memory) -> Done:
        changes = isinstance(act, Start | StartNamed | ChangeRuns | AnswerQuestion)
        if changes and not self._speaker.changes:
            return Done(memory, [self._tell("not_allowed")])
        match act:
            case Tell():
                said = receipt(
                    act.which, self._language, name=act.name, names=act.names, text=act.text, answer=act.answer,
                    count=act.count,
                )  # fmt: skip
                return Done(memory, [said])
            case Start(goal=goal):
                return await self._start(self._submit_goal(goal), goal, "started", memory)
            case StartNamed(plan=plan):
                return await self._start(self._submit_plan(plan), plan, "started_plan", memory)
            case ChangeRuns():
                return Done(memory, await self._change(act))
            case AnswerQuestion():
                return await self._answer(act, memory)
            case _:
                return Done(memory, await self._told(act, situation))

    async def _told(self, act: Act, situation: Situation) -> list[Saying]:
        match act:
            case TellStatus(run=run):
                return [await self._status(run, situation)]
            case ReadQuestions():
                return self._questions(situation)
            case SetDetail(more=more):
                self._unasked.change_detail(more=more)
                return [self._tell("more_detail" if more else "less_detail")]
            case _:
                return []

    async def _start(self, submitting: Awaitable[Run], said: str, which: Receipt, memory: Memory) -> Done:
        async def told() -> Saying:
            try:
                run = await submitting
            except AtlasError as error:
                return self._refused(error)
            self._unasked.own(run.id, "started")
            return replace(receipt(which, self._language, name=said), run=run.id)

        submitted = asyncio.create_task(told())
        self._under_way.add(submitted)
        submitted.add_done_callback(self._under_way.discard)
        done, _ = await asyncio.wait([submitted], timeout=AT_ONCE_SECONDS)
        if done:
            return Done(replace(memory, focus=None), [submitted.result()])
        submitted.add_done_callback(self._told_later)
        return Done(replace(memory, focus=None), [receipt("starting", self._language, name=said)])

    def _told_later(self, submitted: asyncio.Task[Saying]) -> None:
        if submitted.cancelled():
            return
        if error := submitted.exception():
            log.error("what was said to be starting did not", exc_info=error)
            self._later(self._tell("refused"))
        else:
            self._later(submitted.result())

    async def _submit_goal(self, goal: str) -> Run:
        plan = asking.goal_plan(goal, self._speaker.repository)
        made = await self._service.submit(
            plan, None, placement=QUEUE, provenance=self._speaker.provenance, source="voice", by=self._speaker.name
        )
        return Run(made.run, plan.name)

    async def _submit_plan(self, name: str) -> Run:
        path = self._speaker.plans[name]
        try:
            text = await asyncio.to_thread(path.read_text, "utf-8")
        except (OSError, UnicodeDecodeError) as error:
            log.warning("the plan %s: %s", name, error)
            raise InputError(f"The file of the plan {name} can't be read", f"Look at {path}.") from None
        plan = asking.plan_of(text)
        made = await self._service.submit(
            plan, path.parent, placement=QUEUE, provenance=self._speaker.provenance, source="voice",
            by=self._speaker.name,
        )  # fmt: skip
        return Run(made.run, plan.name)

    async def _change(self, act: ChangeRuns) -> list[Saying]:
        changing = asyncio.gather(*(self._changed(act, run) for run in act.runs), return_exceptions=True)
        outcomes = await self._surely(changing)
        done: list[str] = []
        wrong: list[Saying] = []
        for run, outcome in zip(act.runs, outcomes, strict=True):
            if outcome is None:
                done.append(run.name)
            elif isinstance(outcome, Conflict | NotFound):
                wrong.append(self._tell("already_over", name=run.name))
            elif isinstance(outcome, AtlasError):
                wrong.append(self._refused(outcome))
            else:
                raise outcome
        which: Receipt = "stopped_all" if act.all and act.change == "stop" else _DONE[act.change]
        return ([self._tell(which, names=done)] if done else []) + wrong[:1]

    async def _surely(self, doing: Awaitable[T]) -> T:
        """What was asked for is done, also when who asked hangs up meanwhile."""
        done = asyncio.ensure_future(doing)
        self._under_way.add(done)
        done.add_done_callback(self._under_way.discard)
        return await asyncio.shield(done)

    async def _changed(self, act: ChangeRuns, run: Run) -> None:
        by = self._speaker.name
        match act.change:
            case "stop" | "cancel":
                await self._service.cancel(run.id, by)
                self._unasked.own(run.id, "cancelled")
            case "hold":
                await self._service.hold(run.id, f"paused by {by}", by)
                self._unasked.own(run.id, "held")
            case "resume":
                await self._service.resume(run.id, QUEUE, by=by)
                self._unasked.own(run.id, "resumed")
            case "retry":
                for todo in await self._service.todos(run.id):
                    if todo.state in _FAILED:
                        await self._service.retry(run.id, todo.id, by)

    async def _answer(self, act: AnswerQuestion, memory: Memory) -> Done:
        memory = replace(memory, question=None)
        self._unasked.withdraw_question(act.question)
        try:
            await self._surely(self._service.answer(act.question, act.value, self._speaker.name))
        except Conflict:
            return Done(memory, [self._tell("already_answered")])
        return Done(memory, [self._tell("answered", answer=act.value)])

    async def _status(self, run: Run | None, situation: Situation) -> Saying:
        if run is None:
            facts = [facts_of(each, (), situation.questions) for each in situation.runs]
            return status_of_all(facts, self._language, len(situation.questions))
        standing = await self._service.standing(run.id)
        return status(facts_of_standing(standing, situation.questions), self._language)

    def put(self, question: str) -> None:
        """Who asked for it has heard it: it need not be told unasked."""
        self._unasked.withdraw_question(question)

    def _questions(self, situation: Situation) -> list[Saying]:
        waiting = situation.questions
        if not waiting:
            return [self._tell("nothing_asked")]
        names = {run.id: run.name for run in situation.runs}
        several = len(waiting) > 1
        return [
            asks(names.get(each.run) if several else None, each.run, each.id, each.text, each.choices, self._language)
            for each in waiting
        ]

    def _refused(self, error: AtlasError) -> Saying:
        return self._tell("refused", text=sentence(error.message, self._language))

    def _tell(
        self, which: Receipt, *, name: str = "", names: Sequence[str] = (), text: str = "", answer: str = ""
    ) -> Saying:
        return receipt(which, self._language, name=name, names=names, text=text, answer=answer)
