"""A voice of Piper as files: which, where, and what its description says. Nothing is loaded here."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from state.errors import EngineUnavailable

WHERE_FROM = "`atlas voice models` says where to get it."
_SAYABLE = ("espeak", "text")
"""Kinds of phonemes for which Piper has all that it needs inside; for others it would download more."""
_NAMED = 8


@dataclass(frozen=True, slots=True)
class PiperFiles:
    """A voice: its model, and the description that belongs to it. `speaker`: the number of the one who speaks, None
    for the voice's own."""

    model: Path
    description: Path
    speaker: int | None


def find_voice(models: Path, name: str, speaker: str) -> PiperFiles:
    """The voice of this name below `models`, by itself or in a directory of its own. `speaker`: a name or number of
    one of its speakers, or empty. `EngineUnavailable`: files are missing, can't be read, or know no such speaker."""
    if not name:
        raise EngineUnavailable(
            "piper needs the name of a voice, as in piper/en_US-joe-medium", "`atlas voice models` names some."
        )
    places = (models / f"{name}.onnx", models / name / f"{name}.onnx")
    model = next((place for place in places if place.is_file()), None)
    if model is None:
        raise EngineUnavailable(f"there is no {name}.onnx in {models}, nor in {models / name}", WHERE_FROM)
    description = model.with_name(model.name + ".json")
    if not description.is_file():
        raise EngineUnavailable(f"{description} is missing: it belongs to {model.name}", WHERE_FROM)
    described = _read(description)
    kind = described.get("phoneme_type", "espeak")
    if kind not in _SAYABLE:
        raise EngineUnavailable(
            f"{name} needs what Piper would download for phonemes of kind {kind!r}",
            "Choose another voice: `atlas voice models` names some.",
        )
    return PiperFiles(model, description, _speaker(name, described, speaker))


def _read(description: Path) -> dict[str, object]:
    try:
        found = json.loads(description.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise EngineUnavailable(f"{description} can't be read: {error}", WHERE_FROM) from error
    if not isinstance(found, dict):
        raise EngineUnavailable(f"{description} is no description of a voice", WHERE_FROM)
    return cast(dict[str, object], found)


def _speaker(name: str, described: dict[str, object], wanted: str) -> int | None:
    if not wanted:
        return None
    count, map_ = described.get("num_speakers", 1), described.get("speaker_id_map")
    ids = cast(dict[str, object], map_) if isinstance(map_, dict) else {}
    found = ids.get(wanted)
    if isinstance(found, int):
        return found
    if not isinstance(count, int) or count < 2:
        raise EngineUnavailable(
            f"{name} has one speaker only, and [voice] voice names {wanted!r}", "Leave [voice] voice out."
        )
    if wanted.isascii() and wanted.isdigit() and int(wanted) < count:
        return int(wanted)
    names = sorted(ids)
    known = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    raise EngineUnavailable(
        f"{name} has no speaker {wanted!r}",
        f"There are {known}, or numbers up to {count - 1}." if known else f"There are 0 to {count - 1}.",
    )
