"""Models of sherpa-onnx: what it is told to load, tried in a process of its own, and loaded.

With a file that it does not like, sherpa-onnx ends the process (`_Exit`), or crashes. So a model is loaded twice: first
by a child (``python -m voice.engines.sherpa_models RECIPE``), which uses it once and may die of it, then here.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from state.errors import EngineUnavailable

RATE = 16_000
PACKAGE = "sherpa_onnx"
REMEDY = "Download it again, or choose another: `atlas voice models` lists what there is."
_LOAD_SECONDS = 300.0
_PLACE = re.compile(r"^\S+:\d+\s?")
"""Where in its sources sherpa-onnx says something."""
_CAUGHT = "Caught exception:"
"""What it says when a network failed, and it goes on as if nothing had been heard."""

Model = TypeVar("Model")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Recipe:
    """`maker`: what of the package makes it, as ``OnlineRecognizer.from_transducer``; `settings`: its arguments, files
    and numbers. `place`: the directory, for messages. `told`: what the makers wrote about it, as far as it is needed
    here."""

    maker: str
    place: str
    settings: Mapping[str, str | int]
    told: Mapping[str, str]

    @property
    def whole(self) -> bool:
        """Whether it recognises whole utterances only."""
        return self.maker.startswith("OfflineRecognizer")

    @property
    def tokens(self) -> Path:
        """The file with the pieces of words that it knows."""
        return Path(str(self.settings["tokens"]))


class Samples(Protocol):
    """A stream of sherpa-onnx: samples of -1 to 1 go in."""

    def accept_waveform(self, sample_rate: float, waveform: NDArray[np.float32]) -> None: ...


class OnlineStream(Samples, Protocol):
    def input_finished(self) -> None: ...


class Listener(Protocol):
    """`OnlineRecognizer` and `KeywordSpotter`. They let other threads run while they work; a stream is used by one
    thread at a time."""

    def create_stream(self) -> OnlineStream: ...
    def is_ready(self, s: OnlineStream) -> bool: ...
    def decode_stream(self, s: OnlineStream) -> None: ...
    def get_result(self, s: OnlineStream) -> str: ...


class Said(Protocol):
    text: str


class OfflineStream(Samples, Protocol):
    @property
    def result(self) -> Said: ...


class Whole(Protocol):
    """`OfflineRecognizer`."""

    def create_stream(self) -> OfflineStream: ...
    def decode_stream(self, s: OfflineStream) -> None: ...


class Made(Protocol):
    """`samples`: of -1 to 1."""

    samples: Sequence[float]
    sample_rate: int


class Manner(Protocol):
    """`GenerationConfig`. `phoneme_codepoints`: of each sentence, instead of its text."""

    sid: int
    phoneme_codepoints: list[list[int]]


class Voice(Protocol):
    """`OfflineTts`. The callback is given each sentence's samples, and returns 0 for no more (1: go on)."""

    sample_rate: int
    num_speakers: int

    def generate(self, text: str, config: Manner, callback: Callable[[NDArray[np.float32], float], int]) -> Made: ...


