"""Random lives of runs: commands that mostly make sense in the state that the ones before them left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

from state.access_commands import Audited, IssueToken, RevokeToken
from state.commands import (
    AdvanceSink,
    Answer,
    BeginVerifying,
    Block,
    Cancel,
    Claim,
    ClaimNext,
    Command,
    Complete,
    Delivered,
    Expire,
    Fail,
    Hold,
    NewTodo,
    Published,
    Release,
    Resume,
    Retry,
    Say,
    SubmitRun,
    TakeSink,
)
from state.records import ANY_END, QUEUE, local_placement
from tests.contract.store_memory import MemoryStore, Values
from tests.contract.store_role_stories import role_command
from tests.contract.store_world import Need, gate, output, proof, submission, task

PLACEMENTS = (QUEUE, QUEUE, local_placement("boot-1"))
LABELS = (frozenset[str](), frozenset(("gpu",)))
WORKERS = ("w1", "w2")
ANSWERS = ("yes", "no")
SINKS = ("topic", "hook")


def random_plan(random: Random, run: str, most: int = 9) -> SubmitRun:
    """A plan of any shape: chains, fans, diamonds, gates in the middle, answers that may never come."""
    todos: list[NewTodo] = []
    for number in random.sample(range(most), k=random.randint(1, most)):
        key = f"t{number}"  # ids are in another order than needs
        needs: list[Need] = []
        for need in random.sample(todos, k=min(len(todos), random.choice((0, 1, 1, 2, 3)))):
            conditional = need.kind == "ask" and random.random() < 0.7
            whatever = random.random() < 0.15
            wanted = ANY_END if whatever else random.choice(ANSWERS) if conditional else None
            needs.append((need.key, wanted) if wanted else need.key)
        if random.random() < 0.25:
            todos.append(gate(key, *needs, run=run, expires=random.choice((None, 50.0))))
        else:
            labels = ["gpu"] if random.random() < 0.15 else []
            kind = random.choice(("task", "task", "agent", "plan"))
            lane = random.choice((None, None, "tree", "docs"))
            priority = random.choice((0, 0, 0, 1, -1))
            todos.append(task(key, *needs, run=run, kind=kind, priority=priority, labels=labels, lane=lane))
    if random.random() < 0.4:
        todos.append(task("report", *((todo.key, ANY_END) for todo in todos), run=run, kind="report"))
    command = submission(*todos, run=run, placement=random.choice(PLACEMENTS), concurrency=random.choice((1, 2, 5)))
    command.tokens, command.nano = random.choice(((None, None), (30, None), (None, 40), (100, 100)))
    return command


class Story:
    """Tells one command after the other. `store` is where they have been carried out, one at a time."""

    def __init__(self, random: Random, store: MemoryStore) -> None:
        self._random = random
        self._store = store
        self._runs: list[SubmitRun] = []
        self._known_questions: list[Values] = []
        self._tokens = 0
        self._old_tokens: list[str] = []

    def begin_batch(self) -> None:
        """Questions get their ids when they are asked, so nobody can answer one in the batch that asks it."""
        self._known_questions = [dict(row) for row in self._store.rows("question")]
        self._old_tokens = [row["name"] for row in self._store.rows("token")]

    def command(self) -> Command:
        """The next one."""
        random = self._random
        if not self._runs or random.random() < 0.03:
            return self._submit()
        tell = random.choices(list(_TELLERS), weights=list(_TELLERS.values()))[0]
        return tell(self)

    def _submit(self) -> SubmitRun:
        if self._runs and self._random.random() < 0.2:
            return self._random.choice(self._runs)
        plan = random_plan(self._random, f"r{len(self._runs)}")
        if self._random.random() < 0.2:
            plan = replace(plan, once=f"once-{self._random.randrange(3)}")
        self._runs.append(plan)
        return plan

    def _todo(self, *states: str) -> Values:
        """Mostly in one of these states."""
        rows = self._store.rows("todo")
        fits = [row for row in rows if row["state"] in states]
        return self._random.choice(fits if fits and self._random.random() < 0.9 else rows)

    def _run(self) -> Values:
        rows = self._store.rows("run")
        running = [row for row in rows if row["ended_at"] is None]
        return self._random.choice(running if running and self._random.random() < 0.9 else rows)

    def _owned(self) -> tuple[str, int]:
        """A TODO that is worked on and its fence, sometimes a wrong one."""
        row = self._todo("in_progress", "verifying")
        stale = self._random.random() < 0.1
        return row["id"], row["fence"] + (self._random.choice((-1, 1)) if stale else 0)

    # --- one method a kind of command --------------------------------------------------------------------------------

    def claim(self) -> Command:
        row = self._todo("ready")
        placement = self._store.run(row["run_id"])["placement"]
        if self._random.random() < 0.1:
            placement = self._random.choice(PLACEMENTS)
        return Claim(row["id"], self._random.choice(WORKERS), placement, self._random.choice(LABELS))

    def claim_next(self) -> Command:
        random = self._random
        run = self._run()["id"] if random.random() < 0.3 else None
        limit = random.choice((1, 2, 4))
        return ClaimNext(random.choice(WORKERS), random.choice(PLACEMENTS), limit, random.choice(LABELS), run)

    def take_sink(self) -> Command:
        return TakeSink(self._random.choice(SINKS), self._random.choice(WORKERS), self._random.choice((0.0, 30.0)))

    def advance_sink(self) -> Command:
        row = self._store.run(self._run()["id"])
        told = [(row["id"], self._random.randint(0, row["last_event"]))]
        caught_up = self._random.random() < 0.5
        return AdvanceSink(self._random.choice(SINKS), self._random.choice(WORKERS), told, caught_up)

    def access(self) -> Command:
        """Tokens are revoked that were there before this batch, and no session was begun with."""
        self._tokens += 1
        name, random = f"t{self._tokens}", self._random
        old = [name for name in self._old_tokens if name.startswith("t")]
        seconds = random.choice((None, 30.0))
        return random.choice(
            (
                IssueToken(name, name, "read", random.random() < 0.5, "ada", None, seconds),
                IssueToken(f"s{self._tokens}", f"of {name}", "read", True, "ada", "parent", 30.0),
                RevokeToken(random.choice(old) if old else "none", "ada"),
                Audited(random.choice((self.cancel, self.retry, self.hold))(), "ada", "x", None, 'it "said" so'),
            )
        )

    def verify(self) -> Command:
        return BeginVerifying(*self._owned())

    def complete(self) -> Command:
        random = self._random
        todo, fence = self._owned()
        evidence = [proof(random.random() < 0.95, random.choice(("exit:1",) * 9 + ("exit:2",))) for _ in range(2)]
        head = (random.choice((None, "c1", "c2")), random.choice(("c1", "c2"))) if random.random() < 0.3 else None
        return Complete(todo, fence, evidence, [output()] if random.random() < 0.3 else [], head)

    def fail(self) -> Command:
        todo, fence = self._owned()
        reason = self._random.choice(("exit", "verification"))
        again = self._random.choice((None, 0.0, 20.0))
        outputs = [output(path) for path in ("/out/a", "/out/b") if self._random.random() < 0.2]
        return Fail(todo, fence, reason, 'it "broke"', again, [proof(False)], outputs)

    def block(self) -> Command:
        return Block(*self._owned(), "image", "no such image")

    def release(self) -> Command:
        random = self._random
        cause = random.choice(("drain", "lease_lost", "died", "died", "waiting", "budget", "budget"))
        after, tokens, nano = random.choice((0.0, 0.0, 20.0)), random.choice((0, 10, 60)), random.choice((0, 10))
        return Release(*self._owned(), cause, random.choice(WORKERS), after, tokens, nano)

    def say(self) -> Command:
        return Say(*self._owned(), "todo.progress", '{"text":"on"}')

    def answer(self) -> Command:
        return Answer(self._question(), self._random.choice((*ANSWERS, *ANSWERS, "maybe")), "ada")

    def expire(self) -> Command:
        return Expire(self._question())

    def _question(self) -> str:
        rows = self._known_questions
        pending = [row for row in rows if row["state"] == "pending"]
        fits = pending if pending and self._random.random() < 0.9 else rows
        return self._random.choice(fits)["id"] if fits else "none"

    def cancel(self) -> Command:
        return Cancel(self._run()["id"], "ada")

    def hold(self) -> Command:
        run = self._run()
        return Hold(run["id"], "pause", self._random.choice((None, run["placement"], QUEUE)))

    def resume(self) -> Command:
        run = self._run()
        expected = run["placement"] if self._random.random() < 0.9 else "elsewhere"
        tokens, nano = self._random.choice(((None, None), (None, None), (80, None), (20, 300), (None, 0)))
        return Resume(run["id"], self._random.choice(PLACEMENTS), expected, tokens, nano)

    def retry(self) -> Command:
        return Retry(self._todo("failed", "blocked")["id"], "ada")

    def deliver(self) -> Command:
        rows = self._store.rows("outbox") or self._store.rows("todo")[:1]
        chosen = self._random.sample(rows, k=self._random.randint(1, len(rows)))
        return Delivered([row.get("todo_id") or row["id"] for row in chosen])

    def publish(self) -> Command:
        row = self._todo("completed", "failed")
        return Published(row["id"], row["fence"] - (self._random.random() < 0.1), ["/out/a"])

    # --- what roles ask for: `store_role_stories` ---------------------------------------------------------------------

    def role(self) -> Command:
        """Something that an agent's worker asks; somebody must be at work for it."""
        if not any(row["owner"] for row in self._store.rows("todo")):
            return self.claim()
        return role_command(self._random, self._store, *self._owned())


_TELLERS: dict[Callable[[Story], Command], int] = {
    Story.claim: 16, Story.claim_next: 10, Story.verify: 4, Story.complete: 14, Story.fail: 6, Story.block: 2,
    Story.release: 6, Story.say: 2, Story.answer: 9, Story.expire: 3, Story.cancel: 1, Story.hold: 2,
    Story.resume: 5, Story.retry: 6, Story.deliver: 2, Story.publish: 2, Story.role: 40,
    Story.take_sink: 2, Story.advance_sink: 3, Story.access: 3,
}  # fmt: skip
