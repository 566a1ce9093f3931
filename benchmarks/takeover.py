"""Seconds until another worker has the TODO of one that was killed, or stopped, beside Celery and DBOS in the same run.

Two workers or more; kill -9 goes to the one that has the TODO, with all its processes, and so does SIGSTOP (as a host
that hangs). Celery acknowledges late, and has the heartbeat of five seconds that Atlas has. DBOS has nobody that would
take over, short of its makers' paid server: it is started again at once under the same id, as a supervisor would, and
no freeze is noticed. All are asked for durable results; PostgreSQL and RabbitMQ are the benchmark's own.
"""

from __future__ import annotations

import statistics
from typing import Literal

from benchmarks.machine import until_quiet, yardstick
from benchmarks.measuring import Round, one_round, percentile
from benchmarks.reporting import Figure, Goal
from benchmarks.servers import servers

How = Literal["death", "freeze"]
ATLAS, CELERY, DBOS = "atlas", "celery", "dbos"
CASES: list[tuple[str, How]] = [
    (ATLAS, "death"), (CELERY, "death"), (DBOS, "death"), (ATLAS, "freeze"), (CELERY, "freeze"),
]  # fmt: skip
TRIALS = 100
FREEZES = 10
"""One in so many trials is a freeze: each takes ten seconds."""
_SETTLED = "late results that were taken"

GOALS = [
    Goal(ATLAS, "death to takeover p99", at_most=250),
    Goal(ATLAS, "freeze to takeover p99", at_most=10_000),
    Goal(ATLAS, _SETTLED, at_most=0),
]


def measure(rounds: int, trials: int = TRIALS) -> list[Figure]:
    """So many deaths of each system, and a tenth as many freezes, spread over the rounds."""
    found: dict[tuple[str, How], list[Round]] = {}
    with servers() as running:
        for number in range(rounds):
            for name, how in CASES:
                all_of_them = trials if how == "death" else max(1, trials // FREEZES)
                count = share(all_of_them, rounds, number)
                if not count:
                    continue
                with running.place() as place:
                    until_quiet()
                    done = one_round(
                        "takeover_round", system=name, how=how, trials=count, slots=1, database=place.database,
                        broker=place.broker,
                    )  # fmt: skip
                found.setdefault((name, how), []).append(done)
    return [figure for (name, how), done in found.items() for figure in figures(name, how, done)] + yardstick()


def share(all_of_them: int, rounds: int, number: int) -> int:
    """How many of them are in this round."""
    return all_of_them // rounds + (number < all_of_them % rounds)


def figures(name: str, how: How, done: list[Round]) -> list[Figure]:
    """Over all rounds together: a tail needs all there are."""
    took = [1000 * value for each in done for metric, value in each.items() if metric.startswith("took ")]
    found = [
        Figure(name, f"{how} to takeover p50", statistics.median(took), "ms"),
        Figure(name, f"{how} to takeover p99", percentile(took, 0.99), "ms"),
        Figure(name, f"{how} to takeover, longest", max(took), "ms"),
        Figure(name, f"{how}: carried out twice to the end", sum(each["doubles"] for each in done), f"of {len(took)}"),
    ]
    if how == "freeze":
        late = f"of {sum(each['late'] for each in done):g}"
        found.append(Figure(name, _SETTLED, sum(each["stale"] for each in done), late))
    return found
