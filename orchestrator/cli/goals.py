"""Commands about goals and roles: do, plan, graph."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.running import Json, prepared
from orchestrator.cli.working import Approve, Budgets, Detach, How, ModelNames, Sandbox, begin

if TYPE_CHECKING:
    from orchestrator.cli.compose import House
    from orchestrator.plan.document import Plan

Repo = Annotated[str | None, typer.Option(help="Git repository: a path or URL; default: the current directory's.")]
Base = Annotated[str | None, typer.Option(help="Branch, tag or commit to begin from.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("do")(do)
    app.command("plan")(plan)
    app.command()(graph)


def do(
    goal: Annotated[str, typer.Argument(help="What is to be achieved, in your words.")],
    repo: Repo = None,
    base: Base = None,
    budget: Budgets = None,
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


def plan(
    goal: Annotated[str | None, typer.Argument(help="What is to be achieved, in your words.")] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", help="The file to write, which `atlas run` takes; '-': standard output.")
    ] = "plan.yaml",
    of: Annotated[str | None, typer.Option("--run", metavar="RUN", help="Write the plan that this run has.")] = None,
    repo: Repo = None,
    base: Base = None,
    budget: Budgets = None,
    model: ModelNames = None,
    as_json: Json = False,
) -> None:
    """Make and review a plan for a goal, and write it to a file. Nothing of it is carried out."""

    def prepare() -> Callable[[House], Awaitable[int]]:
        from orchestrator.cli.planning import refuse_to_overwrite, write_plan
        from state.errors import InputError

        if (goal is None) == (of is None):
            raise InputError(
                "give a goal, or --run RUN; not both", 'For example: atlas plan "Support Python 3.13" -o plan.yaml'
            )
        refuse_to_overwrite(output)
        if of is not None:
            return partial(write_plan, run=of, output=output)
        if output == "-" and as_json:
            raise InputError("--json and the plan can't both be on standard output", "Name a file with -o.")
        document = goal_plan(goal or "", repo if repo is not None else _here(), base, budget or ())
        out = sys.stderr if output == "-" else None
        how = How(models=model or (), as_json=as_json, plan_only=True, out=out, then=partial(write_plan, output=output))
        return begin(document, Path.cwd(), how)

    prepared(prepare, as_lines_of_json=as_json)


def graph() -> None:
    """Draw the graph of roles, as Mermaid."""
    from orchestrator.graph import mermaid

    print(mermaid())


def goal_plan(goal: str, repo: str | None, base: str | None, budget: list[str] | tuple[()]) -> Plan:
    """The document of a goal. Errors as of a plan file."""
    from orchestrator import asking
    from orchestrator.cli.budgets import read_budget

    return asking.goal_plan(goal, repo, base, budget=read_budget(budget) if budget else None)


def _here() -> str:
    """The current directory, which must be in a repository: roles look at one and change it."""
    from state.errors import InputError

    directory = Path.cwd()
    if any((each / ".git").exists() for each in (directory, *directory.parents)):
        return str(directory)
    raise InputError(
        f"there is no git repository at {directory}, so roles would have nothing to look at or to change",
        "Go into one, or name one: --repo PATH_OR_URL. (A new one: git init && git add -A && git commit.)",
    )
