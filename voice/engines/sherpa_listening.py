"""Recognition by sherpa-onnx: while somebody speaks, or of whole utterances, as the model can."""

from __future__ import annotations

from pipecat.processors.frame_processor import FrameProcessor

from state.errors import EngineUnavailable
from voice.engines.commands import CommandSTT
from voice.engines.heard import Heard
from voice.engines.parts import Setup
from voice.engines.sherpa_files import Directory, recogniser
from voice.engines.sherpa_models import RATE, REMEDY, Held, Listener, Recipe, Whole, samples
from voice.engines.streaming import LONGEST_SECONDS, StreamingSTT
from voice.intents import Language
from voice.phrase_commands import PhraseCommands

_SILENCE = bytes(int(0.66 * RATE) * 2)
"""After an utterance: a model tells of a moment when it has heard what comes after it."""
_THREADS = 2


class SherpaRecognition:
    """See `Recognition`."""

    free_speech = True

    def __init__(self, setup: Setup) -> None:
        recipe = recogniser(Directory(setup))
        self._lower = _capitals(recipe)
        self._whole: Held[Whole] | None = Held(recipe, threads=_THREADS) if recipe.whole else None
        self._held: Held[Listener] | None = None if recipe.whole else Held(recipe, threads=_THREADS)

    @property
    def trust_interim(self) -> bool:
        """See `Recognition`."""
        return self._held is not None

    def service(self, language: Language, commands: PhraseCommands) -> FrameProcessor:
        """For one conversation. The model hears its own languages, and whatever is said."""
        del language, commands
        if self._whole is not None:
            return CommandSTT(_Recogniser(self._whole, lower=self._lower), early=False, longest=LONGEST_SECONDS)
        held = self._held
        if held is None:
            raise RuntimeError("made without a model")
        return StreamingSTT(lambda: _Utterance(held.model, lower=self._lower), held.run)

    async def ready(self) -> None:
        """See `Part`."""
        for held in (self._whole, self._held):
            if held is not None:
                await held.load()

    async def close(self) -> None:
        """See `Part`."""
        for held in (self._whole, self._held):
            if held is not None:
                held.close()


def _capitals(recipe: Recipe) -> bool:
    """Whether the model writes no small letters."""
    try:
        pieces = recipe.tokens.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise EngineUnavailable(f"{recipe.tokens} can't be read: {error}", REMEDY) from error
    return not any(letter.islower() for piece in pieces if not piece.startswith("<") for letter in piece)


class _Utterance:
    """See `voice.engines.streaming`. sherpa-onnx says of few models how sure they are, and not of words: they count as
    sure."""

    def __init__(self, model: Listener, *, lower: bool) -> None:
        self._model = model
        self._lower = lower
        try:
            self._stream = model.create_stream()
        except RuntimeError as error:
            raise _broken(error) from error

    def feed(self, audio: bytes) -> str:
        """See `Utterance`."""
        try:
            self._stream.accept_waveform(RATE, samples(audio))
            return self._decoded()
        except (RuntimeError, ValueError) as error:
            raise _broken(error) from error

    def end(self) -> Heard:
        """See `Utterance`."""
        try:
            self._stream.accept_waveform(RATE, samples(_SILENCE))
            self._stream.input_finished()
            return Heard(self._decoded())
        except (RuntimeError, ValueError) as error:
            raise _broken(error) from error

    def _decoded(self) -> str:
        while self._model.is_ready(self._stream):
            self._model.decode_stream(self._stream)
        return _written(self._model.get_result(self._stream), lower=self._lower)


class _Recogniser:
    """See `voice.engines.commands`."""

    def __init__(self, held: Held[Whole], *, lower: bool) -> None:
        self._held = held
        self._lower = lower

    async def hear(self, audio: bytes) -> Heard:
        """See `Recogniser`."""
        return await self._held.run(lambda: self._heard(audio))

    def _heard(self, audio: bytes) -> Heard:
        model = self._held.model
        try:
            stream = model.create_stream()
            stream.accept_waveform(RATE, samples(audio))
            model.decode_stream(stream)
            return Heard(_written(stream.result.text, lower=self._lower))
        except (RuntimeError, ValueError) as error:
            raise _broken(error) from error


def _written(text: str, *, lower: bool) -> str:
    text = text.strip()
    return text.lower() if lower else text


def _broken(error: Exception) -> EngineUnavailable:
    return EngineUnavailable(f"sherpa-onnx can't recognise what was said: {error}", REMEDY)
