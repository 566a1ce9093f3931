"""`atlas voice` with a recording: from the wake word to a plan that is done, and what was said of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import wave
from pathlib import Path
from typing import Any

import numpy as np

from tests.voice.sounds import script, wav
from voice.headless import Recording

PLAN = """
atlas: 1
name: nightly
sandbox: host
todos:
  - {id: build, run: "echo built"}
  - {id: test, run: "echo tested", needs: [build]}
  - {id: pack, run: "sleep 1", needs: [test]}
  - {id: ship, run: "echo shipped", needs: [pack]}
"""
ATLAS = str(Path(sys.executable).with_name("atlas"))


def talked(directory: Path, *given: str, code: int = 0) -> tuple[list[dict[str, Any]], str]:
    """What happened, and what it said on standard error."""
    (directory / "nightly.yaml").write_text(PLAN)
    config = directory / "atlas.toml"
    config.write_text(f'[voice.plans]\nnightly = "{directory / "nightly.yaml"}"\n')
    environ = os.environ | {"ATLAS_HOME": str(directory / "home"), "ATLAS_CONFIG": str(config)}
    ended = subprocess.run(
        [ATLAS, "voice", *given, "--json"], env=environ, capture_output=True, text=True, timeout=110, check=False
    )
    assert ended.returncode == code, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()], ended.stderr


def test_a_plan_is_started_carried_out_and_told_of(tmp_path: Path) -> None:
    spoken, answer = tmp_path / "spoken.wav", tmp_path / "answer.wav"
    spoken.write_bytes(wav(script(1.0, *["atlas, start the plan nightly", 7.0] * 4)))
    happened, _ = talked(tmp_path, "--in", str(spoken), "--out", str(answer))
    said = [each["text"] for each in happened if each["event"] == "saying"]
    assert "Started the plan nightly." in said
    assert any("done" in each for each in said), said
    assert all(each["latency"] < 5 for each in happened if "latency" in each)  # half a second is the aim
    with wave.open(str(answer), "rb") as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(np.float64)
        assert file.getframerate() == 24_000
    loud = np.abs(samples) > 1_000
    assert 2.0 < float(loud.sum()) / 24_000 * 5 < 300.0  # a fifth of speech, or so, is that loud
    assert samples.max() < 32_767


def test_a_recording_from_a_pipe_is_as_long_as_it_is(tmp_path: Path) -> None:
    """Who can't seek writes a length that means nothing."""
    made = wav(script(0.5, "atlas, what is the status?", 1.0))
    at = made.index(b"data") + 4
    piped, cut = tmp_path / "piped.wav", tmp_path / "cut.wav"
    piped.write_bytes(made[:at] + b"\xff\xff\xff\xff" + made[at + 4 :])
    cut.write_bytes(made[:-1])
    assert Recording(piped).sound == made[at + 4 :]
    assert Recording(cut, cut).sound[-len(made[at + 4 : -2]) :] == made[at + 4 : -2]


def test_who_is_told_to_stop_says_so(tmp_path: Path) -> None:
    spoken = tmp_path / "spoken.wav"
    spoken.write_bytes(wav(script(1.0, "atlas, what is the status?", 60.0)))
    environ = os.environ | {"ATLAS_HOME": str(tmp_path / "home")}
    command = [ATLAS, "voice", "--in", str(spoken), "--json"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as talking:
        assert talking.stdout
        assert talking.stdout.readline(), "something has happened: it talks"
        talking.send_signal(signal.SIGINT)
        assert talking.wait(60) == 130


def test_a_recording_that_is_none_is_refused(tmp_path: Path) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"RIFF" + bytes(100))
    _, err = talked(tmp_path, "--in", str(bad), code=2)
    assert "bad.wav is no WAV file" in err
    _, err = talked(tmp_path, "--in", str(tmp_path / "missing.wav"), code=2)
    assert "can't be read: No such file" in err
    slow = tmp_path / "slow.wav"
    slow.write_bytes(wav(script(1.0, rate=4_000), 4_000))
    _, err = talked(tmp_path, "--in", str(slow), code=2)
    assert "4000 samples a second" in err


def test_an_answer_that_can_not_be_written_is_no_success(tmp_path: Path) -> None:
    spoken = tmp_path / "spoken.wav"
    spoken.write_bytes(wav(script(0.5)))
    _, err = talked(tmp_path, "--in", str(spoken), "--out", "/dev/full", code=2)
    assert "/dev/full can't be written: No space left" in err
    assert "leaked" not in err
    assert "Exception ignored" not in err
