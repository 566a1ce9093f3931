"""What a benchmark found, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One number about one system."""

    system: str
    metric: str
    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class Goal:
    """What `metric` of `system` should be: at least or at most `bound`."""

    system: str
    metric: str
    at_least: float | None = None
    at_most: float | None = None

    def met(self, value: float) -> bool:
        """Whether this value is one to be content with."""
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)

    def __str__(self) -> str:
        return f"≥ {self.at_least:,g}" if self.at_least is not None else f"≤ {self.at_most:,g}"


def as_json(figures: Sequence[Figure]) -> str:
    """``[{"system", "metric", "value", "unit"}]``"""
    return json.dumps([asdict(figure) for figure in figures], indent=1, ensure_ascii=False)


def as_table(figures: Sequence[Figure], goals: Sequence[Goal]) -> str:
    """One line a figure, its goal beside it."""
    by_name = {(goal.system, goal.metric): goal for goal in goals}
    rows = [("system", "metric", "value", "unit", "goal")]
    for figure in figures:
        goal = by_name.get((figure.system, figure.metric))
        said = f"{goal} {'met' if goal.met(figure.value) else 'MISSED'}" if goal else ""
        rows.append((figure.system, figure.metric, number(figure.value), figure.unit, said))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines: list[str] = []
    for row in rows:
        cells = [
            cell.rjust(width) if at == 2 else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def number(value: float) -> str:
    """Three digits that count."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
