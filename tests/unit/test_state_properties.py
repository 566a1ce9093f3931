"""The decisions without a database: what holds of every plan, every story, every order of events."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from state.commands import Answer, Block, Claim, Claimed, Complete, Expire, Fail, Refused, Resume, Retry
from state.records import RUN_ENDED, RUN_WAITING
from tests.contract.store_invariants import check_everything
from tests.contract.store_memory import MemoryStore, Values
from tests.contract.store_stories import Story, random_plan
from tests.contract.store_world import FakeClock, proof

SEED = st.integers(0, 1 << 40)


@given(seed=SEED, length=st.integers(1, 120))
@settings(max_examples=150, deadline=None)
def test_everything_holds_after_every_command(seed: int, length: int) -> None:
    random = Random(seed)
    clock = FakeClock()
    store = MemoryStore(clock)
    story = Story(random, store)
    for number in range(length):
        if number % 7 == 0:
            story.begin_batch()
            clock.advance(random.choice((0.0, 5.0, 60.0)))
        before = store.dump()
        (outcome,) = store.apply(story.command())
        if isinstance(outcome, Refused):
            assert store.dump() | {"audit": []} == before | {"audit": []}  # that it was asked for is on record
        check_everything(store)


class Workers:
    """They keep going: whatever is ready is taken and ends in some way, whatever is asked is answered."""

    def __init__(self, random: Random, store: MemoryStore, *, luck: float) -> None:
        self._random = random
        self._store = store
        self._luck = luck

    def step(self) -> bool:
        """Do one thing; False when there is nothing left to do."""
        ready = [row for row in self._store.rows("todo") if row["state"] == "ready"]
        asked = [row for row in self._store.rows("question") if row["state"] == "pending"]
        if not ready and not asked:
            return False
        row = self._random.choice(ready + asked)
        if row in asked:
            self._store.apply(Answer(row["id"], self._random.choice(("yes", "no")), "ada"))
        else:
            self._work(row)
        return True

    def _work(self, row: Values) -> None:
        placement = self._store.run(row["run_id"])["placement"]
        (claim,) = self._store.apply(Claim(row["id"], "w", placement, frozenset(("gpu",))))
        assert isinstance(claim, Claimed)
        if self._random.random() < self._luck:
            (outcome,) = self._store.apply(Complete(claim.todo, claim.fence, [proof()]))
        elif self._random.random() < 0.5:
            again = 0.0 if claim.attempt < 2 and self._random.random() < 0.5 else None
            (outcome,) = self._store.apply(Fail(claim.todo, claim.fence, "exit", "no", again))
        else:
            (outcome,) = self._store.apply(Block(claim.todo, claim.fence, "image", "no"))
        assert not isinstance(outcome, Refused), outcome


@given(seed=SEED, luck=st.sampled_from((1.0, 0.8, 0.3)))
@settings(max_examples=300, deadline=None)
def test_every_run_comes_to_an_end_or_waits_for_a_person(seed: int, luck: float) -> None:
    random = Random(seed)
    store = MemoryStore(FakeClock())
    store.apply(random_plan(random, "r", most=25))
    workers = Workers(random, store, luck=luck)
    while workers.step():
        check_everything(store)
    run = store.run("r")
    assert run["state"] in RUN_ENDED | RUN_WAITING
    if luck == 1.0:
        assert run["state"] == "completed"


@given(seed=SEED)
@settings(max_examples=150, deadline=None)
def test_retrying_what_went_wrong_brings_every_run_to_completed(seed: int) -> None:
    """However it went before: a person who retries everything that failed or is blocked gets all of it done."""
    random = Random(seed)
    store = MemoryStore(FakeClock())
    store.apply(random_plan(random, "r", most=25))
    unlucky = Workers(random, store, luck=0.5)
    for _ in range(3):
        while unlucky.step():
            pass
        for row in store.rows("todo"):
            if row["state"] in ("failed", "blocked") and random.random() < 0.7:
                store.apply(Retry(row["id"], "ada"))
                check_everything(store)
    lucky = Workers(random, store, luck=1.0)
    while True:
        while lucky.step():
            pass
        wrong = [row["id"] for row in store.rows("todo") if row["state"] in ("failed", "blocked")]
        if not wrong:
            break
        store.apply(*(Retry(id, "ada") for id in wrong))
        check_everything(store)
    assert store.run("r")["state"] == "completed"
    assert {row["state"] for row in store.rows("todo")} <= {"completed", "not_applicable"}


@given(seed=SEED, length=st.integers(1, 100))
@settings(max_examples=100, deadline=None)
def test_no_story_leads_to_where_nobody_can_go_on(seed: int, length: int) -> None:
    """After anything that may have happened: resume, answer, retry, work. Every run that is not cancelled completes."""
    random = Random(seed)
    clock = FakeClock()
    store = MemoryStore(clock)
    story = Story(random, store)
    for number in range(length):
        if number % 7 == 0:
            story.begin_batch()
        store.apply(story.command())
    clock.advance(1000.0)
    for run in store.rows("run"):
        store.apply(Resume(run["id"], "queue", run["placement"]))
    for row in store.rows("todo"):
        if row["owner"]:
            store.apply(Fail(row["id"], row["fence"], "exit", "given up"))
    _carry_on(random, store)
    for run in store.rows("run"):
        assert run["state"] == ("cancelled" if run["cancelled"] else "completed")


def _carry_on(random: Random, store: MemoryStore) -> None:
    lucky = Workers(random, store, luck=1.0)
    while True:
        for row in store.rows("question"):
            if row["state"] == "pending":
                store.apply(Expire(row["id"]))
        for row in store.rows("todo"):
            if row["state"] in ("failed", "blocked"):
                store.apply(Retry(row["id"], "ada"))
        for run in store.rows("run"):
            if run["state"] == "held":
                store.apply(Resume(run["id"], "queue", run["placement"]))
        check_everything(store)
        if not lucky.step():
            return
