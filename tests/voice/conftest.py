"""What conversations in tests are made of: the real service on SQLite, engines that need no download."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from orchestrator.cli.compose import House, house
from tests.services.availability import missing
from voice.engines.espeak import installed
from voice.engines.selection import ChosenEngines
from voice.logs import to_logging
from voice.sessions import Means


@pytest.fixture(scope="session", autouse=True)
def _logs() -> None:
    to_logging()
    if not installed():
        missing("espeak-ng is not installed (Debian: apt install espeak-ng)")


@pytest.fixture
async def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[House]:
    """The composition root itself, in a directory of its own."""
    monkeypatch.setenv("ATLAS_HOME", str(tmp_path / "home"))
    async with house() as opened:
        yield opened


@pytest.fixture
async def means(home: House) -> AsyncGenerator[Means]:
    """Of conversations in this house."""
    engines = ChosenEngines()
    await engines.ready()
    yield Means(home.service, home.store, engines)
    await engines.close()
