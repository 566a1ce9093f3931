"""Wall and CPU time of the command line, as a person meets it: the console script, from start to exit."""

from __future__ import annotations

from pathlib import Path

from benchmarks.command_line import Timed, atlas, timed
from benchmarks.machine import until_quiet, yardstick
from benchmarks.measuring import scratch
from benchmarks.plans import plan_text
from benchmarks.reporting import Figure, Goal

GOALS = [Goal("atlas", "atlas --help: wall", at_most=0.3)]
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "atlas --help": ["--help"],
    "atlas runs": ["runs"],
    "atlas run, one TODO": ["run", "plan.yaml"],
}


def measure(rounds: int) -> list[Figure]:
    """The commands in turn; the database exists already."""
    found: dict[str, list[Timed]] = {name: [] for name in COMMANDS}
    with scratch() as directory:
        (directory / "plan.yaml").write_text(plan_text(1), encoding="utf-8")
        atlas(["run", "plan.yaml"], directory)
        for _ in range(rounds):
            for name, arguments in COMMANDS.items():
                until_quiet()
                found[name].append(_once(name, arguments, directory))
    figures: list[Figure] = []
    for name, all in found.items():
        system = name.partition(" ")[0]
        figures.append(Figure(system, f"{name}: wall", min(each.wall for each in all), "s"))
        figures.append(Figure(system, f"{name}: CPU", min(each.cpu for each in all), "s"))
    return [*figures, *yardstick()]


def _once(name: str, arguments: list[str], directory: Path) -> Timed:
    if name.startswith("python"):
        import sys

        return timed([sys.executable, *arguments], directory)
    return atlas(arguments, directory)
