"""`atlas serve` on the embedded database: lists and single TODOs with 10,000 stored, and how soon all who watch a run
have an event. Client and server share this machine."""

from __future__ import annotations

from benchmarks.machine import until_quiet, yardstick
from benchmarks.measuring import Round, best, middle, one_round
from benchmarks.reporting import Figure, Goal

STORED, REQUESTS, CLIENTS, PAGE = 10_000, 1_500, 8, 100
WATCHERS = (1, 200, 1_000)
EVENTS = 40
LISTS, ONE = f"list {PAGE} of {STORED:,} TODOs", f"one TODO of {STORED:,}"

GOALS = [Goal("1,000 watchers", "event to all p99", at_most=250.0)]


def measure(rounds: int) -> list[Figure]:
    """Requests, then watchers, in turn."""
    asked: list[Round] = []
    watched: dict[int, list[Round]] = {}
    for _ in range(rounds):
        until_quiet()
        asked.append(one_round("http_round", what="requests", stored=STORED, requests=REQUESTS))
        for count in WATCHERS:
            until_quiet()
            watched.setdefault(count, []).append(
                one_round("http_round", what="watchers", watchers=count, events=EVENTS)
            )
    figures: list[Figure] = []
    for metric, short in ((LISTS, "list"), (ONE, "one")):
        figures.append(Figure("atlas", f"{metric}: throughput", best(asked, f"{short}_per_second", "higher"), "1/s"))
        figures.append(Figure("atlas", f"{metric}: p50", best(asked, f"{short}_p50", "lower"), "ms"))
        figures.append(Figure("atlas", f"{metric}: p99", middle(asked, f"{short}_p99"), "ms"))
    for count, rounds_ in watched.items():
        name = f"{count:,} watchers" if count > 1 else "1 watcher"
        figures.append(Figure(name, "event to all p50", best(rounds_, "p50", "lower"), "ms"))
        figures.append(Figure(name, "event to all p99", middle(rounds_, "p99"), "ms"))
        figures.append(Figure(name, "memory of the server per watcher", middle(rounds_, "kb"), "kB"))
    return [*figures, *yardstick()]
