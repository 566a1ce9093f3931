"""Which models a role asks, in which order: what the plan names for it, else the settings, else those with a key."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from orchestrator.secret_files import with_files
from roles.models.connect import PROVIDERS, Provider, connect, load
from roles.models.limited import LimitedModel
from roles.models.port import ChatModel
from roles.role import Duty
from state.errors import SettingsError

REVIEWING = frozenset(("review_plan", "review", "diagnose"))
"""Duties that judge what another role did: another maker's model comes first, if there is one."""
_NAME_ONE = (
    "Set ANTHROPIC_API_KEY or OPENAI_API_KEY; or name a model: `models: {default: [provider/name]}` in the plan, "
    "ATLAS_MODELS=provider/name for all."
)


class Models:
    """The models of this installation, connected when they are first asked for. Errors: `SettingsError`."""

    def __init__(
        self, environ: Mapping[str, str], providers: Mapping[str, Provider], default: Sequence[str] = ()
    ) -> None:
        """`default` is the settings' chain. Keys may be given as files, see `secret_files`."""
        self._providers = {**PROVIDERS, **providers}
        self._environ = with_files(environ, key_variables(self._providers))
        self._default = list(default)
        self._loaded: set[str] = set()
        self._connected: dict[tuple[str, Path | None], ChatModel] = {}
        limits = {label: provider.concurrency for label, provider in self._providers.items()}
        self._turns = {label: asyncio.Semaphore(limit) for label, limit in limits.items() if limit}

    def chain(self, duty: Duty, named: Mapping[str, Sequence[str]], directory: Path) -> list[ChatModel]:
        """For a duty of a run that names `named` (by role, or ``default``); scripts are looked for in `directory`."""
        names = self.names(duty, named)
        models = [self._connect(name, directory) for name in names]
        if duty.name in REVIEWING and duty.role not in named:
            worker = self._connect(self.names_of("hephaestus", named)[0], directory)
            models.sort(key=lambda model: model.maker == worker.maker)
        return models

    async def of(self, role: str, directory: Path) -> list[ChatModel]:
        """For whoever is no role of a run, and talks to models all the same."""
        names = self.names_of(role, {})
        await asyncio.to_thread(load, names, self._providers)
        return [self._connect(name, directory) for name in names]

    async def load(self, duty: Duty, named: Mapping[str, Sequence[str]]) -> None:
        """Before `chain`, in a worker: makers' libraries are large, and whoever waits for one gives no sign of life."""
        names = [name for name in self.names(duty, named) if name.partition("/")[0] not in self._loaded]
        if names:
            await asyncio.to_thread(load, names, self._providers)
            self._loaded.update(name.partition("/")[0] for name in names)

    def names(self, duty: Duty, named: Mapping[str, Sequence[str]]) -> list[str]:
        """The names of a chain."""
        names = self.names_of(duty.role, named)
        if duty.name in REVIEWING and duty.role not in named:  # the others with a key can judge too
            names += [name for name in self._with_keys() if name not in names and not any(map(self._scripted, names))]
        return names

    def names_of(self, role: str, named: Mapping[str, Sequence[str]]) -> list[str]:
        """What a role's chain begins with."""
        names = list(named.get(role) or named.get("default") or self._default) or self._with_keys()
        if not names:
            raise SettingsError("no model is named, and there is no key of one", _NAME_ONE)
        return names

    def _with_keys(self) -> list[str]:
        table = tomllib.loads((files("roles.models") / "defaults.toml").read_text("utf-8"))
        return [str(name) for label, name in table.items() if self._has_key(label)]

    def _has_key(self, label: str) -> bool:
        provider = self._providers[label]
        return any(self._environ.get(name) for name in (provider.key_variable, provider.token_variable) if name)

    def _scripted(self, name: str) -> bool:
        provider = self._providers.get(name.partition("/")[0])
        return provider is not None and provider.kind == "scripted"

    def _connect(self, name: str, directory: Path) -> ChatModel:
        key = (name, directory if self._scripted(name) else None)  # nothing else is read from there
        if key not in self._connected:
            model = connect(name, self._environ, directory, self._providers)
            turns = self._turns.get(name.partition("/")[0])
            self._connected[key] = LimitedModel(model, turns) if turns else model
        return self._connected[key]

    async def close(self) -> None:
        """Their connections."""
        for model in self._connected.values():
            await model.close()
        self._connected.clear()


def key_variables(providers: Mapping[str, Provider]) -> set[str]:
    """Where the keys of these are looked for."""
    named = ((provider.key_variable, provider.token_variable) for provider in providers.values())
    return {variable for pair in named for variable in pair if variable}
