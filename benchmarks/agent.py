"""What a step of an agent (a call of a model and one of a tool) costs above the model itself, everything durable that a
takeover needs, beside a bare loop that keeps nothing and LangGraph's prebuilt agent with the same checkpointer.

The model answers at once, in the process. Snapshots are of a tree of 5,000 files, of which one was changed.
"""

from __future__ import annotations

from benchmarks.machine import until_quiet
from benchmarks.measuring import Round, best, one_round
from benchmarks.reporting import Figure, Goal

ONE, EIGHT, WRITING = "atlas, 1 agent", "atlas, 8 agents", "atlas, 5,000 files"
BARE, PREBUILT = "bare loop", "LangGraph prebuilt"
STEPS = 150
_FILES, _MANY = 200, 5_000
GOALS = [
    Goal(ONE, "read-only step, median", at_most=3.0),
    Goal(EIGHT, "read-only step, all together", at_most=1.5),
    Goal(f"{ONE} / {PREBUILT}", "ratio of medians", at_most=1.0),
    Goal(WRITING, "step with a snapshot, median", at_most=50.0),
]


def measure(rounds: int) -> list[Figure]:
    """Systems in turn."""
    found: dict[str, list[Round]] = {name: [] for name in (ONE, EIGHT, BARE, PREBUILT, WRITING)}
    for _ in range(rounds):
        until_quiet()
        found[ONE].append(one_round("agent_atlas", agents=1, steps=STEPS, files=_FILES, writes=0))
        found[EIGHT].append(one_round("agent_atlas", agents=8, steps=STEPS, files=_FILES, writes=0))
        found[BARE].append(one_round("agent_loops", loop="bare", steps=STEPS, files=_FILES))
        found[PREBUILT].append(one_round("agent_loops", loop="prebuilt", steps=STEPS, files=_FILES))
        found[WRITING].append(one_round("agent_atlas", agents=1, steps=60, files=_MANY, writes=1))
    median = {name: best(found[name], "median", "lower") for name in found}
    return [
        Figure(ONE, "read-only step, median", median[ONE], "ms"),
        Figure(EIGHT, "read-only step, all together", best(found[EIGHT], "share", "lower"), "ms"),
        Figure(EIGHT, "read-only step, median of one", median[EIGHT], "ms"),
        Figure(BARE, "read-only step, median", median[BARE], "ms"),
        Figure(PREBUILT, "read-only step, median", median[PREBUILT], "ms"),
        Figure(f"{ONE} / {PREBUILT}", "ratio of medians", median[ONE] / median[PREBUILT], "x"),
        Figure(WRITING, "step with a snapshot, median", median[WRITING], "ms"),
    ]
