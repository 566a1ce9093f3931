"""Seconds per TODO of a plan, by the plan's size: read and checked, submitted, carried out with a no-op executor."""

from __future__ import annotations

from benchmarks.machine import until_quiet, yardstick
from benchmarks.measuring import Round, best, one_round
from benchmarks.reporting import Figure, Goal

SIZES = (100, 1_000, 10_000)
SHAPES = ("fan", "layers")
STEPS = ("read", "submit", "carry_out", "all")
FLAT = 1.3
GOALS = [
    Goal("atlas", f"{shape}: most / least over sizes, {clock}", at_most=FLAT)
    for shape in SHAPES
    for clock in ("wall", "CPU")
]


def measure(rounds: int) -> list[Figure]:
    """Small plans are measured as several of them, so that all sizes carry out as many TODOs."""
    found: dict[tuple[str, int], list[Round]] = {}
    for _ in range(rounds):
        for shape in SHAPES:
            for size in SIZES:
                until_quiet()
                found.setdefault((shape, size), []).append(one_round("plan_round", shape=shape, todos=size))
    figures: list[Figure] = []
    for (shape, size), all in found.items():
        for step in STEPS:
            about = f"{shape} of {size:,} TODOs: {step.replace('_', ' ')}"
            figures.append(Figure("atlas", about, best(all, step, "lower"), "s per TODO"))
        figures.append(Figure("atlas", f"{shape} of {size:,} TODOs: all, CPU", best(all, "cpu", "lower"), "s per TODO"))
    for shape in SHAPES:
        for metric, name in (("cpu", ", CPU"), ("all", ", wall")):
            values = [best(found[shape, size], metric, "lower") for size in SIZES]
            ratio = max(values) / min(values)
            figures.append(Figure("atlas", f"{shape}: most / least over sizes{name}", ratio, "times"))
    return [*figures, *yardstick()]
