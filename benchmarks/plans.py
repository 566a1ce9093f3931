"""Plans to measure with."""

from __future__ import annotations

from orchestrator.plan.document import Plan
from orchestrator.plan.reading import read_plan


def plan_of(todos: int) -> Plan:
    """A fan, read."""
    return read_plan(None, plan_text(todos))


def plan_text(
    todos: int, *, concurrency: int = 1000, run: str = '"true"', sandbox: str = "host", image: str | None = None,
    width: int | None = None,
) -> str:  # fmt: skip
    """TODOs that need nothing; with `width`, each needs the one `width` places before it."""
    head = f"atlas: 1\nname: bench\nconcurrency: {concurrency}\nsandbox: {sandbox}\n"
    if image:
        head += f"defaults: {{image: {image}}}\n"
    lines: list[str] = []
    for number in range(todos):
        needs = f", needs: [t{number - width}]" if width and number >= width else ""
        lines.append(f"  - {{id: t{number}, run: {run}{needs}}}\n")
    return head + "todos:\n" + "".join(lines)
