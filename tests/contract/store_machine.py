"""A store lives through whatever Hypothesis thinks of, beside a model of it (`store_model`).

After each step the store must have answered as the model says, and its tables must be as the model has them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from state.agent_commands import AskPerson, ReserveCall, SettleCall
from state.commands import (
    AdvanceSink,
    Answer,
    BeginVerifying,
    Block,
    Cancel,
    Claim,
    Claimed,
    ClaimedMany,
    ClaimNext,
    Command,
    Complete,
    Delivered,
    Done,
    ExhaustTime,
    Expire,
    ExtendRun,
    Fail,
    Hold,
    NewTodo,
    Outcome,
    Published,
    Refused,
    Release,
    Resume,
    Retry,
    Say,
    SubmitRun,
    TakeSink,
)
from state.ports import Store
from state.records import ANY_END, QUEUE, local_placement
from tests.contract.store_model import ENDED, OWNED, Model, Tables
from tests.contract.store_model_checks import (
    check,
    check_settled,
    compare,
    know_questions,
    same,
)
from tests.contract.store_model_rules import expect
from tests.contract.store_world import START, FakeClock, counted, gate, output, proof, submission, task

Opened = Callable[[FakeClock], tuple[Store, Callable[[], Tables]]]
"""An empty store, and what looks into its database past it."""
HERE = local_placement("boot-1")
PLACES, WORKERS, SINKS = st.sampled_from((QUEUE, QUEUE, HERE)), st.sampled_from(("w1", "w2")), st.sampled_from("ab")
LABELS = st.sampled_from((frozenset(("gpu",)), frozenset[str]()))
ANSWERS = st.sampled_from(("yes", "no", "yes", "no", "maybe", "late"))
ANY = st.integers(0, 1 << 16)
"""One of what is there."""
FENCES = st.sampled_from((0, 0, 0, 0, 0, 0, 0, -1, 1))
"""How wrong a fence is."""
SHAPES = st.lists(
    st.tuples(
        st.sampled_from(("task", "plan", "ask", "task", "agent")),
        st.lists(st.tuples(ANY, st.sampled_from((None, "yes", None, ANY_END))), max_size=3),
        st.sampled_from((None, None, "tree")),
        st.sampled_from((0, 0, 1)),
        st.sampled_from(((), (), (), ("gpu",))),
    ),
    min_size=2,
    max_size=7,
)
"""TODOs: kind, needs among those before, lane, priority, labels."""


class StoreMachine(RuleBasedStateMachine):
    """Subclasses say how a store is opened."""

    opened: Opened

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock(START)
        self.model = Model(START)
        self.loop = asyncio.Runner()
        self.store, self.look = type(self).opened(self.clock)
        self.tables = self.look()
        self.waiting: list[tuple[Command, object]] = []
        self.together = 1
        self.submissions: list[SubmitRun] = []
        self.numbers = counted("n")

    def teardown(self) -> None:
        try:
            self.carry_out()
        finally:
            self.loop.run(self.store.close())
            self.loop.close()

    # --- one step ----------------------------------------------------------------------------------------------------

    def do(self, command: Command) -> None:
        """Have it carried out, with others if they are to go together."""
        self.waiting.append((command, expect(self.model, command)))
        if len(self.waiting) >= self.together:
            self.carry_out()

    def carry_out(self) -> None:
        """All that waits, in one call; then nothing may differ."""
        told, self.waiting = self.waiting, []
        if not told:
            return
        outcomes = self.loop.run(self.store.apply([command for command, _ in told]))
        before, self.tables = self.tables, self.look()
        know_questions(self.model, self.tables)
        for (command, expected), outcome in zip(told, outcomes, strict=True):
            same(f"{command}", answer(outcome), expected)
        compare(self.model, self.tables)
        check(self.tables)
        check_settled(before, self.tables)
        if all(isinstance(outcome, Refused) for outcome in outcomes):
            assert self.tables == before, "what was refused has changed something"

    def todo(self, number: int, *states: str) -> str:
        """One of these, if there is one; else any."""
        fits = [id for id, todo in self.model.todos.items() if todo["state"] in states]
        return one_of(fits or list(self.model.todos), number)

    def owned(self, number: int, wrong: int = 0) -> tuple[str, int]:
        """What somebody works on, and its fence, or a wrong one."""
        id = self.todo(number, *OWNED)
        return id, self.model.todos[id]["fence"] + wrong

    def question(self, number: int) -> str:
        self.carry_out()  # which tells what the questions are called
        pending = [each["id"] for each in self.model.questions if each["state"] == "pending"]
        return one_of(pending or [each["id"] for each in self.model.questions] or ["none"], number)

    def somebody_works(self) -> bool:
        return any(todo["state"] in OWNED for todo in self.model.todos.values())

    def somebody_waits(self) -> bool:
        return any(todo["state"] == "ready" for todo in self.model.todos.values())

    # --- runs --------------------------------------------------------------------------------------------------------

    @initialize(together=st.sampled_from((1, 1, 3)), shape=SHAPES, report=st.booleans())
    def begin(self, together: int, shape: list[Any], report: bool) -> None:
        self.together = together
        self.submit(shape, report, QUEUE, 2, None, None, None)

    def submit(
        self, shape: list[Any], report: bool, place: str, concurrency: int, tokens: int | None, seconds: float | None,
        once: str | None,
    ) -> None:  # fmt: skip
        run = f"r{len(self.submissions)}"
        todos = plan(shape, run)
        if report:
            needs = [(todo.key, ANY_END) for todo in todos]
            todos.append(task("report", *needs, run=run, kind="report"))
        command = submission(*todos, run=run, placement=place, concurrency=concurrency)
        command.tokens, command.seconds, command.once = tokens, seconds, once
        self.submissions.append(command)
        self.do(command)

    @precondition(lambda self: len(self.submissions) < 3)
    @rule(
        shape=SHAPES, report=st.booleans(), place=PLACES, concurrency=st.sampled_from((1, 2, 5)),
        tokens=st.sampled_from((None, 30, 100)), seconds=st.sampled_from((None, 60.0)),
        once=st.sampled_from((None, None, "x", "y")),
    )  # fmt: skip
    def submit_another(self, **arguments: Any) -> None:
        self.submit(**arguments)

    @precondition(lambda self: any(todo["kind"] == "plan" and todo["owner"] for todo in self.model.todos.values()))
    @rule(number=ANY, shape=st.just([]) | SHAPES, olds=st.lists(ANY, max_size=2), wrong=FENCES)
    def extend(self, number: int, shape: list[Any], olds: list[int], wrong: int) -> None:
        id = one_of([id for id, todo in self.model.todos.items() if todo["kind"] == "plan" and todo["owner"]], number)
        run, fence = self.model.todos[id]["run"], self.model.todos[id]["fence"] + wrong
        todos = plan(shape, run, self.numbers())
        known = [each for each, _ in self.model.of(run)]
        if todos:
            todos[0].needs = [(each, None) for each in {one_of(known, old): None for old in olds}]
        self.do(ExtendRun(id, fence, [proof()], "{}", "hash", todos))

    @rule(
        number=ANY, place=PLACES,
        what=st.sampled_from(("resume", "hold", "resume", "time", "late", "resume", "hold", "time", "cancel")),
        tokens=st.sampled_from((None, 80)),
    )  # fmt: skip
    def a_whole_run(self, number: int, what: str, place: str, tokens: int | None) -> None:
        going = [run for run in self.model.runs if self.model.run_state(run) not in ENDED]
        run = one_of(going or list(self.model.runs), number)
        expected = "elsewhere" if what == "late" else self.model.runs[run]["placement"]
        match what:
            case "hold":
                self.do(Hold(run, "pause", None if tokens else place))
            case "time":
                self.do(ExhaustTime(run))
            case "cancel":
                self.do(Cancel(run, "ada"))
            case _:
                self.do(Resume(run, place, expected, tokens=tokens))

    # --- workers -----------------------------------------------------------------------------------------------------

    @precondition(somebody_waits)
    @rule(number=ANY, worker=WORKERS, place=st.none() | PLACES, labels=LABELS)
    def claim(self, number: int, worker: str, place: str | None, labels: frozenset[str]) -> None:
        todo = self.todo(number, "ready")
        self.do(Claim(todo, worker, place or self.model.runs[self.model.todos[todo]["run"]]["placement"], labels))

    @precondition(somebody_waits)
    @rule(worker=WORKERS, place=PLACES, limit=st.sampled_from((4, 2, 1)), labels=LABELS, run=st.none() | ANY)
    def claim_next(self, worker: str, place: str, limit: int, labels: frozenset[str], run: int | None) -> None:
        """Of two in one lane the second may be left out, and nothing taken instead: then one at a time is asked for."""
        self.carry_out()
        only = None if run is None else one_of(list(self.model.runs), run)
        fits = [id for id in self.model.todos if self.model.claimable(id, place, labels)]
        lanes = [(todo["run"], todo["lane"]) for todo in map(self.model.todos.__getitem__, fits) if todo["lane"]]
        self.do(ClaimNext(worker, place, 1 if len(set(lanes)) < len(lanes) else limit, labels, only))
        self.carry_out()

    @precondition(somebody_waits)
    @rule(number=ANY, again=st.sampled_from((None, None, 0.0, 20.0)), well=st.sampled_from((True, True, True, False)))
    def work(self, number: int, again: float | None, well: bool) -> None:
        """A life without surprises: claimed, verified, ended."""
        id = self.todo(number, "ready")
        self.do(Claim(id, "w2", self.model.runs[self.model.todos[id]["run"]]["placement"], frozenset(("gpu",))))
        fence = self.model.todos[id]["fence"]
        self.do(BeginVerifying(id, fence))
        self.do(Complete(id, fence, [proof()]) if well else Fail(id, fence, "verification", "no", again))

    @precondition(somebody_works)
    @rule(number=ANY, wrong=FENCES, silent=st.booleans())
    def verify_or_say(self, number: int, wrong: int, silent: bool) -> None:
        id, fence = self.owned(number, wrong)
        self.do(BeginVerifying(id, fence) if silent else Say(id, fence, "todo.progress", '{"text":"on"}'))

    @precondition(somebody_works)
    @rule(
        number=ANY, wrong=FENCES, flaw=st.sampled_from((None, None, None, None, "failed", "none", "subjects")),
        outputs=st.booleans(), head=st.sampled_from((None, None, None, (None, "c1"), ("c1", "c2"))),
    )  # fmt: skip
    def complete(self, number: int, wrong: int, flaw: str | None, outputs: bool, head: Any) -> None:
        second = proof(flaw != "failed", "exit:2" if flaw == "subjects" else "exit:1")
        evidence = [] if flaw == "none" else [proof(), second]
        self.do(Complete(*self.owned(number, wrong), evidence, [output()] if outputs else [], head))

    @precondition(somebody_works)
    @rule(number=ANY, wrong=FENCES, again=st.sampled_from((None, 0.0, 20.0)), outputs=st.booleans())
    def fail(self, number: int, wrong: int, again: float | None, outputs: bool) -> None:
        left = [output()] if outputs else []
        self.do(Fail(*self.owned(number, wrong), "exit", "it broke", again, [proof(False)], left))

    @precondition(somebody_works)
    @rule(
        number=ANY, wrong=FENCES, after=st.sampled_from((0.0, 0.0, 20.0)), tokens=st.sampled_from((0, 10, 60)),
        cause=st.sampled_from(("block", "drain", "lease_lost", "waiting", "budget", "died", "died")),
    )  # fmt: skip
    def let_go(self, number: int, wrong: int, cause: Any, after: float, tokens: int) -> None:
        id, fence = self.owned(number, wrong)
        if cause == "block":
            self.do(Block(id, fence, "image", "no such image"))
        else:
            self.do(Release(id, fence, cause, "w1", after, tokens))

    @precondition(somebody_works)
    @rule(worker=WORKERS)
    def die(self, worker: str) -> None:
        """A worker is gone; a sweeper finds what it had. Twice: two sweepers look at once."""
        had = [(id, todo["fence"]) for id, todo in self.model.todos.items() if todo["owner"] == worker]
        for id, fence in had * 2:
            self.do(Release(id, fence, "died", "sweeper"))

    @precondition(somebody_waits)
    @rule(number=ANY, times=st.sampled_from((2, 3, 3, 4)))
    def kill(self, number: int, times: int) -> None:
        """Whoever takes it dies."""
        id = self.todo(number, "ready")
        place = self.model.runs[self.model.todos[id]["run"]]["placement"]
        for _ in range(times):
            self.do(Claim(id, "w1", place, frozenset(("gpu",))))
            self.do(Release(id, self.model.todos[id]["fence"], "died", "w2"))

    @precondition(somebody_works)
    @rule(number=ANY, wrong=FENCES, tokens=st.sampled_from((5, 25, 70)), old=ANY)
    def reserve(self, number: int, wrong: int, tokens: int, old: int) -> None:
        known = list(self.model.calls)
        call = one_of(known, old) if known and old % 5 == 0 else self.numbers()
        self.do(ReserveCall(call, *self.owned(number, wrong), "hephaestus", "scripted/x", tokens, 0))

    @precondition(lambda self: self.model.calls)
    @rule(
        number=ANY, end=st.sampled_from(("answered", "failed", "stopped", "lost")), used=st.sampled_from((0, 5, 90)),
        estimated=st.booleans(),
    )  # fmt: skip
    def settle(self, number: int, end: Any, used: int, estimated: bool) -> None:
        self.do(SettleCall(one_of(list(self.model.calls), number), end, input=used, output=1, estimated=estimated))

    @precondition(somebody_works)
    @rule(number=ANY, wrong=FENCES, choices=st.sampled_from(((), ("yes", "no"))), expires=st.sampled_from((None, 50.0)))
    def ask(self, number: int, wrong: int, choices: tuple[str, ...], expires: float | None) -> None:
        self.do(AskPerson(*self.owned(number, wrong), self.numbers(), "Which?", choices, expires))

    # --- people, brokers, sinks, time --------------------------------------------------------------------------------

    @precondition(lambda self: self.model.questions)
    @rule(number=ANY, value=ANSWERS)
    def answer(self, number: int, value: str) -> None:
        id = self.question(number)
        self.do(Answer(id, value, "ada") if value != "late" else Expire(id))

    @precondition(lambda self: any(todo["state"] in ("failed", "blocked") for todo in self.model.todos.values()))
    @rule(number=ANY, right=st.sampled_from((True, True, True, False)))
    def retry(self, number: int, right: bool) -> None:
        self.do(
            Retry(self.todo(number, "failed", "blocked") if right else one_of(list(self.model.todos), number), "ada")
        )

    @rule(
        number=ANY, what=st.sampled_from(("all", "one", "publish", "same run", "same todos", "bad needs", "no todos"))
    )
    def besides(self, number: int, what: str) -> None:
        """What the broker, the publisher and the confused do."""
        match what:
            case "publish":
                id = self.todo(number, "completed", "failed")
                self.do(Published(id, self.model.todos[id]["fence"] - (number % 9 == 0), ["/out/a"]))
            case "all" | "one":
                rows = sorted(self.model.outbox) or list(self.model.todos)
                self.do(Delivered(rows if what == "all" else [one_of(rows, number)]))
            case _:
                old = one_of(self.submissions, number)
                new = replace(old, run=old.run if what == "same run" else "other", once=None)
                if what == "bad needs":
                    new.todos = [task("a", "b", run="other"), task("b", run="other")]
                elif what == "no todos":
                    new.todos = []
                self.do(new)

    @rule(sink=SINKS, worker=WORKERS, number=ANY, seq=st.integers(0, 9), seconds=st.sampled_from((None, 0.0, 30.0)))
    def tell_sink(self, sink: str, worker: str, number: int, seq: int, seconds: float | None) -> None:
        if seconds is not None:
            self.do(TakeSink(sink, worker, seconds))
        self.do(AdvanceSink(sink, worker, [(one_of(list(self.model.runs), number), seq)], caught_up=seq % 2 == 0))

    @rule(seconds=st.sampled_from((1.0, 8.0, 60.0, 400.0)))
    def time_goes_by(self, seconds: float) -> None:
        self.carry_out()
        self.clock.advance(seconds)
        self.model.now = self.clock.time


def one_of(items: list[Any], number: int) -> Any:
    return items[number % len(items)]


def plan(shape: list[Any], run: str, mark: str = "t") -> list[NewTodo]:
    """TODOs of this shape; an answer is wanted of gates only."""
    todos: list[NewTodo] = []
    for number, (kind, needs, lane, priority, labels) in enumerate(shape):
        found: dict[str, str | None] = {}
        for pick, wanted in needs if todos else ():
            need = one_of(todos, pick)
            found[need.key] = wanted if need.kind == "ask" or wanted == ANY_END else None
        pairs: list[Any] = list(found.items())
        key = f"{mark}{9 - number}"  # ids are in another order than needs
        if kind == "ask":
            todos.append(gate(key, *pairs, run=run, expires=50.0 if lane else None))
        else:
            todos.append(task(key, *pairs, run=run, kind=kind, lane=lane, priority=priority, labels=labels))
    return todos


def answer(outcome: Outcome) -> object:
    """As `expect` says it."""
    match outcome:
        case Refused():
            return outcome.code
        case Claimed():
            return (outcome.todo, outcome.run, outcome.fence, outcome.epoch, outcome.attempt, outcome.crash_count)
        case ClaimedMany():
            return [answer(claim) for claim in outcome.claims]
        case Done():
            return set(outcome.ready)
