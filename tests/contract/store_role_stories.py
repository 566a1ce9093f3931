"""The part of random lives that roles write: calls and budgets, conversations, checkpoints, questions, plans."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from state.agent_commands import (
    AskPerson,
    CallEnd,
    CommitPack,
    ForgetThreads,
    Noted,
    Remember,
    ReserveCall,
    Said,
    SavedCheckpoint,
    SavedWrite,
    SettleCall,
    Standing,
    ToolRow,
    ToolState,
)
from state.commands import Command, ExtendRun, NewTodo, Replan
from state.records import ANY_END
from tests.contract.store_memory import MemoryStore
from tests.contract.store_world import Need, gate, proof, task

THREADS = ("thread-1", "thread-2")
NAMESPACES = ("", "child")
CHECKPOINTS = tuple(f"checkpoint-{number:02}" for number in range(12))
ENDS: tuple[CallEnd, ...] = ("answered", "answered", "failed", "stopped", "lost", "lost")
TOOL_STATES: tuple[ToolState, ...] = ("intent", "done", "failed", "unknown")


def role_command(random: Random, store: MemoryStore, todo: str, fence: int) -> Command:
    """About this TODO, mostly."""
    tell = random.choices(list(_TELLERS), weights=list(_TELLERS.values()))[0]
    return tell(random, store, todo, fence)


def _reserve(random: Random, store: MemoryStore, todo: str, fence: int) -> Command:
    call = f"call-{random.randrange(40) if random.random() < 0.2 else len(store.rows('model_call'))}"
    amounts = (0, 5, 15, 40)
    return ReserveCall(call, todo, fence, "hephaestus", "model", random.choice(amounts), random.choice(amounts))


def _settle(random: Random, store: MemoryStore, todo: str, fence: int) -> Command:
    rows = [row for row in store.rows("model_call") if row["state"] in ("reserved", "lost")]
    if not rows and random.random() < 0.9:
        return _reserve(random, store, todo, fence)
    call = random.choice(rows)["id"] if rows and random.random() < 0.95 else f"call-{random.randrange(40)}"
    used = [random.choice((0, 1, 4)) for _ in range(4)]
    return SettleCall(call, random.choice(ENDS), *used, nano=random.choice((0, 5)), estimated=random.random() < 0.3)


def _remember(random: Random, store: MemoryStore, todo: str, fence: int) -> Command:
    command = Remember(todo, fence)
    if random.random() < 0.5:
        numbers = range(random.randint(0, 2))
        command.said = [Said(random.randrange(2), random.randrange(4), "user", "metis", f'"{n}"') for n in numbers]
    if random.random() < 0.5:
        state = random.choice(TOOL_STATES)
        command.tools = [
            ToolRow(0, random.randrange(3), number, f"t{number}", "check", "{}", state, random.choice((None, '"ok"')))
            for number in (0, 0, 1)
        ]
    if random.random() < 0.5:
        command.standing = Standing(turns=random.randrange(9), seconds=random.random(), checklist="[]")
        command.packs = [CommitPack(random.choice(("c1", "c2")), "c0", "sha256:0", random.randrange(99))]
        command.notes = [Noted("learning", "it works", "oracle")] * random.randint(0, 2)
        command.events = [("role.note", '{"kind":"learning","text":"it works"}')] * random.randint(0, 2)
    return command


def _checkpoint(random: Random, store: MemoryStore, todo: str, fence: int) -> Command:
    thread, ns = random.choice(THREADS), random.choice(NAMESPACES)
    place = random.randrange(1, len(CHECKPOINTS))
    parent = random.choice((None, CHECKPOINTS[place - 1], CHECKPOINTS[place - 1]))
    body = f"body {random.randrange(1000)}"
    saved = SavedCheckpoint(thread, ns, CHECKPOINTS[place], parent, "json", body, "{}", prune=random.random() < 0.8)
    return Remember(todo, fence, checkpoints=[saved], writes=_writes(random) if random.random() < 0.5 else ())


def _writes(random: Random) -> list[SavedWrite]:
    key = (random.choice(THREADS), random.choice(NAMESPACES), random.choice(CHECKPOINTS), f"task-{random.randrange(2)}")
    replace = random.random() < 0.4
    value = f"value {random.randrange(1000)}"
    return [SavedWrite(*key, random.randrange(-1, 3), "~", "n", "json", value, replace) for _ in range(2)]


def _results(random: Random, store: MemoryStore, todo: str, fence: int) -> Command:
    return Remember(todo, fence, writes=_writes(random))


def _forget(random: Random, store: MemoryStore, todo: str, fence: int) -> Command:
    threads = random.sample((*THREADS, "thread-none"), k=random.randint(1, 2))
    return ForgetThreads(threads, keep_latest=random.random() < 0.6)


def _ask(random: Random, store: MemoryStore, todo: str, fence: int) -> Command:
    choices = random.choice(((), ("yes", "no")))
    return AskPerson(todo, fence, f"tool-{random.randrange(3)}", "Which?", choices, random.choice((None, 50.0)))


def _extend(random: Random, store: MemoryStore, todo: str, fence: int) -> Command:
    planning = [row for row in store.rows("todo") if row["kind"] == "plan" and row["owner"]]
    if planning and random.random() < 0.9:
        todo, fence = planning[0]["id"], planning[0]["fence"]
    run = todo.rpartition(".")[0]
    start = random.randrange(20, 60)
    plan = todo.rpartition(".")[2]
    begun = [row["key"] for row in store.rows("todo") if row["run_id"] == run and row["state"] != "pending"]
    todos: list[NewTodo] = []
    for number in range(start, start + random.randint(1, 4)):
        earlier = [each.key for each in todos] + [plan] * (random.random() < 0.5)
        needs: list[Need] = list(random.sample(earlier, k=min(len(earlier), random.randrange(3))))
        if begun and random.random() < 0.4 and (key := random.choice(begun)) not in needs:
            needs.append(random.choice((key, (key, ANY_END))))
        lane = random.choice((None, "tree"))
        make = gate(f"t{number}", *needs, run=run) if random.random() < 0.2 else None
        todos.append(make or task(f"t{number}", *needs, run=run, kind="agent", lane=lane))
    if random.random() < 0.3:
        everything: list[Need] = [(each.key, ANY_END) for each in todos]
        todos.append(task(f"report-{start}", *everything, run=run, kind="report"))
    return ExtendRun(todo, fence, [proof(random.random() < 0.95)], "{}", "hash", todos)


def _replan(random: Random, store: MemoryStore, todo: str, fence: int) -> Command:
    run = random.choice(store.rows("run"))["id"] if random.random() < 0.5 else todo.rpartition(".")[0]
    rows = [row for row in store.rows("todo") if row["run_id"] == run and random.random() < 0.995]
    replaced = {row["id"] for row in rows if row["kind"] != "report" and random.random() < 0.6}
    others = [row["id"] for row in rows if row["id"] not in replaced]
    plan = task(f"plan-{random.randrange(6)}", run=run, kind="plan")
    return Replan(run, plan, sorted(replaced), others, "it is wrong", "lena")


_TELLERS: dict[Callable[[Random, MemoryStore, str, int], Command], int] = {
    _reserve: 12, _settle: 12, _remember: 8, _checkpoint: 10, _results: 6, _forget: 3, _ask: 5, _extend: 4, _replan: 2,
}  # fmt: skip
