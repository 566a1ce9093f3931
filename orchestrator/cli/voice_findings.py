"""What `atlas doctor` says of talking: whether its packages and the engines that the settings name are there."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator import asking
from orchestrator.cli.findings import Finding
from orchestrator.settings import Settings
from state.errors import AtlasError, EngineUnavailable

if TYPE_CHECKING:
    from voice.engines.parts import Wanted

EXTRA = "Install atlas-orchestrator[voice] to talk to it."


def examine_voice(found: Settings, environ: Mapping[str, str]) -> Finding:
    """Nothing is loaded that takes long, and nobody is asked anything."""
    if find_spec("pipecat") is None:
        return Finding("voice", "limited", "its packages are not installed", EXTRA)
    from voice.logs import to_logging

    to_logging()
    from orchestrator.cli.voice_means import wanted_engines
    from voice.engines.selection import ChosenEngines

    wanted = wanted_engines(found, environ)
    try:
        ChosenEngines(wanted)
    except EngineUnavailable as error:
        return Finding("voice", "limited", error.message, _where_from(wanted, error.hint))
    for name, path in found.voice_plans.items():
        try:
            asking.plan_of(path.read_text(encoding="utf-8"))
        except OSError as error:
            return Finding("voice", "limited", f"[voice.plans] {name}: {path}: {error.strerror}", "Name a plan file.")
        except (AtlasError, UnicodeDecodeError) as error:
            said = error.message if isinstance(error, AtlasError) else "it is no text"
            return Finding("voice", "limited", f"[voice.plans] {name}: {path}: {said}", f"Correct {path}.")
    said = f"hears by {wanted.recognition}, speaks by {wanted.speech}, wake word by {wanted.wake_word}"
    return Finding("voice", "good", said)


def _where_from(wanted: Wanted, hint: str) -> str:
    """With the command that says where to get the model, where one that was named is not there."""
    from voice.engines.catalogue import CATALOGUE

    names = {entry.setting: entry.name for entry in CATALOGUE}
    engines = {entry.engine for entry in CATALOGUE}
    for asked in (wanted.recognition, wanted.speech, wanted.wake_word):
        engine, _, model = asked.partition("/")
        places = (wanted.models / model, wanted.models / f"{model}.onnx")
        if "atlas voice models" not in hint and engine in engines and not (model and any(map(Path.exists, places))):
            named = f"atlas voice models {names[asked]}" if asked in names else "atlas voice models"
            return f"{hint} `{named}` says where to get it."
    return hint
