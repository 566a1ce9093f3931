"""Engines by their names: what is missing is said when they are chosen, with what to do about it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pipecat.utils.errors import ErrorCategory

from state.errors import EngineUnavailable
from voice.choices import Choices
from voice.engines.apart import Apart
from voice.engines.heard import Heard
from voice.engines.makers import NO_KEY, Maker, address, category_of, key_of
from voice.engines.parts import Setup, Wanted
from voice.engines.selection import RECOGNITION, SPEECH, WAKE_WORD, ChosenEngines
from voice.engines.whisper_parts import WhisperRecognition
from voice.phrase_commands import PhraseCommands
from voice.turn_ends import Told

KEYS = {f"{maker}_API_KEY": "a key" for maker in ("DEEPGRAM", "OPENAI", "GROQ", "CARTESIA", "ELEVENLABS")}
MAKER = Maker("openai", "OPENAI_API_KEY")
EVERY = [
    *(Wanted(recognition=name) for name in RECOGNITION),
    *(Wanted(speech=name) for name in SPEECH),
    *(Wanted(wake_word=name) for name in WAKE_WORD),
]


def setup(url: str | None = None, **environ: str) -> Setup:
    return Setup("openai", "", "", Path("models"), url, environ, Apart())


def _problem(wanted: Wanted) -> EngineUnavailable | None:
    try:
        ChosenEngines(wanted)
    except EngineUnavailable as error:
        return error
    return None


@pytest.mark.parametrize("wanted", EVERY, ids=repr)
def test_every_engine_is_there_or_says_what_is_missing(wanted: Wanted) -> None:
    problem = _problem(wanted)
    assert problem is None or (problem.message.startswith("[voice] ") and problem.hint)


@pytest.mark.parametrize(
    ("kind", "maker"),
    [("recognition", maker) for maker in ("deepgram", "openai", "groq")]
    + [("speech", maker) for maker in ("deepgram", "openai", "groq", "cartesia", "elevenlabs")],
)
def test_a_key_that_is_missing_is_named(kind: str, maker: str) -> None:
    wanted = Wanted(recognition=maker) if kind == "recognition" else Wanted(speech=maker, voice="one")
    with pytest.raises(EngineUnavailable, match=f"{maker.upper()}_API_KEY is not set"):
        ChosenEngines(wanted)


@pytest.mark.parametrize("maker", ["openai", "groq"])
def test_a_server_of_ones_own_needs_no_key(maker: str) -> None:
    ChosenEngines(Wanted(recognition=maker, speech=maker, urls={maker: "http://127.0.0.1:8000/v1"}))


@pytest.mark.parametrize("maker", ["deepgram", "cartesia", "elevenlabs"])
def test_others_need_one_all_the_same(maker: str) -> None:
    with pytest.raises(EngineUnavailable, match="needs a key"):
        ChosenEngines(Wanted(speech=maker, voice="one", urls={maker: "http://127.0.0.1:8000"}))


@pytest.mark.parametrize("maker", ["cartesia", "elevenlabs"])
def test_a_voice_that_is_missing_is_asked_for(maker: str) -> None:
    with pytest.raises(EngineUnavailable, match="needs a voice"):
        ChosenEngines(Wanted(speech=maker, environ=KEYS))


async def test_with_keys_there_are_engines() -> None:
    for recognition in ("deepgram", "openai", "groq"):
        for speech in ("deepgram", "openai", "groq", "cartesia", "elevenlabs"):
            chosen = ChosenEngines(Wanted(recognition, speech, voice="one", environ=KEYS))
            await chosen.ready()
            made = chosen(Choices(language="zh"), PhraseCommands())
            assert made.free_speech
            assert made.trust_interim == (recognition == "deepgram")
            await chosen.close()


def test_a_whisper_model_is_not_downloaded(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable) as refused:
        ChosenEngines(Wanted(recognition="whisper/small", models=tmp_path))
    assert "faster-whisper" in refused.value.message or str(tmp_path) in refused.value.message
    assert not list(tmp_path.iterdir())


def test_a_package_that_is_missing_is_named_as_it_is_installed() -> None:
    script = (
        "import sys; sys.modules['deepgram'] = None\n"
        "from voice.logs import to_logging; to_logging()\n"
        "from voice.engines.selection import ChosenEngines; from voice.engines.parts import Wanted\n"
        "from state.errors import EngineUnavailable\n"
        "try: ChosenEngines(Wanted(recognition='deepgram', environ={'DEEPGRAM_API_KEY': 'a key'}))\n"
        "except EngineUnavailable as error: print(error.message, error.hint)\n"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert "needs the package deepgram-sdk, which is not installed" in told.stdout
    assert "Install it" in told.stdout


STAND_IN = """
from types import SimpleNamespace

