""" "Atlas, fix the failing tests": said aloud, heard by a real Whisper model, planned and worked on by roles whose
replies are scripted, told of as it goes on. Everything else is real: the worker, the repository, commands, checks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.services.whisper_model import NAME, whisper_models
from tests.voice.sounds import script, wav

EXAMPLE = Path(__file__).parents[2] / "examples" / "fix-a-bug"
ATLAS = str(Path(sys.executable).with_name("atlas"))


@pytest.mark.timeout(300)
def test_a_goal_is_heard_planned_carried_out_and_told_of(tmp_path: Path) -> None:
    example = tmp_path / "example"
    shutil.copytree(EXAMPLE, example, ignore=shutil.ignore_patterns("repository"))
    subprocess.run(["sh", "prepare.sh"], cwd=example, check=True, capture_output=True)
    (tmp_path / "home").mkdir()
    shutil.copy(example / "script.yaml", tmp_path / "home")
    (tmp_path / "atlas.toml").write_text(
        f'models = ["scripted/script.yaml"]\nsandbox = "host"\nallow_host = true\n'
        f'[voice]\nrecognition = "whisper/{NAME}"\nmodels = "{whisper_models(tmp_path)}"\n'
        f'repository = "{example / "repository"}"\n'
    )
    spoken, answer = tmp_path / "spoken.wav", tmp_path / "answer.wav"
    # A small model hears one or the other, which one is up to the processor: "at least yes" is not yes.
    said = ["atlas, fix the failing tests", 8.0, "hey atlas, yes", 6.0, "atlas, yes please", 6.0] * 2
    spoken.write_bytes(wav(script(1.0, *said)))
    environ = os.environ | {"ATLAS_HOME": str(tmp_path / "home"), "ATLAS_CONFIG": str(tmp_path / "atlas.toml")}
    ended = subprocess.run(
        [ATLAS, "voice", "--in", str(spoken), "--out", str(answer), "--linger", "120", "--json"],
        env=environ, cwd=tmp_path / "home", capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    happened = [json.loads(line) for line in ended.stdout.splitlines()]
    told = [each["text"] for each in happened if each["event"] == "saying"]
    intents = [each for each in happened if each["event"] == "intent"]
    goals = [each["goal"] for each in intents if each["intent"] == "StartGoal"]
    assert any("failing test" in goal for goal in goals), intents  # a small model: "fix my failing test"
    assert any("failing test" in each and "tarted" in each for each in told), told
    assert any("done" in each for each in told), told
    report = subprocess.run(
        [ATLAS, "runs", "--json"], env=environ, capture_output=True, text=True, timeout=60, check=True
    )
    runs: list[dict[str, Any]] = [json.loads(line) for line in report.stdout.splitlines()]
    assert any(run["state"] == "completed" for run in runs), runs
