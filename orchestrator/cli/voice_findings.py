"""What `atlas doctor` says of talking: whether its packages and the engines that the settings name are there."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from orchestrator.cli.findings import Finding
from orchestrator.settings import Settings
from state.errors import EngineUnavailable

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
        return Finding("voice", "limited", error.message, error.hint)
    said = f"hears by {wanted.recognition}, speaks by {wanted.speech}, wake word by {wanted.wake_word}"
    return Finding("voice", "good", said)