class WhisperModel:
    def __init__(self, directory, *, compute_type, local_files_only):
        assert local_files_only
        if "broken" in directory:
            raise RuntimeError("no such file")

    def transcribe(self, audio, *, language, **how):
        assert str(audio.dtype) == "float32" and abs(audio).max() <= 1
        parts = [SimpleNamespace(text=f" {word}", avg_logprob=-0.1) for word in ("what is", "the status")]
        return iter(parts if abs(audio).max() > 0.1 else []), None
"""


async def test_a_whisper_model_of_ones_own_hears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a stand-in for the package, which is not among those of the project."""
    (tmp_path / "faster_whisper.py").write_text(STAND_IN)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "faster_whisper", raising=False)
    for name in ("small", "broken"):
        (tmp_path / name).mkdir()
        for file in ("model.bin", "config.json", "tokenizer.json"):
            (tmp_path / name / file).touch()
    part = WhisperRecognition(Setup("whisper", "small", "", tmp_path, None, {}, Apart()))
    loud = (np.ones(16_000) * 8_000).astype("<i2").tobytes()
    assert (await part.heard(loud, "en")).text == "what is the status"
    assert await part.heard(bytes(32_000), "en") == Heard("", 0.0)
    broken = WhisperRecognition(Setup("whisper", "broken", "", tmp_path, None, {}, Apart()))
    with pytest.raises(EngineUnavailable, match="can't be loaded"):
        await broken.ready()
    with pytest.raises(EngineUnavailable, match="no whole Whisper model"):
        WhisperRecognition(Setup("whisper", "large", "", tmp_path, None, {}, Apart()))
    monkeypatch.delitem(sys.modules, "faster_whisper")


def test_a_name_that_is_nearly_right_is_suggested() -> None:
    with pytest.raises(EngineUnavailable) as refused:
        ChosenEngines(Wanted(recognition="depgram"))
    assert "deepgram" in refused.value.hint


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://here", "http://", "http://here:port", "wss//here"])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(EngineUnavailable) as refused:
        address(setup(url), "")
    assert "[voice.urls]" in refused.value.hint


def test_addresses_are_spoken_with_as_their_servers_are() -> None:
    assert address(setup(), "wss://maker") == "wss://maker"
    assert address(setup("https://here/v1/"), "") == "https://here/v1"
    assert address(setup("https://here"), "", web_socket=True) == "wss://here"
    assert address(setup("ws://here:1"), "") == "http://here:1"


def test_the_key_of_a_maker_is_never_made_up() -> None:
    with pytest.raises(EngineUnavailable):
        key_of(setup(), MAKER, asked_by_others=False)
    assert key_of(setup("http://here"), MAKER, asked_by_others=False) == NO_KEY
    assert key_of(setup("http://here", OPENAI_API_KEY="mine"), MAKER, asked_by_others=False) == "mine"


@pytest.mark.parametrize(
    ("error", "said", "found"),
    [
        (None, "Error getting audio: HTTP 401: no such key", ErrorCategory.AUTHENTICATION),
        (None, "Error code: 429 - too many", ErrorCategory.RATE_LIMIT),
        (ConnectionRefusedError("no"), "", ErrorCategory.CONNECTIVITY),
        (TimeoutError(), "", ErrorCategory.CONNECTIVITY),
        (ValueError("a bad byte"), "", ErrorCategory.UNKNOWN),
    ],
)
def test_what_went_wrong_is_told_apart(error: Exception | None, said: str, found: ErrorCategory) -> None:
    assert category_of(error, said) == found
    problem = MAKER.problem(error, said)
    assert problem.message.startswith("openai ")
    assert problem.hint


def test_what_a_server_says_is_told_in_part() -> None:
    assert len(MAKER.problem(ValueError("x" * 10_000)).message) < 200


def test_words_are_awaited_only_of_those_who_tell_them() -> None:
    told = Told()
    told.awaited()
    assert told.all
    told.told()
    told.awaited()
    assert not told.all
    told.told()
    told.told()
    assert told.all
    told.awaited()
    assert not told.all
