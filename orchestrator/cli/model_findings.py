"""What `atlas doctor` says of models: whose keys are there, and whom each role would ask."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from orchestrator.agents.models import Models
from orchestrator.cli.findings import Finding
from orchestrator.secret_files import SUFFIX
from orchestrator.settings import Settings
from roles.models.connect import PROVIDERS, Provider
from roles.role import DUTIES
from state.errors import SettingsError

_MAIN_DUTIES = ("plan", "review_plan", "work", "diagnose", "report")
"""One of each role."""


async def examine_models(found: Settings, environ: Mapping[str, str]) -> Sequence[Finding]:
    """Nobody is asked anything."""
    return [_providers({**PROVIDERS, **found.providers}, environ), await _roles(found, environ)]


def _providers(providers: Mapping[str, Provider], environ: Mapping[str, str]) -> Finding:
    lines: list[str] = []
    usable = False
    for label, provider in providers.items():
        if provider.kind == "scripted":
            continue
        variables = [name for name in (provider.key_variable, provider.token_variable) if name]
        places = [place for name in variables for place in (name, name + SUFFIX)]
        there = next((place for place in places if environ.get(place)), None)
        usable = usable or there is not None or not variables
        lines.append(f"{label}: " + (there or (f"no {' or '.join(variables)}" if variables else "needs no key")))
    remedy = "" if usable else "Set a key, or add [providers.NAME] for a server of yours (docs/roles.md)."
    return Finding("providers", "good" if usable else "limited", "; ".join(lines), remedy)


async def _roles(found: Settings, environ: Mapping[str, str]) -> Finding:
    asked: dict[str, list[str]] = {}
    models: Models | None = None
    try:
        models = Models(environ, found.providers, found.models)
        for name in _MAIN_DUTIES:
            duty = DUTIES[name]
            chain = await asyncio.to_thread(models.chain, duty, {}, Path.cwd())
            asked.setdefault(", then ".join(model.name for model in chain), []).append(duty.role)
    except SettingsError as error:
        return Finding("roles", "limited", f"goals and `role:` TODOs can't run: {error.message}", error.hint)
    finally:
        if models is not None:
            await models.close()
    who = {chain: ", ".join(roles) if len(asked) > 1 else "all roles" for chain, roles in asked.items()}
    return Finding("roles", "good", "; ".join(f"{roles}: {chain}" for chain, roles in who.items()))
