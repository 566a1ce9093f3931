"""``python -m benchmarks NAME [--json] [--rounds N] [--trials N]``: run one of them. Without NAME: which there are."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import cast

from benchmarks.measuring import RoundFailed, disk, filesystem
from benchmarks.reporting import Figure, Goal, as_json, as_table

BENCHMARKS = {
    "agent": "overhead per step of an agent beside a bare SDK loop and LangGraph's prebuilt agent; snapshots",
    "embedded": "durable TODOs/s and start latency with a no-op executor on SQLite, beside DBOS",
    "http": "requests/s and p99 of the HTTP API with 10,000 TODOs stored; events to 1, 200 and 1,000 watchers",
    "mcp": "round trips of MCP tools over stdio and HTTP, beside the reference server",
    "plan": "seconds per TODO for plans of 100, 1,000 and 10,000 TODOs",
    "queue": "TODOs/s and start latency on PostgreSQL and RabbitMQ, beside Celery, taskiq, procrastinate and DBOS",
    "sandbox": "overhead per real command: host sandbox beside GNU make, containers beside docker run",
    "startup": "wall and CPU time of the command line",
    "takeover": "seconds until another has the TODO of a dead or frozen worker, beside Celery and DBOS",
    "voice": "interruption, ducking, wake word and answer latencies of a conversation, beside stock Pipecat",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 when a round failed; a goal that was missed is said, and is no failure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Atlas beside its peers.")
    parser.add_argument("name", nargs="?", choices=sorted(BENCHMARKS), metavar="NAME")
    parser.add_argument("--json", action="store_true", help="a list of {system, metric, value, unit}")
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (default: 5)")
    parser.add_argument("--trials", type=int, help="how many deaths (takeover only; default: 100)")
    asked = parser.parse_args(arguments)
    if asked.trials is not None and asked.name != "takeover":
        parser.error("--trials is for takeover")
    if asked.name is None:
        for name, about in BENCHMARKS.items():
            print(f"{name:<10} {about}")
        return 0
    module = importlib.import_module(f"benchmarks.{asked.name}")
    measure = cast("Callable[..., list[Figure]]", module.measure)
    more = () if asked.trials is None else (max(1, asked.trials),)
    try:
        figures = measure(max(1, asked.rounds), *more)
    except RoundFailed as error:
        print(f"{asked.name}: {error}", file=sys.stderr)
        return 1
    load = os.getloadavg()[0]
    circumstances = f"files on {filesystem(disk())}, {os.cpu_count()} cores, load {load:.1f}"
    said = f"{asked.name}: {asked.rounds} rounds, {circumstances}\n"
    print(said, file=sys.stderr if asked.json else sys.stdout)
    print(as_json(figures) if asked.json else as_table(figures, cast("list[Goal]", module.GOALS)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
