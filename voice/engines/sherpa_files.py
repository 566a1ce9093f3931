"""Which model of sherpa-onnx is in a directory, told by its files and by what their makers wrote into them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path

from state.errors import EngineUnavailable
from voice.engines.onnx_metadata import metadata
from voice.engines.parts import Setup
from voice.engines.sherpa_models import PACKAGE, REMEDY, Recipe, cores

_LIST = "`atlas voice models` lists what can be downloaded."
_EXPORTS = (".onnx", ".ort")
_STREAMS = ("decode_chunk_len", "window_size", "streaming_model_type")
"""What the makers of models write only into those that hear while somebody speaks."""


class Directory:
    """Of one model. `EngineUnavailable`: the package, the model's name or the directory is missing."""

    def __init__(self, setup: Setup) -> None:
        if find_spec(PACKAGE) is None:
            raise ModuleNotFoundError("no sherpa-onnx", name="sherpa-onnx")
        if not setup.model:
            raise EngineUnavailable(
                f"{setup.engine} needs a model, and none is named",
                f'Write "{setup.engine}/NAME", NAME being a directory in {setup.models}; {_LIST}',
            )
        self.place = setup.models / setup.model
        if not self.place.is_dir():
            raise EngineUnavailable(f"{setup.engine}/{setup.model}: there is no directory {self.place}", _LIST)
        self._names = sorted(each.name for each in self.place.iterdir())

    def find(self, *words: str, small: bool = True, like: str = "") -> Path | None:
        """An exported network that has one of the words in its name. `small`: rather its int8 version; `like`: rather
        one whose name goes on like this one's, after such a word."""
        found = [name for name in self._names if name.endswith(_EXPORTS) and any(word in name for word in words)]
        ending = _ending(like)
        found.sort(key=lambda name: (bool(ending) and _ending(name) != ending, (".int8" in name) != small))
        return self.place / found[0] if found else None

    def have(self, name: str) -> Path | None:
        """A file or directory of this name, or one whose name ends so, after a hyphen."""
        found = [each for each in self._names if each == name or each.endswith(f"-{name}")]
        return self.place / min(found, key=len) if found else None

    def all(self, *, begins: str = "", ends: str = "") -> list[str]:
        """Paths of the files that are called so."""
        return [str(self.place / each) for each in self._names if each.startswith(begins) and each.endswith(ends)]

    def needed(self, found: Path | None, what: str) -> str:
        """The path. `EngineUnavailable`: it was not found."""
        if found is None:
            raise EngineUnavailable(f"there is no {what} in {self.place}", REMEDY)
        return str(found)

    def told(self, network: Path) -> dict[str, str]:
        """What its maker wrote into it. `EngineUnavailable`: it can't be read."""
        try:
            return metadata(network) if network.suffix == ".onnx" else {}
        except (ValueError, OSError) as error:
            raise EngineUnavailable(f"{network} can't be used: {error}", REMEDY) from error

    def recipe(self, maker: str, settings: Mapping[str, str | int], told: Mapping[str, str] | None = None) -> Recipe:
        """To load it by."""
        return Recipe(maker, str(self.place), settings, told or {})


def _ending(name: str) -> str:
    """What names of networks that belong together have in common: ``-epoch-99-avg-1`` of ``encoder-epoch-99-avg-1``."""
    for word in ("encoder", "decoder", "joiner"):
        if word in name:
            return name.partition(word)[2].replace(".int8", "")
    return ""


def spotter(place: Directory) -> Recipe:
    """Of wake words: a streaming transducer. Without its ``keywords_file``, if the directory has none."""
    files = _transducer(place)
    settings: dict[str, str | int] = {**files, "num_threads": 1}
    if (keywords := place.have("keywords.txt")) is not None:
        settings["keywords_file"] = str(keywords)
    return place.recipe("KeywordSpotter", settings)


def recogniser(place: Directory) -> Recipe:
    """Of words, while they are spoken or afterwards, as the model can."""
    tokens = place.needed(place.have("tokens.txt"), "tokens.txt")
    for kind in (_with_joiner, _moonshine, _with_decoder, _alone):
        if (found := kind(place)) is not None:
            maker, settings = found
            threads = cores() if maker.startswith("OfflineRecognizer") else 1
            return place.recipe(maker, {**settings, "tokens": tokens, "num_threads": threads})
    raise _unknown(place, "an encoder with a decoder, or a model*.onnx")


