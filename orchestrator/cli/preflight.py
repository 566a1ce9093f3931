"""What is said before a run with roles begins: nothing has been spent yet."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from orchestrator.agents.models import Models
from orchestrator.plan.document import Plan, SandboxChoice
from orchestrator.settings import Settings
from roles.models.connect import PROVIDERS
from roles.models.prices import load_prices
from roles.role import DUTIES
from state.errors import InputError, SandboxUnavailable

SCRIPTED = "the replies are scripted: no model is asked"


def has_roles(plan: Plan) -> bool:
    """Whether anything of it is for roles."""
    return not plan.todos or any(todo.role is not None for todo in plan.todos)


async def check_models(found: Settings, plan: Plan, directory: Path) -> list[str]:
    """Warnings. `SettingsError`: a role would have no model, or one that can't be asked from here. `InputError`: the
    budget bounds nothing."""
    models = Models(os.environ, found.providers, found.models)
    kinds = {label: provider.kind for label, provider in {**PROVIDERS, **found.providers}.items()}
    names: set[str] = set()
    try:
        for duty in DUTIES.values():
            models.chain(duty, plan.models, directory)
            names.update(models.names(duty, plan.models))
    finally:
        await models.close()
    _price(plan, [name for name in names if kinds.get(name.partition("/")[0]) != "scripted"])
    scripted = any(kinds.get(name.partition("/")[0]) == "scripted" for name in names)
    return [SCRIPTED] if scripted else []


def _price(plan: Plan, names: Sequence[str]) -> None:
    """`InputError`: what must not be overspent can't be told in the budget's currency alone."""
    if plan.budget is None or plan.budget.usd is None or plan.budget.tokens is not None:
        return
    prices = load_prices()
    if unknown := sorted(name for name in names if prices.of(name) is None):
        raise InputError(
            f"a budget in usd alone can't bound {', '.join(unknown)}: no price of it is known",
            "Give a budget of tokens too: --budget tokens=2000000, or `tokens` in the plan's budget.",
        )


async def check_sandbox(found: Settings, plan: Plan, asked: SandboxChoice | None) -> list[str]:
    """Warnings: where commands of models would not be run."""
    from orchestrator.cli.compose import connect_docker

    if (asked or plan.sandbox) == "host" or found.allow_host:
        return []
    try:
        engine = await connect_docker(found, "preflight")
    except SandboxUnavailable as error:
        said = f"no container engine answers ({error.message}), so what models want run will be blocked"
        return [f"{said}. Start Docker, or allow this host: --sandbox host"]
    await engine.close()
    if not found.docker_image and not plan.defaults.image and not plan.todos:
        return ["no image is named for the containers of roles: set [docker] image in atlas.toml, or --sandbox host"]
    return []
