"""What sherpa-onnx is told to load, by the files that are there, and what is said when they are not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from state.errors import EngineUnavailable
from tests.services.tone_models import network, transducer
from voice.engines.apart import Apart
from voice.engines.onnx_metadata import metadata
from voice.engines.parts import Setup, Wanted
from voice.engines.selection import ChosenEngines
from voice.engines.sherpa_files import Directory, recogniser, spotter
from voice.engines.sherpa_keywords import keyword_lines
from voice.engines.sherpa_listening import SherpaRecognition
from voice.engines.sherpa_models import Held, Recipe
from voice.engines.sherpa_speaking import SherpaSpeaking
from voice.engines.sherpa_voices import espeak_voice, voice
from voice.engines.sherpa_wake import SherpaWakeWords

STREAMING = {"model_type": "zipformer2", "decode_chunk_len": "32"}


def setup(models: Path, model: str = "m") -> Setup:
    return Setup("sherpa-onnx", model, "", models, None, {}, Apart())


def place(models: Path, networks: Mapping[str, Mapping[str, str]], *others: str) -> Directory:
    """A directory with these networks, with what is written in each, and other files."""
    for name, told in networks.items():
        network(models / "m" / name, told)
    for name in others:
        (models / "m" / name).write_text("<blk> 0\n")
    return Directory(setup(models))


def files(recipe: Recipe) -> dict[str, object]:
    """Its settings, without the directory and what is the same for all."""
    return {
        name: ",".join(Path(each).name for each in value.split(",")) if isinstance(value, str) else value
        for name, value in recipe.settings.items()
        if name not in ("tokens", "num_threads")
    }


CHUNKED = "-epoch-99-avg-1-chunk-16-left-128"
TRANSDUCER = {"encoder": f"encoder{CHUNKED}.int8.onnx", "decoder": f"decoder{CHUNKED}.onnx",
              "joiner": f"joiner{CHUNKED}.int8.onnx"}  # fmt: skip


RECOGNISERS: list[tuple[Mapping[str, Mapping[str, str]], str, Mapping[str, object]]] = [
    (
        {name + size: STREAMING for name in (f"encoder{CHUNKED}", f"decoder{CHUNKED}", f"joiner{CHUNKED}")
         for size in (".onnx", ".int8.onnx")},
        "OnlineRecognizer.from_transducer", TRANSDUCER,
    ),
    (
        {name: {"model_type": "zipformer2"} for name in ("encoder.onnx", "decoder.onnx", "joiner.onnx")},
        "OfflineRecognizer.from_transducer",
        {"encoder": "encoder.onnx", "decoder": "decoder.onnx", "joiner": "joiner.onnx", "model_type": "transducer"},
    ),
    (
        {name: {"model_type": "EncDecRNNTBPEModel", "vocab_size": "1024"}
         for name in ("encoder.int8.onnx", "decoder.int8.onnx", "joiner.int8.onnx")},
        "OfflineRecognizer.from_transducer",
        {"encoder": "encoder.int8.onnx", "decoder": "decoder.int8.onnx", "joiner": "joiner.int8.onnx",
         "model_type": "nemo_transducer"},
    ),
    (
        {name: {"model_type": "EncDecHybridRNNTCTCBPEModel", "window_size": "105", "chunk_shift": "96"}
         for name in ("encoder.onnx", "decoder.onnx", "joiner.onnx")},
        "OnlineRecognizer.from_transducer",
        {"encoder": "encoder.onnx", "decoder": "decoder.onnx", "joiner": "joiner.onnx"},
    ),
    (
        {"encoder.int8.onnx": {"model_type": "paraformer", "decoder_num_blocks": "16"}, "decoder.int8.onnx": {}},
        "OnlineRecognizer.from_paraformer", {"encoder": "encoder.int8.onnx", "decoder": "decoder.int8.onnx"},
    ),
    (
        {"tiny.en-encoder.int8.onnx": {"model_type": "whisper-tiny.en"}, "tiny.en-decoder.int8.onnx": {},
         "tiny.en-encoder.onnx": {"model_type": "whisper-tiny.en"}, "tiny.en-decoder.onnx": {}},
        "OfflineRecognizer.from_whisper",
        {"encoder": "tiny.en-encoder.int8.onnx", "decoder": "tiny.en-decoder.int8.onnx", "language": ""},
    ),
    (
        {"preprocess.onnx": {}, "encode.int8.onnx": {}, "uncached_decode.int8.onnx": {},
         "cached_decode.int8.onnx": {}},
        "OfflineRecognizer.from_moonshine",
        {"preprocessor": "preprocess.onnx", "encoder": "encode.int8.onnx",
         "uncached_decoder": "uncached_decode.int8.onnx", "cached_decoder": "cached_decode.int8.onnx"},
    ),
    (
        {"encoder_model.ort": {}, "decoder_model_merged.ort": {}},
        "OfflineRecognizer.from_moonshine_v2",
        {"encoder": "encoder_model.ort", "decoder": "decoder_model_merged.ort"},
    ),
    ({"model.onnx": {"model_type": "zipformer2_ctc", "decode_chunk_len": "32"}},
     "OnlineRecognizer.from_zipformer2_ctc", {"model": "model.onnx"}),
    ({"model.onnx": {"model_type": "zipformer2_ctc"}}, "OfflineRecognizer.from_zipformer_ctc",
     {"model": "model.onnx"}),
    ({"model-streaming.onnx": {"model_type": "wenet_ctc", "right_context": "6"}},
     "OnlineRecognizer.from_wenet_ctc", {"model": "model-streaming.onnx"}),
    ({"model.onnx": {"model_type": "EncDecCTCModelBPE", "window_size": "105"}}, "OnlineRecognizer.from_nemo_ctc",
     {"model": "model.onnx"}),
    ({"model.int8.onnx": {"model_type": "EncDecCTCModelBPE"}}, "OfflineRecognizer.from_nemo_ctc",
     {"model": "model.int8.onnx"}),
    ({"model.int8.onnx": {"model_type": "sense_voice_ctc", "lang_auto": "0", "lfr_window_size": "7"},
      "model.onnx": {}}, "OfflineRecognizer.from_sense_voice", {"model": "model.int8.onnx"}),
    ({"model.int8.onnx": {"model_type": "paraformer", "lfr_window_size": "7"}}, "OfflineRecognizer.from_paraformer",
     {"paraformer": "model.int8.onnx"}),
]  # fmt: skip


@pytest.mark.parametrize(("networks", "maker", "settings"), RECOGNISERS)
def test_what_recognises_is_told_by_its_files(
    tmp_path: Path, networks: Mapping[str, Mapping[str, str]], maker: str, settings: Mapping[str, object]
) -> None:
    recipe = recogniser(place(tmp_path, networks, "tokens.txt"))
    assert (recipe.maker, files(recipe)) == (maker, settings)
    assert recipe.whole == maker.startswith("Offline")


def test_networks_that_belong_together_are_taken(tmp_path: Path) -> None:
    names = [f"{part}-epoch-{epoch}-avg-2.onnx" for part in ("encoder", "decoder", "joiner") for epoch in (12, 99)]
    recipe = spotter(place(tmp_path, {**dict.fromkeys(names, STREAMING), "joiner.int8.onnx": {}}, "tokens.txt"))
    assert set(files(recipe).values()) == {name for name in names if "12" in name}


PIPER = {"model_type": "vits", "comment": "piper", "voice": "en-gb"}


VOICES: list[tuple[Mapping[str, Mapping[str, str]], tuple[str, ...], str, Mapping[str, object], str]] = [
    ({"en_GB-alan-low.onnx": PIPER}, (), "OfflineTts.vits", {"model": "en_GB-alan-low.onnx"}, "en-gb"),
    ({"model.onnx": {"comment": "melo"}, "vocab.onnx": {}}, ("lexicon.txt", "date.fst", "number.fst"),
     "OfflineTts.vits", {"model": "model.onnx", "lexicon": "lexicon.txt", "rule_fsts": "date.fst,number.fst"}, ""),
    ({"model-steps-3.onnx": {"use_espeak": "1", "voice": "en-us"}, "vocos-22khz-univ.onnx": {}}, (),
     "OfflineTts.matcha", {"acoustic_model": "model-steps-3.onnx", "vocoder": "vocos-22khz-univ.onnx"}, "en-us"),
    ({"model.onnx": {"model_type": "kokoro", "has_espeak": "1"}}, ("voices.bin",), "OfflineTts.kokoro",
     {"model": "model.onnx", "voices": "voices.bin"}, "en-us"),
    ({"model.fp16.onnx": {"model_type": "kitten-tts", "has_espeak": "1"}}, ("voices.bin",), "OfflineTts.kitten",
     {"model": "model.fp16.onnx", "voices": "voices.bin"}, "en-us"),
]  # fmt: skip


@pytest.mark.parametrize(("networks", "others", "maker", "settings", "espeak"), VOICES)
def test_what_speaks_is_told_by_its_files(
    tmp_path: Path, networks: Mapping[str, Mapping[str, str]], others: tuple[str, ...], maker: str,
    settings: Mapping[str, object], espeak: str,
) -> None:  # fmt: skip
    recipe = voice(place(tmp_path, networks, "tokens.txt", *others))
    assert (recipe.maker, files(recipe)) == (maker, settings)
    assert espeak_voice(recipe.told) == espeak


async def test_sherpa_onnx_takes_these_settings_and_looks_into_the_files(tmp_path: Path) -> None:
    """What is in them is nothing of use, and that is all that it has to say."""
    recipes = [
        recogniser(place(tmp_path / str(number), networks, "tokens.txt"))
        for number, (networks, *_) in enumerate(RECOGNISERS)
    ]
    recipes += [
        voice(
            place(
                tmp_path / f"voice-{number}", networks, "tokens.txt", *(each for each in others if ".fst" not in each)
            )
        )
        for number, (networks, others, *_) in enumerate(VOICES)
    ]
    for recipe in recipes:
        held: Held[object] = Held(recipe)
        with pytest.raises(EngineUnavailable, match="can't use the model in ") as caught:
            await held.load()
        assert not any(word in caught.value.message for word in ("argument", "attribute", "incompatible")), recipe
        held.close()


@pytest.mark.parametrize("part", [SherpaWakeWords, SherpaRecognition, SherpaSpeaking])
def test_a_directory_that_is_missing_or_has_no_model(tmp_path: Path, part: Callable[[Setup], object]) -> None:
    with pytest.raises(EngineUnavailable, match="none is named") as caught:
        part(setup(tmp_path, ""))
    assert str(tmp_path) in caught.value.hint
    with pytest.raises(EngineUnavailable, match=f"no directory {tmp_path / 'm'}") as caught:
        part(setup(tmp_path))
    assert "atlas voice models" in caught.value.hint
    (tmp_path / "m").mkdir()
    with pytest.raises(EngineUnavailable, match=rf"in {tmp_path / 'm'}"):
        part(setup(tmp_path))


@pytest.mark.parametrize("file", ["encoder.onnx", "decoder.onnx", "joiner.onnx", "tokens.txt"])
def test_a_file_that_is_missing_is_named(tmp_path: Path, file: str) -> None:
    (transducer(tmp_path / "m") / file).unlink()
    with pytest.raises(EngineUnavailable, match=file.replace(".onnx", r"\*\.onnx")) as caught:
        SherpaWakeWords(setup(tmp_path))
    assert "Download it again" in caught.value.hint


def test_a_model_of_another_kind_is_no_recogniser(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="none that can be used here"):
        recogniser(place(tmp_path, {"model.onnx": {"model_type": "vits"}}, "tokens.txt"))
    with pytest.raises(EngineUnavailable, match=r"one model of a voice, and has a\.onnx, b\.onnx"):
        voice(place(tmp_path / "two", {"a.onnx": {}, "b.onnx": {}}, "tokens.txt"))


def test_it_is_one_of_the_engines(tmp_path: Path) -> None:
    none = "sherpa-onnx/none"
    for kind, wanted in {
        "recognition": Wanted(none, models=tmp_path),
        "speech": Wanted(speech=none, models=tmp_path),
        "wake_word": Wanted(wake_word=none, models=tmp_path),
    }.items():
        with pytest.raises(EngineUnavailable, match=rf"\[voice\] {kind}: sherpa-onnx/none: there is no directory"):
            ChosenEngines(wanted)


def test_what_the_maker_wrote_is_read_without_the_model(tmp_path: Path) -> None:
    told = {"model_type": "lstm", "comment": "è " * 200, "empty": ""}
    network(tmp_path / "model.onnx", told)
    assert metadata(tmp_path / "model.onnx") == told
    whole = (tmp_path / "model.onnx").read_bytes()
    for size in range(len(whole) - 1):
        (tmp_path / "part.onnx").write_bytes(whole[:size])
        try:
            found = metadata(tmp_path / "part.onnx")
        except ValueError:
            continue
        assert found.items() <= told.items()


@pytest.mark.parametrize(
    "junk", [b"", b"hello there", b"\xff" * 40, b"\x72\x02\x0a", b"\x3a" + b"\xfe" * 9 + b"\1", bytes(range(256))]
)
def test_what_is_no_model_is_none(tmp_path: Path, junk: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(junk)
    with pytest.raises(ValueError, match="no ONNX model"):
        metadata(tmp_path / "model.onnx")


def tokens(place: Path, *pieces: str) -> Path:
    (place / "tokens.txt").write_text("".join(f"{piece} {at}\n" for at, piece in enumerate(pieces)), encoding="utf-8")
    return place / "tokens.txt"


def test_the_wake_word_in_pieces_that_the_model_has(tmp_path: Path) -> None:
    assert keyword_lines(tokens(tmp_path, "<blk>", "▁A", "T", "LA", "S")) == ["▁A T LA S @ATLAS"]
    assert keyword_lines(tokens(tmp_path, "<blk>", "▁at", "las", "▁AT")) == ["▁at las @ATLAS"]
    assert keyword_lines(tokens(tmp_path, "<blk>", "▁Atlas", "S")) == ["▁Atlas @ATLAS"]
    lines = keyword_lines(tokens(tmp_path, "<blk>", "S", "T", "▁A", "A", "LA", "L", "AS", "▁AT", "LAS", "▁"))
    assert len(lines) == 4
    assert lines[0] == "▁AT LAS @ATLAS"


@pytest.mark.parametrize("pieces", [("AE1", "T", "L", "AH0", "S"), ("ā", "t", "l", "a", "s"), ("▁at", "la"), ()])
def test_a_model_of_phones_or_syllables_spells_nothing(tmp_path: Path, pieces: tuple[str, ...]) -> None:
    assert keyword_lines(tokens(tmp_path, *pieces)) == []