def samples(audio: bytes) -> NDArray[np.float32]:
    """Of 16-bit PCM, as sherpa-onnx wants them."""
    return np.frombuffer(audio[: len(audio) // 2 * 2], dtype="<i2").astype(np.float32) / np.float32(32_768)


def cores() -> int:
    """For what is waited for. Half of all: the others have to move audio meanwhile, and threads of the runtime spin."""
    return min(4, max(1, (os.cpu_count() or 1) // 2))


def made(recipe: Recipe) -> object:
    """The model. Whatever sherpa-onnx raises; see the module for what else it may do."""
    package = importlib.import_module(PACKAGE)
    kind, _, way = recipe.maker.partition(".")
    if kind != "OfflineTts":
        maker = getattr(package, kind)
        return (getattr(maker, way) if way else maker)(**recipe.settings)
    settings = dict(recipe.settings)
    threads, rules = settings.pop("num_threads"), str(settings.pop("rule_fsts", ""))
    files = getattr(package, f"OfflineTts{way.capitalize()}ModelConfig")(**settings)
    models = package.OfflineTtsModelConfig(**{way: files}, num_threads=threads)
    return package.OfflineTts(package.OfflineTtsConfig(model=models, rule_fsts=rules, max_num_sentences=1))


def manner(speaker: int, phonemes: str) -> Manner:
    """How a sentence is to be said. `phonemes`, when there are any, are what is said."""
    config: Manner = importlib.import_module(PACKAGE).GenerationConfig()
    config.sid = speaker
    if phonemes:
        config.phoneme_codepoints = [[ord(each) for each in phonemes]]
    return config


class Held(Generic[Model]):
    """A model for all conversations of a process, and the threads that work with it."""

    def __init__(self, recipe: Recipe, *, threads: int = 1) -> None:
        self.recipe = recipe
        self._model: Model | None = None
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="sherpa-onnx")
        self._loading = asyncio.Lock()

    @property
    def model(self) -> Model:
        """`EngineUnavailable`: not loaded yet."""
        if self._model is None:
            raise EngineUnavailable(f"the model in {self.recipe.place} is not loaded", "Wait until it is ready.")
        return self._model

    async def load(self) -> None:
        """Once. `EngineUnavailable`: sherpa-onnx does not like it."""
        async with self._loading:
            if self._model is None:
                await _tried(self.recipe)
                try:
                    self._model = cast(Model, await self.run(lambda: made(self.recipe)))
                except (RuntimeError, ValueError, TypeError) as error:
                    raise _refused(self.recipe, str(error)) from error

    async def run(self, work: Callable[[], Result]) -> Result:
        """In one of the threads. Who no longer waits for it leaves it to end by itself. `EngineUnavailable`: closed."""
        return await asyncio.wrap_future(self.begin(work))

    def begin(self, work: Callable[[], Result]) -> Future[Result]:
        """The same, for who looks later."""
        try:
            return self._executor.submit(work)
        except RuntimeError as error:
            raise EngineUnavailable("sherpa-onnx is closed", "Begin another conversation.") from error

    def close(self) -> None:
        """No new work; what is under way ends by itself."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._model = None


async def _tried(recipe: Recipe) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "voice.engines.sherpa_models", json.dumps(asdict(recipe)),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        _, said = await asyncio.wait_for(child.communicate(), _LOAD_SECONDS)
    except TimeoutError:
        raise _refused(recipe, f"not loaded after {_LOAD_SECONDS:g} s") from None
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
            await child.wait()
    told = [line for each in said.decode(errors="replace").splitlines() if (line := _PLACE.sub("", each).strip())]
    lines = [line for line in told if line != _CAUGHT]
    if child.returncode or len(lines) < len(told):
        raise _refused(recipe, lines[0][:300] if lines else f"the process that tried it ended with {child.returncode}")


def _refused(recipe: Recipe, why: str) -> EngineUnavailable:
    return EngineUnavailable(f"sherpa-onnx can't use the model in {recipe.place}: {why}", REMEDY)


def _use(recipe: Recipe) -> None:
    """Load it and have it work once, on a second of hiss or a short sound: that, too, may be the end."""
    model = made(recipe)
    hiss = samples(np.random.default_rng(7).integers(-9, 10, RATE).astype("<i2").tobytes())
    if recipe.maker.startswith("OfflineTts"):
        if "lexicon" not in recipe.settings:
            cast(Voice, model).generate("", manner(0, "a"), lambda _samples, _part: 1)
    elif recipe.whole:
        whole = cast(Whole, model)
        utterance = whole.create_stream()
        utterance.accept_waveform(RATE, hiss)
        whole.decode_stream(utterance)
    else:
        listener = cast(Listener, model)
        stream = listener.create_stream()
        stream.accept_waveform(RATE, hiss)
        while listener.is_ready(stream):
            listener.decode_stream(stream)
        listener.get_result(stream)


def main(recipe: str) -> int:
    """Of the child. 0: it can be used."""
    try:
        _use(Recipe(**json.loads(recipe)))
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1])
    sys.stderr.flush()
    os._exit(code)  # the runtime's threads need not be waited for
