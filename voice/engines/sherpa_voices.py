"""Which voice of sherpa-onnx is in a directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from state.errors import EngineUnavailable
from voice.engines.sherpa_files import Directory
from voice.engines.sherpa_models import REMEDY, Recipe, cores

_PHONEMES = ("piper", "coqui", "icefall", "inflect")
"""Who makes voices that speak phonemes of espeak-ng, by the comment in their models."""


def voice(place: Directory) -> Recipe:
    """Kokoro or Kitten (they have a ``voices.bin``), Matcha (a vocoder), else VITS, such as those of Piper."""
    tokens = place.needed(place.have("tokens.txt"), "tokens.txt")
    vocoder = place.find("vocos", "hifigan", "vocoder")
    styles = place.have("voices.bin")
    network = _network(place, vocoder)
    told = place.told(network)
    settings: dict[str, str | int] = {"tokens": tokens, "num_threads": cores()}
    if rules := place.all(ends=".fst"):
        settings["rule_fsts"] = ",".join(rules)
    if lexicons := place.all(begins="lexicon", ends=".txt"):
        settings["lexicon"] = ",".join(lexicons)
    if styles is not None:
        kind = "kitten" if "kitten" in told.get("model_type", "") else "kokoro"
        settings |= {"model": str(network), "voices": str(styles)}
    elif vocoder is not None:
        kind = "matcha"
        settings |= {"acoustic_model": str(network), "vocoder": str(vocoder)}
    else:
        kind = "vits"
        settings["model"] = str(network)
    return place.recipe(f"OfflineTts.{kind}", settings, told)


def espeak_voice(told: Mapping[str, str]) -> str:
    """The one of espeak-ng that the model's maker had phonemes by; empty: it speaks none of its phonemes."""
    theirs = told.get("has_espeak") == "1" or told.get("use_espeak") == "1"
    if not theirs and not any(maker in told.get("comment", "") for maker in _PHONEMES):
        return ""
    return told.get("voice") or "en-us"


def _network(place: Directory, vocoder: Path | None) -> Path:
    """The only one, or that which has "model" in its name. `EngineUnavailable`: there is none, or one of several."""
    exported = [Path(each) for each in place.all(ends=".onnx") if vocoder is None or each != str(vocoder)]
    named = [each for each in exported if "model" in each.name] or exported
    plain = [each for each in named if ".int8" not in each.name and ".fp16" not in each.name] or named
    if len(plain) != 1:
        names = ", ".join(each.name for each in plain) or "no *.onnx"
        raise EngineUnavailable(f"{place.place} should have one model of a voice, and has {names}", REMEDY)
    return plain[0]
