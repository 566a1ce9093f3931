"""What a real command costs above the command itself: `run: "true"` TODOs of `atlas run` on the host beside GNU make
with the same commands and the same concurrency, and in containers beside `docker run --rm`.

The cost of one is the slope between a small and a large plan, so that starting and ending count for nothing.
CPU time is that of the client's processes: for containers, the engine's is not in it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from benchmarks.command_line import Timed, atlas, timed
from benchmarks.engine import IMAGE, engine_with_image
from benchmarks.machine import until_quiet, yardstick
from benchmarks.measuring import RoundFailed, scratch
from benchmarks.plans import plan_text
from benchmarks.reporting import Figure, Goal

CONCURRENCY = 2
HOST, MAKE, CONTAINER, DOCKER = "atlas, host sandbox", "make -j2", "atlas, docker sandbox", "docker run --rm"
SIZES = {HOST: (50, 150), MAKE: (50, 1050), CONTAINER: (4, 34), DOCKER: (4, 34)}
GOALS = [Goal(f"{HOST} - {MAKE}", "wall per command", at_most=30)]
Go = Callable[[int, Path], Timed]


def measure(rounds: int) -> list[Figure]:
    """Systems in turn; those that are not here are left out, with a figure that says so."""
    systems: dict[str, Go] = {HOST: _host}
    figures: list[Figure] = []
    if shutil.which("make"):
        systems[MAKE] = _make
    found_engine = engine_with_image()
    if found_engine:
        systems |= {CONTAINER: _container, DOCKER: _docker}
    found: dict[str, list[tuple[Timed, Timed]]] = {name: [] for name in systems}
    for _ in range(rounds):
        for name in list(systems):
            until_quiet()
            try:
                found[name].append(_small_and_large(systems[name], *SIZES[name]))
            except RoundFailed:
                if name != CONTAINER:
                    raise
                del systems[name], found[name]
    for name, all in found.items():
        each = _slope(all, *SIZES[name])
        figures.append(Figure(name, "wall per command", 1000 * each.wall, "ms"))
        figures.append(Figure(name, "CPU per command", 1000 * each.cpu, "ms"))
    value = {(figure.system, figure.metric): figure.value for figure in figures}
    for ours, theirs in ((HOST, MAKE), (CONTAINER, DOCKER)):
        present = ours in found and theirs in found
        figures.append(Figure(f"{ours} - {theirs}", "measured", float(present), "1 yes, 0 absent"))
        for metric in ("wall per command", "CPU per command") if present else ():
            figures.append(Figure(f"{ours} - {theirs}", metric, value[ours, metric] - value[theirs, metric], "ms"))
    return [*figures, *yardstick()]


def _small_and_large(go: Go, few: int, many: int) -> tuple[Timed, Timed]:
    with scratch() as directory:
        return go(few, directory), go(many, directory)


def _slope(found: list[tuple[Timed, Timed]], few: int, many: int) -> Timed:
    """Between the best of the small and the best of the large ones; the best of slopes would be the luckiest noise."""
    small, large = ([pair[at] for pair in found] for at in (0, 1))
    wall = min(each.wall for each in large) - min(each.wall for each in small)
    cpu = min(each.cpu for each in large) - min(each.cpu for each in small)
    return Timed(wall / (many - few), cpu / (many - few))


def _host(todos: int, directory: Path) -> Timed:
    return _run(plan_text(todos, concurrency=CONCURRENCY), directory)


def _container(todos: int, directory: Path) -> Timed:
    return _run(plan_text(todos, concurrency=CONCURRENCY, run="[/bin/true]", sandbox="docker", image=IMAGE), directory)


def _run(text: str, directory: Path) -> Timed:
    (directory / "plan.yaml").write_text(text, encoding="utf-8")
    return atlas(["run", "plan.yaml"], directory)


def _make(targets: int, directory: Path) -> Timed:
    names = [f"t{number}" for number in range(targets)]
    # with a shell, as `run: "true"` has one; make would otherwise start /bin/true itself
    rules = "".join(f"{name}:\n\t@true;\n" for name in names)
    (directory / "Makefile").write_text(f"all: {' '.join(names)}\n.PHONY: all {' '.join(names)}\n{rules}", "utf-8")
    return timed(["make", "-s", f"-j{CONCURRENCY}"], directory)


def _docker(containers: int, directory: Path) -> Timed:
    """`CONCURRENCY` at a time, as the plan's are."""
    once = f"docker run --rm --network none {IMAGE} /bin/true"
    return timed(["sh", "-c", f"seq {containers} | xargs -P {CONCURRENCY} -I _ {once}"], directory)
