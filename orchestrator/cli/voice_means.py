"""What conversations of this installation are made of."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.cli.compose import House
    from orchestrator.settings import Settings
    from roles.models.port import ChatModel
    from voice.choices import Choices
    from voice.engines.parts import Wanted
    from voice.sessions import Means

ROLE = "voice"
"""Under which a model may be named for conversations, as for a role."""


@asynccontextmanager
async def voice_means(house: House, choices: Choices) -> AsyncGenerator[Means]:
    """With the models that there are keys of, or that the settings name."""
    from orchestrator.agents.models import Models
    from state.errors import SettingsError
    from voice.engines.selection import ChosenEngines
    from voice.sessions import Means

    models = Models(os.environ, house.settings.providers, house.settings.models)

    async def chain() -> Sequence[ChatModel]:
        return await models.of(ROLE, house.settings.home)

    try:
        models.names_of(ROLE, {})
    except SettingsError:
        asks = None
    else:
        asks = chain
    engines = ChosenEngines(wanted_engines(house.settings, os.environ))
    try:
        await engines.ready()
        found = house.settings
        yield Means(
            house.service,
            house.store,
            engines,
            choices,
            asks,
            plans=found.voice_plans,
            repository=found.voice_repository,
        )
    finally:
        await engines.close()
        await models.close()


def wanted_engines(found: Settings, environ: Mapping[str, str]) -> Wanted:
    """As the settings name them."""
    from voice.engines.parts import Wanted

    return Wanted(
        found.voice_recognition, found.voice_speech, found.voice_wake_word, found.voice_voice,
        models_directory(found), found.voice_urls, environ,
    )  # fmt: skip


def models_directory(found: Settings) -> Path:
    """Where downloaded models of engines are. It need not be there."""
    return found.voice_models or found.home / "models"
