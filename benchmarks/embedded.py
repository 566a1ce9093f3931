"""TODOs per second with a no-op executor on SQLite with synchronous=FULL, beside DBOS in the same run.

Atlas: each TODO is a run of its own, submitted through the service into the queue, claimed by a worker with the memory
broker, and completed with evidence; or (fan) all are TODOs of one run. DBOS: each is a workflow with one step.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.machine import until_quiet, yardstick
from benchmarks.measuring import Round, best, middle, one_round
from benchmarks.reporting import Figure, Goal

ATLAS, FAN, DBOS, DBOS_WAL = "atlas", "atlas, one run", "dbos", "dbos, WAL"


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured: a module, its options, and how many are in flight."""

    system: str
    module: str
    options: dict[str, str | float]
    flight: int
    todos: int

    def run(self) -> Round:
        """One round."""
        return one_round(self.module, **self.options, todos=self.todos, flight=self.flight)


def _dbos(how: str, flight: int, todos: int) -> list[Case]:
    return [
        Case(name, "embedded_dbos", {"how": how, "journal": journal}, flight, todos)
        for name, journal in ((DBOS, "delete"), (DBOS_WAL, "wal"))
    ]


CASES = [
    Case(ATLAS, "embedded_atlas", {"shape": "runs"}, 200, 8000),
    Case(ATLAS, "embedded_atlas", {"shape": "runs"}, 1, 1000),
    Case(FAN, "embedded_atlas", {"shape": "fan"}, 200, 8000),
    *_dbos("start", 200, 300),
    *_dbos("async", 200, 300),
    *_dbos("queue", 200, 300),
    *_dbos("call", 1, 100),
]

GOALS = [
    Goal(ATLAS, "throughput, 200 in flight", at_least=8000),
    Goal(ATLAS, "throughput, 1 in flight", at_least=800),
    Goal(ATLAS, "CPU per TODO, 200 in flight", at_most=100),
    Goal(ATLAS, "submit to start p50, 1 in flight", at_most=1.0),
    Goal("atlas / dbos", "throughput, 200 in flight", at_least=20),
    Goal("atlas / dbos, WAL", "throughput, 200 in flight", at_least=20),
]


def measure(rounds: int) -> list[Figure]:
    """Rounds of all systems, in turn."""
    found: dict[tuple[str, int], list[list[Round]]] = {}
    for _ in range(rounds):
        done: dict[tuple[str, int], list[Round]] = {}
        for case in CASES:
            until_quiet()
            done.setdefault((case.system, case.flight), []).append(case.run())
        for key, value in done.items():
            found.setdefault(key, []).append(value)
    figures = [figure for (system, flight), all in found.items() for figure in _figures(system, flight, all)]
    return [*figures, *_ratios(figures), *yardstick()]


def _figures(system: str, flight: int, found: list[list[Round]]) -> list[Figure]:
    """Of several ways to use a system, its quickest counts."""
    ways = [[each[way] for each in found] for way in range(len(found[0]))]
    quickest = max(ways, key=lambda way: best(way, "per_second", "higher"))
    about = f"{flight} in flight"
    figures = [
        Figure(system, f"throughput, {about}", best(quickest, "per_second", "higher"), "TODOs/s"),
        Figure(system, f"CPU per TODO, {about}", best(quickest, "cpu", "lower"), "µs"),
    ]
    if system != FAN:
        figures += [
            Figure(system, f"submit to start p50, {about}", best(quickest, "start_p50", "lower"), "ms"),
            Figure(system, f"submit to start p99, {about}", middle(quickest, "start_p99"), "ms"),
        ]
    return figures


def _ratios(figures: list[Figure]) -> list[Figure]:
    value = {(figure.system, figure.metric): figure.value for figure in figures}
    ratios: list[Figure] = []
    for peer in (DBOS, DBOS_WAL):
        for flight in (200, 1):
            for metric, more_is_better in (("throughput", True), ("CPU per TODO", False)):
                ours, theirs = (value[system, f"{metric}, {flight} in flight"] for system in (ATLAS, peer))
                times = ours / theirs if more_is_better else theirs / ours
                ratios.append(Figure(f"atlas / {peer}", f"{metric}, {flight} in flight", times, "times better"))
    return ratios
