"""A graph of many small calls, and a process that carries it out until it is killed:
``python -m tests.integration.checkpointed_graph DATABASE EFFECTS STEPS`` (a path, or a PostgreSQL URL).

A call leaves its number in the file EFFECTS when it begins. The process takes the TODO over from whoever has it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from langchain_core.runnables import RunnableConfig
from langgraph.graph import END, START, StateGraph

from roles.checkpoints import LEASE, Lease, StoreSaver
from state.commands import Claim, Claimed, Release
from state.ports import Store
from state.records import QUEUE
from state.sqlite import SqliteStore
from state.tables import Todo

THREAD = "thread"


class Counting(TypedDict):
    """`number` calls are done; `words` is what a conversation might hold."""

    number: int
    words: NotRequired[str]


def counting_graph(saver: StoreSaver, steps: int, call: Callable[[int], None]) -> Any:
    """One node that calls itself; a step is a call."""

    async def step(state: Counting) -> Counting:
        call(state["number"])
        return {"number": state["number"] + 1}

    def after(state: Counting) -> str:
        return "step" if state["number"] < steps else END

    graph = StateGraph(Counting)
    graph.add_node("step", step)  # pyright: ignore[reportUnknownMemberType]
    graph.add_edge(START, "step")
    graph.add_conditional_edges("step", after, ["step", END])
    return graph.compile(checkpointer=saver)  # pyright: ignore[reportUnknownMemberType]


def settings(lease: Lease | None, thread: str = THREAD) -> RunnableConfig:
    """What the graph is run with."""
    configurable: dict[str, Any] = {"thread_id": thread}
    if lease:
        configurable[LEASE] = lease
    return {"configurable": configurable, "recursion_limit": 10_000}


async def take_over(store: Store, todo: str) -> Lease:
    """Claim it; from its owner, if it has one."""
    row = await store.read(lambda session: session.get(Todo, todo))
    assert row
    if row.owner:
        await store.apply([Release(todo, row.fence, "lease_lost", "another")])
    (claim,) = await store.apply([Claim(todo, "another", QUEUE)])
    assert isinstance(claim, Claimed), claim
    return claim.todo, claim.fence


async def go_on(saver: StoreSaver, steps: int, lease: Lease, call: Callable[[int], None]) -> Counting:
    """From the beginning, or from where the thread stands."""
    graph = counting_graph(saver, steps, call)
    begun = await saver.aget_tuple(settings(None)) is not None
    first: Counting | None = None if begun else {"number": 0, "words": "x" * 500}
    return await graph.ainvoke(first, settings(lease), durability="sync")


async def main(database: str, effects: Path, steps: int) -> None:
    if "://" in database:
        from state.postgres import PostgresStore

        store: Store = PostgresStore(database)
    else:
        store = SqliteStore(Path(database))
    file = os.open(effects, os.O_WRONLY | os.O_APPEND)
    lease = await take_over(store, "run-1.a")

    def call(number: int) -> None:
        os.write(file, f"{number}\n".encode())

    await go_on(StoreSaver(store), steps, lease, call)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