_Kind = tuple[str, dict[str, str | int]] | None


def _transducer(place: Directory) -> dict[str, str]:
    encoder = place.needed(place.find("encoder"), "encoder*.onnx")
    name = Path(encoder).name
    return {
        "encoder": encoder,
        "decoder": place.needed(place.find("decoder", small=False, like=name), "decoder*.onnx"),
        "joiner": place.needed(place.find("joiner", like=name), "joiner*.onnx"),
        "tokens": place.needed(place.have("tokens.txt"), "tokens.txt"),
    }


def _with_joiner(place: Directory) -> _Kind:
    if place.find("joiner") is None:
        return None
    files: dict[str, str | int] = {**_transducer(place)}
    told = place.told(Path(str(files["encoder"])))
    if _any(told, _STREAMS):
        return "OnlineRecognizer.from_transducer", files
    nemo = told.get("model_type", "").startswith("EncDec")
    return "OfflineRecognizer.from_transducer", {**files, "model_type": "nemo_transducer" if nemo else "transducer"}


def _moonshine(place: Directory) -> _Kind:
    preprocessor = place.find("preprocess")
    merged = place.find("decoder_model_merged")
    if preprocessor is not None:
        return "OfflineRecognizer.from_moonshine", {
            "preprocessor": str(preprocessor),
            "encoder": place.needed(place.find("encode."), "encode*.onnx"),
            "uncached_decoder": place.needed(place.find("uncached_decode"), "uncached_decode*.onnx"),
            "cached_decoder": place.needed(_not_uncached(place), "cached_decode*.onnx"),
        }
    if merged is not None:
        encoder = place.needed(place.find("encoder_model"), "encoder_model.ort")
        return "OfflineRecognizer.from_moonshine_v2", {"encoder": encoder, "decoder": str(merged)}
    return None


def _not_uncached(place: Directory) -> Path | None:
    found = [Path(each) for each in place.all(begins="cached_decode", ends=".onnx")]
    return min(found, key=lambda each: ".int8" not in each.name) if found else None


def _with_decoder(place: Directory) -> _Kind:
    encoder = place.find("encoder")
    if encoder is None:
        return None
    decoder = place.needed(place.find("decoder", like=encoder.name), "decoder*.onnx")
    told = place.told(encoder)
    files: dict[str, str | int] = {"encoder": str(encoder), "decoder": decoder}
    if told.get("model_type", "").startswith("whisper"):
        return "OfflineRecognizer.from_whisper", {**files, "language": ""}
    if "decoder_num_blocks" in told or told.get("model_type") == "paraformer":
        return "OnlineRecognizer.from_paraformer", files
    raise _unknown(place, "a transducer, Paraformer, Whisper or Moonshine")


def _alone(place: Directory) -> _Kind:
    network = place.find("model")
    if network is None:
        return None
    told = place.told(network)
    streams = _any(told, _STREAMS)
    file: dict[str, str | int] = {"model": str(network)}
    match told.get("model_type", ""):
        case "zipformer2_ctc":
            return f"{_recognizer(streams)}.{'from_zipformer2_ctc' if streams else 'from_zipformer_ctc'}", file
        case "wenet_ctc":
            return f"{_recognizer('right_context' in told)}.from_wenet_ctc", file
        case kind if kind.startswith("EncDec"):
            return f"{_recognizer(streams)}.from_nemo_ctc", file
        case _ if "lang_auto" in told:
            return "OfflineRecognizer.from_sense_voice", file
        case _ if "lfr_window_size" in told:
            return "OfflineRecognizer.from_paraformer", {"paraformer": str(network)}
        case _ if "frame_length_ms" in told and "state_dim" in told:
            return "OnlineRecognizer.from_t_one_ctc", file
        case _:
            raise _unknown(place, "CTC of Zipformer, WeNet or NeMo, Paraformer, SenseVoice or T-one")


def _recognizer(streams: bool) -> str:
    return "OnlineRecognizer" if streams else "OfflineRecognizer"


def _any(told: Mapping[str, str], names: Iterable[str]) -> bool:
    return any(name in told for name in names)


def _unknown(place: Directory, wanted: str) -> EngineUnavailable:
    return EngineUnavailable(
        f"the model in {place.place} is none that can be used here: {wanted} would be", f"Choose another: {_LIST}"
    )
