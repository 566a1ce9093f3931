"""What a step of an agent (a call of a model and one of a tool) costs above the model itself, everything durable that a
takeover needs.

Over HTTP: Atlas, with the adapter for Anthropic's models, beside a bare loop around Anthropic's SDK, both asking one
server in another process that answers at once. Overhead is the difference of the two, in each round; the middle round
counts. In the process: the model is an object that answers at once, so that a step is all Atlas's own; beside it a bare
loop with the same model, and LangGraph's prebuilt agent with it and the same checkpointer.

Snapshots are taken alone, and in a step that writes, of a tree of 5,000 files of which one was changed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks.agent_server import serving
from benchmarks.machine import until_quiet, yardstick
from benchmarks.measuring import Round, best, middle, one_round
from benchmarks.reporting import Figure, Goal

ONE, EIGHT = "atlas, 1 agent", "atlas, 8 agents"
SDK_ONE, SDK_EIGHT = "bare SDK loop, 1", "bare SDK loop, 8"
BARE, PREBUILT = "bare loop", "LangGraph prebuilt"
WRITING, SNAPSHOT = "atlas, 5,000 files", "snapshot, 5,000 files"
HTTP, PROCESS = "over HTTP", "model in the process"
ALONE, TOGETHER = f"{HTTP}: read-only step", f"{HTTP}: read-only step, all together"
OVERHEAD = f"{HTTP}: overhead per read-only step"
STEPS, SNAPSHOTS = 150, 120
_FILES, _MANY = 200, 5_000
GOALS = [
    Goal(ONE, OVERHEAD, at_most=3.0),
    Goal(EIGHT, OVERHEAD, at_most=1.5),
    Goal(ONE, f"{PROCESS}: whole read-only step", at_most=3.0),
    Goal(EIGHT, f"{PROCESS}: whole read-only step, all together", at_most=1.5),
    Goal(f"{ONE} / {PREBUILT}", f"{PROCESS}: ratio of steps", at_most=1.0),
    Goal(SNAPSHOT, "one file changed: p50", at_most=50.0),
]
Key = tuple[str, str]
"""A system, and where its model is."""
Found = dict[Key, list[Round]]


def measure(rounds: int) -> list[Figure]:
    """Systems in turn; each time from the other end."""
    with serving() as server:
        sides = _sides(server)
        found: Found = {key: [] for key in sides}
        for number in range(rounds):
            for key in reversed(sides) if number % 2 else sides:
                until_quiet()
                found[key].append(sides[key]())
    return [*figures(found), *yardstick()]


def figures(found: Found) -> list[Figure]:
    """Of all rounds."""
    return [*_over_http(found), *_in_process(found), *_snapshots(found)]


def _sides(server: str) -> dict[Key, Callable[[], Round]]:
    """Those that are compared stand beside each other."""
    atlas = partial(one_round, "agent_atlas", steps=STEPS, files=_FILES, writes=0)
    sdk = partial(one_round, "agent_sdk", steps=STEPS, files=_FILES, server=server)
    loops = partial(one_round, "agent_loops", steps=STEPS, files=_FILES)
    return {
        (ONE, HTTP): partial(atlas, agents=1, server=server),
        (SDK_ONE, HTTP): partial(sdk, agents=1),
        (EIGHT, HTTP): partial(atlas, agents=8, server=server),
        (SDK_EIGHT, HTTP): partial(sdk, agents=8),
        (BARE, PROCESS): partial(loops, loop="bare"),
        (ONE, PROCESS): partial(atlas, agents=1),
        (PREBUILT, PROCESS): partial(loops, loop="prebuilt"),
        (EIGHT, PROCESS): partial(atlas, agents=8),
        (WRITING, PROCESS): partial(one_round, "agent_atlas", agents=1, steps=60, files=_MANY, writes=1),
        (SNAPSHOT, ""): partial(one_round, "agent_snapshot", snapshots=SNAPSHOTS, files=_MANY),
    }


def _over_http(found: Found) -> list[Figure]:
    def above(ours: str, bare: str, metric: str) -> float:
        pairs = zip(found[ours, HTTP], found[bare, HTTP], strict=True)
        return middle([{"above": mine[metric] - other[metric]} for mine, other in pairs], "above")

    steps = [
        Figure(system, f"{ALONE}, {metric}", best(found[system, HTTP], metric, "lower"), "ms")
        for system in (ONE, SDK_ONE)
        for metric in ("median", "mean")
    ]
    together = [
        Figure(system, TOGETHER, best(found[system, HTTP], "share", "lower"), "ms") for system in (EIGHT, SDK_EIGHT)
    ]
    return [
        Figure(ONE, OVERHEAD, above(ONE, SDK_ONE, "median"), "ms"),
        Figure(ONE, f"{OVERHEAD}, of the means", above(ONE, SDK_ONE, "mean"), "ms"),
        Figure(EIGHT, OVERHEAD, above(EIGHT, SDK_EIGHT, "share"), "ms"),
        *steps,
        *together,
    ]


def _in_process(found: Found) -> list[Figure]:
    alone = f"{PROCESS}: whole read-only step"
    median = {system: best(found[system, PROCESS], "median", "lower") for system in (ONE, EIGHT, BARE, PREBUILT)}
    return [
        Figure(ONE, alone, median[ONE], "ms"),
        Figure(EIGHT, f"{alone}, all together", best(found[EIGHT, PROCESS], "share", "lower"), "ms"),
        Figure(EIGHT, f"{alone}, of one among them", median[EIGHT], "ms"),
        Figure(BARE, alone, median[BARE], "ms"),
        Figure(PREBUILT, alone, median[PREBUILT], "ms"),
        Figure(f"{ONE} / {PREBUILT}", f"{PROCESS}: ratio of steps", median[ONE] / median[PREBUILT], "x"),
    ]


def _snapshots(found: Found) -> list[Figure]:
    rounds = found[SNAPSHOT, ""]
    return [
        Figure(SNAPSHOT, "one file changed: p50", best(rounds, "p50", "lower"), "ms"),
        Figure(SNAPSHOT, "one file changed: p95", middle(rounds, "p95"), "ms"),
        Figure(SNAPSHOT, "one file changed by a tool: p50", best(rounds, "known", "lower"), "ms"),
        Figure(SNAPSHOT, "the first after a checkout", best(rounds, "first", "lower"), "ms"),
        Figure(WRITING, "whole writing step, snapshot and all", best(found[WRITING, PROCESS], "median", "lower"), "ms"),
    ]
