"""TODOs per second and start latency with an executor that does nothing, on PostgreSQL and RabbitMQ, beside peers.

One client process submits, one worker process carries out, both servers are the benchmark's own, with fsync, quorum
queues, persistent messages and confirms. A burst: many are submitted at once, until all are completed in SQL. Alone:
one each 20 ms. Atlas's TODOs are runs of their own, or all of them one run; its worker tells the topic exchange of
every event meanwhile, as it always does. Then Atlas by itself: more workers on TODOs that sleep, and claims from queues
of two lengths.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.machine import until_quiet, yardstick
from benchmarks.measuring import Round, best, middle, one_round
from benchmarks.reporting import Figure, Goal
from benchmarks.servers import Servers, servers

ATLAS, FAN, BEST = "atlas", "atlas, one run", "best peer"
PEERS = ["celery", "dbos", "procrastinate", "taskiq"]
ALONE = 200
WORKERS = (1, 2, 4)
SLOTS, SECONDS, SLEEPING = 10, 0.3, 100
"""Of each worker on TODOs that sleep: how many at a time, for how long, and how many in all. So long that four workers
and both servers have time to spare on two cores: what is measured is whether workers wait for each other."""
QUEUES = (10, 10_000)
CLAIMS = 200
_BURST, _P50, _P99 = "throughput", "submit to start p50", "submit to start p99"


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured: a round's module and options; the figures are of `system`."""

    system: str
    module: str
    options: dict[str, str | float]

    def run(self, running: Servers) -> Round:
        """One round, on servers that have nothing else to do."""
        with running.place() as place:
            until_quiet()
            return one_round(self.module, **self.options, database=place.database, broker=place.broker)


def _sleeping(workers: int) -> Case:
    options: dict[str, str | float] = {
        "system": "atlas", "shape": "fan", "workers": workers, "slots": SLOTS, "seconds": SECONDS,
        "todos": workers * SLEEPING,
    }  # fmt: skip
    return Case(f"atlas, {workers} worker(s)", "queue_round", options)


def _claims(queued: int) -> Case:
    return Case(f"atlas, {queued:,} queued", "queue_claims", {"queued": queued, "claims": CLAIMS})


CASES = [
    Case(ATLAS, "queue_round", {"system": "atlas", "shape": "runs", "todos": 6000}),
    Case(FAN, "queue_round", {"system": "atlas", "shape": "fan", "todos": 6000}),
    Case("taskiq", "queue_round", {"system": "taskiq", "todos": 4000}),
    Case("celery", "queue_round", {"system": "celery", "todos": 1500}),
    Case("procrastinate", "queue_round", {"system": "procrastinate", "todos": 1500}),
    Case("dbos", "queue_round", {"system": "dbos", "todos": 1000}),
    *(Case(name, "queue_round", {"system": name, "alone": ALONE}) for name in (ATLAS, *PEERS)),
    *(_sleeping(workers) for workers in WORKERS),
    *(_claims(queued) for queued in QUEUES),
]

GOALS = [
    *(Goal(name, _BURST, at_least=4000) for name in (ATLAS, FAN)),
    *(Goal(f"{name} / {BEST}", _BURST, at_least=2) for name in (ATLAS, FAN)),
    Goal(ATLAS, _P50, at_most=2.0),
    Goal(ATLAS, _P99, at_most=5.0),
    *(Goal(f"{workers} workers / 1", "sleeping TODOs", at_least=0.85 * workers) for workers in WORKERS[1:]),
    Goal("10,000 queued / 10", "claim p50", at_most=1.25),
]


def measure(rounds: int) -> list[Figure]:
    """Rounds of all systems, in turn."""
    found: dict[str, list[Round]] = {}
    with servers() as running:
        for _ in range(rounds):
            for case in CASES:
                found.setdefault(case.system, []).append(case.run(running))
    return [*figures(found), *yardstick()]


def figures(found: dict[str, list[Round]]) -> list[Figure]:
    """Of each system, then how they compare."""
    made = [figure for name in (ATLAS, FAN, *PEERS) if name in found for figure in _about(name, found[name])]
    value = {(figure.system, figure.metric): figure.value for figure in made}
    quickest = max(value[name, _BURST] for name in PEERS)
    made += [
        Figure(f"{name} / {BEST}", _BURST, value[name, _BURST] / quickest, "times better") for name in (ATLAS, FAN)
    ]
    sleeping = {workers: best(found[_sleeping(workers).system], "per_second", "higher") for workers in WORKERS}
    for workers, rate in sleeping.items():
        made.append(Figure(_sleeping(workers).system, "sleeping TODOs", rate, "TODOs/s"))
    for workers in WORKERS[1:]:
        made.append(Figure(f"{workers} workers / 1", "sleeping TODOs", sleeping[workers] / sleeping[1], "times"))
    short, long = (best(found[_claims(queued).system], "p50", "lower") for queued in QUEUES)
    for queued, took in zip(QUEUES, (short, long), strict=True):
        made.append(Figure(_claims(queued).system, "claim p50", took, "ms"))
    return [*made, Figure("10,000 queued / 10", "claim p50", long / short, "times")]


def _about(name: str, rounds: list[Round]) -> list[Figure]:
    made = [
        Figure(name, _BURST, best(rounds, "per_second", "higher"), "TODOs/s"),
        Figure(name, "CPU per TODO, client and worker", best(rounds, "cpu", "lower"), "µs"),
        Figure(name, "begun twice", sum(each["twice"] for each in rounds), "TODOs"),
    ]
    if any("start_p50" in each for each in rounds):
        made += [
            Figure(name, _P50, best(rounds, "start_p50", "lower"), "ms"),
            Figure(name, _P99, middle(rounds, "start_p99"), "ms"),
        ]
    return made
