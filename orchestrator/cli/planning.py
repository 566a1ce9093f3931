"""Writes the plan of a run to a file that `atlas run` takes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.plan.reading import read_plan
from orchestrator.plan.writing import beside, plan_yaml, without
from state.errors import InputError

if TYPE_CHECKING:
    from orchestrator.cli.compose import House
    from orchestrator.telling import FrozenPlan


def refuse_to_overwrite(output: str) -> None:
    """`InputError` before anything is spent."""
    path = Path(output)
    if output != "-" and path.exists():
        raise InputError(f"{output} exists already", "Name another file with -o, or remove it.")
    if output != "-" and not path.absolute().parent.is_dir():
        raise InputError(f"{path.parent} is no directory", "Name a file in one that exists with -o.")


async def write_plan(house: House, run: str, output: str) -> int:
    """To a file, or to standard output. `NotFound`: there is no plan yet."""
    frozen = await house.telling.plan(run)
    path = None if output == "-" else Path(output)
    text = _text(frozen, path.absolute().parent if path else None)
    read_plan(path or Path.cwd() / "plan.yaml", text)  # what is written can be run
    if path is None:
        sys.stdout.write(text)
        return 0
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    count = len(frozen.document["todos"])
    print(f"wrote {path}: {count} TODO{'' if count == 1 else 's'}", file=sys.stderr)
    print(f"  read it, then carry it out: atlas run {path}", file=sys.stderr)
    return 0


def _text(frozen: FrozenPlan, directory: Path | None) -> str:
    """Budget and models were those of planning: a run of the plan has its own."""
    document = without(frozen.document, "budget", "models") if frozen.of_goal else dict(frozen.document)
    if directory and "repo" in document:
        document["repo"] = beside(str(document["repo"]), directory)
    head = [f"The plan of run {frozen.run[-8:]}"]
    if frozen.rounds:
        times = "once" if frozen.rounds == 1 else f"{frozen.rounds} times"
        head = [f"Made by prometheus and reviewed {times} by metis, in run {frozen.run[-8:]}. Carry it out: atlas run"]
    return plan_yaml(document, head)
