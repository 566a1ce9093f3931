"""Commands about goals and roles: do, graph."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.running import Json, prepared
from orchestrator.cli.working import Approve, Detach, How, ModelNames, Sandbox, begin

if TYPE_CHECKING:
    from orchestrator.cli.compose import House
    from orchestrator.plan.document import Plan

_NAME_CHARACTERS = 60


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("do")(do)
    app.command()(graph)


def do(
    goal: Annotated[str, typer.Argument(help="What is to be achieved, in your words.")],
    repo: Annotated[
        str | None, typer.Option(help="Git repository: a path or URL; default: the current directory's.")
    ] = None,
    base: Annotated[str | None, typer.Option(help="Branch, tag or commit to begin from.")] = None,
    budget: Annotated[list[str] | None, typer.Option(help="tokens=2000000 or usd=5; may be given twice.")] = None,
    sandbox: Sandbox = None,
    approve: Approve = "auto",
    model: ModelNames = None,
    detach: Detach = False,
    as_json: Json = False,
) -> None:
    """Achieve a goal: a plan is made and reviewed, and carried out with evidence."""

    def prepare() -> Callable[[House], Awaitable[int]]:
        plan = goal_plan(goal, repo if repo is not None else _here(), base, budget or ())
        return begin(plan, Path.cwd(), How(sandbox, approve, model or (), detach, as_json))

    prepared(prepare, as_lines_of_json=as_json)


def graph() -> None:
    """Draw the graph of roles, as Mermaid."""
    from orchestrator.graph import mermaid

    print(mermaid())


def goal_plan(goal: str, repo: str | None, base: str | None, budget: list[str] | tuple[()]) -> Plan:
    """The document of a goal. Errors as of a plan file."""
    import json

    from orchestrator.cli.budgets import read_budget
    from orchestrator.plan.reading import read_plan

    name = " ".join(goal.split())[:_NAME_CHARACTERS] or "goal"
    tree: dict[str, object] = {"atlas": 1, "name": name, "goal": goal}
    tree |= {key: value for key, value in (("repo", repo), ("base", base)) if value is not None}
    if budget:
        tree["budget"] = read_budget(budget)
    return read_plan(None, json.dumps(tree).encode())


def _here() -> str | None:
    """The current directory, if it is in a repository."""
    directory = Path.cwd()
    if any((each / ".git").exists() for each in (directory, *directory.parents)):
        return str(directory)
    print("note: no git repository here; the roles have nothing to look at or to change", file=sys.stderr)
    return None
