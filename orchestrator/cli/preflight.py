"""What is said before a run with roles begins: nothing has been spent yet."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.agents.models import Models
from orchestrator.budget import check_prices
from orchestrator.plan.document import Plan, SandboxChoice
from orchestrator.run_spec import RunSpec
from orchestrator.settings import Settings
from roles.models.connect import PROVIDERS
from roles.role import DUTIES
from state.errors import SandboxUnavailable
from state.reading import plan as newest_plan
from state.records import QUEUE

if TYPE_CHECKING:
    from orchestrator.cli.compose import House
    from orchestrator.cli.working import How
    from state.tables import Run

SCRIPTED = "the replies are scripted: no model is asked"


async def looked_at(found: Settings, plan: Plan, directory: Path, how: How) -> list[str]:
    """Warnings; nothing is looked at for a plan of tasks. With ``--detach``, keys and engines are the workers' own."""
    if plan.todos and all(todo.role is None for todo in plan.todos):
        return _unlabelled(found, plan, how)
    if how.detach:
        named = [name for chain in plan.models.values() for name in chain]
        return [SCRIPTED] if any(name.startswith("scripted/") for name in named) else []
    warnings = await check_models(found, plan, directory)
    return warnings if how.plan_only else warnings + await check_sandbox(found, plan, how.sandbox)


def _unlabelled(found: Settings, plan: Plan, how: How) -> list[str]:
    wanted = {label for todo in plan.todos for label in todo.labels} - set(found.worker_labels)
    if how.detach or not wanted:
        return []
    return [
        f"no worker here has {', '.join(sorted(wanted))}: TODOs with labels wait for `[worker] labels` in atlas.toml"
    ]


async def can_plan(house: House, run: Run) -> list[str]:
    """Warnings: of a run that goes on here, for which another plan is to be made."""
    if run.placement == QUEUE:
        return []
    plan = await house.store.read(lambda session: newest_plan(session, run.id))
    directory = RunSpec.from_json(run.spec).directory
    document = Plan.model_validate({"name": run.name, **json.loads(plan.document)})
    return await check_models(house.settings, document, Path(directory or house.settings.home))


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
    check_prices(plan.budget, {"asked": sorted(names)})
    scripted = any(kinds.get(name.partition("/")[0]) == "scripted" for name in names)
    return [SCRIPTED] if scripted else []


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
