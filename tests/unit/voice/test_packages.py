"""What is installed with and without the extras for voice, by the lock file."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

LOCK = Path(__file__).resolve().parents[3] / "uv.lock"
AUDIO = {
    "piper-tts",
    "deepgram-sdk",
    "pipecat-ai",
    "pocketsphinx",
    "sherpa-onnx",
    "onnxruntime",
    "aiortc",
    "sounddevice",
    "numpy",
    "numba",
}


def installed(extra: str | None) -> set[str]:
    """Names of all packages that come with Atlas, of any platform."""
    packages: dict[str, dict[str, Any]] = {each["name"]: each for each in tomllib.loads(LOCK.read_text())["package"]}
    ours = packages["atlas-orchestrator"]
    waiting: list[dict[str, Any]] = [*ours["dependencies"], *(ours["optional-dependencies"][extra] if extra else [])]
    found: set[tuple[str, str]] = set()
    while waiting:
        asked = waiting.pop()
        for wanted in ("", *asked.get("extra", ())):
            if (asked["name"], wanted) in found:
                continue
            found.add((asked["name"], wanted))
            package = packages[asked["name"]]
            waiting += package.get("optional-dependencies", {}).get(wanted, []) if wanted else []
            waiting += [] if wanted else package.get("dependencies", [])
    return {name for name, _ in found}


def test_without_it_nothing_of_sound_comes_along() -> None:
    assert not installed(None) & AUDIO


def test_with_it_there_is_sound_and_no_torch() -> None:
    found = installed("voice")
    assert {"pipecat-ai", "pocketsphinx", "aiortc"} <= found
    assert not large(found)


def test_what_is_under_the_gpl_comes_along_only_when_it_is_asked_for() -> None:
    assert "piper-tts" not in installed("voice")
    found = installed("voice-piper")
    assert "piper-tts" in found
    assert not large(found)


def large(found: set[str]) -> set[str]:
    """Those of them that bring gigabytes."""
    return {each for each in found if each.startswith(("torch", "nvidia", "triton", "silero"))}


def test_services_in_a_cloud_add_little() -> None:
    assert installed("voice-cloud") - installed("voice") == {"deepgram-sdk"}


@pytest.mark.parametrize("engine", ["onnxruntime", "sherpa_onnx"])
def test_nothing_tells_its_makers_of_its_use(tmp_path: Path, engine: str) -> None:
    """ONNX Runtime would: it keeps what is to be sent in the home directory, and who sends it in the temporary one. It
    does not where ``CI`` is set."""
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    own = {name: value for name, value in os.environ.items() if name not in ("CI", "ORT_DISABLE_TELEMETRY")}
    for each in (home, temporary):
        each.mkdir()
    subprocess.run(
        [sys.executable, "-c", f"import voice, {engine}"], check=True, cwd=LOCK.parent,
        env={**own, "HOME": str(home), "TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert [path for each in (home, temporary) for path in each.rglob("*")] == []
