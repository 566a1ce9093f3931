"""Ten thousand TODOs: the cost of one does not depend on how many there are, and nothing recurses."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from random import Random

import pytest

from state.commands import Cancel, Claim, Complete, Done, Fail, NewTodo, Retry
from state.records import QUEUE
from tests.contract.store_memory import MemoryStore
from tests.contract.store_world import RUN, FakeClock, Need, gate, proof, submission, task, todo_id

SMALL, LARGE = 1_000, 10_000
FACTOR = 3.0


def chain(size: int) -> list[NewTodo]:
    """One after the other."""
    return [task(f"t{n}", *([f"t{n - 1}"] if n else [])) for n in range(size)]


def fan(size: int) -> list[NewTodo]:
    """One, then all but two at once, then one."""
    middle = [f"t{n}" for n in range(1, size - 1)]
    return [task("t0"), *(task(key, "t0") for key in middle), task("end", *middle)]


def web(size: int) -> list[NewTodo]:
    """A random graph."""
    random = Random(size)
    found: list[NewTodo] = []
    for n in range(size):
        needs: list[Need] = [f"t{need}" for need in random.sample(range(n), k=min(n, random.choice((0, 1, 1, 2, 3))))]
        found.append(task(f"t{n}", *needs))
    return found


SHAPES = (chain, fan, web)


def submitted(todos: list[NewTodo]) -> tuple[MemoryStore, list[str]]:
    """(store, what is ready)"""
    store = MemoryStore(FakeClock())
    (outcome,) = store.apply(submission(*todos, concurrency=len(todos)))
    assert isinstance(outcome, Done)
    return store, outcome.ready


def carry_out(todos: list[NewTodo]) -> MemoryStore:
    """From the first to the last."""
    store, ready = submitted(todos)
    while ready:
        id = ready.pop()
        store.apply(Claim(id, "w", QUEUE))
        (outcome,) = store.apply(Complete(id, 1, [proof()]))
        assert isinstance(outcome, Done)
        ready += outcome.ready
    return store


def cost(work: Callable[[], MemoryStore]) -> float:
    """CPU seconds, but for the garbage collector's: its walks grow with whatever else this process holds."""
    gc.collect()
    gc.disable()
    try:
        start = time.process_time()
        work()
        return time.process_time() - start
    finally:
        gc.enable()


def grows(work: Callable[[int], MemoryStore]) -> bool:
    """A TODO of a large plan costs much more; ten times as much if the cost is quadratic. Once in three times is not
    enough: a shared machine's speed changes by half from one second to the next."""
    return all((cost(lambda: work(LARGE)) / LARGE) / (cost(lambda: work(SMALL)) / SMALL) > FACTOR for _ in range(3))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_cost_of_a_todo_does_not_grow_with_the_plan(shape: Callable[[int], list[NewTodo]]) -> None:
    assert carry_out(shape(SMALL)).run(RUN)["state"] == "completed"
    assert not grows(lambda size: carry_out(shape(size)))


def _reopened(size: int) -> MemoryStore:
    """The first of a chain fails, everything is skipped, everything is reopened."""
    store, _ = submitted(chain(size))
    store.apply(Claim(todo_id("t0"), "w", QUEUE))
    store.apply(Fail(todo_id("t0"), 1, "exit", "no"))
    assert store.run(RUN)["n_skipped"] == size - 1
    store.apply(Retry(todo_id("t0"), "ada"))
    assert store.run(RUN)["n_pending"] == size - 1
    return store


def test_a_cascade_of_skips_and_back_is_linear() -> None:
    assert not grows(_reopened)


def test_ten_thousand_that_do_not_apply() -> None:
    todos = [gate("g"), task("t0", ("g", "yes")), *chain(LARGE)[1:]]
    store, _ = submitted(todos)
    (question,) = store.rows("question")
    from state.commands import Answer

    store.apply(Answer(question["id"], "no", "ada"))
    run = store.run(RUN)
    assert (run["state"], run["n_not_applicable"]) == ("completed", LARGE)


def test_ten_thousand_cancelled() -> None:
    store, _ = submitted(web(LARGE))
    store.apply(Cancel(RUN, "ada"))
    assert store.run(RUN)["n_cancelled"] == LARGE
