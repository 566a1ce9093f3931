"""An installation of `atlas` for each test."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from tests.acceptance.command_line import Atlas, installation
from tests.acceptance.effects import Effects


@pytest.fixture
def atlas(tmp_path: Path) -> Generator[Atlas]:
    """Empty; its commands are killed afterwards."""
    with installation(tmp_path / "installation") as found:
        yield found


@pytest.fixture
def effects(atlas: Atlas) -> Effects:
    """Its log of side effects."""
    return Effects(atlas)
