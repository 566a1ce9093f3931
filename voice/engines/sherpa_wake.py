"""The wake word by sherpa-onnx: a small streaming model that knows the pieces of words."""

from __future__ import annotations

import tempfile
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

from state.errors import EngineUnavailable
from voice.engines.parts import Setup
from voice.engines.sherpa_files import Directory, spotter
from voice.engines.sherpa_keywords import WORD, keyword_lines
from voice.engines.sherpa_models import RATE, REMEDY, Held, Listener, OnlineStream, samples
from voice.phrase_commands import PhraseCommands
from voice.wake_gate import Spotter

_BEHIND_SECONDS = 5.0
"""More than that is not caught up with: who spoke so long ago has waited long enough."""


class SherpaWakeWords:
    """See `WakeWords`. What the directory's ``keywords.txt`` has, or "Atlas"."""

    def __init__(self, setup: Setup) -> None:
        recipe = spotter(Directory(setup))
        self._lines: list[str] = []
        if "keywords_file" not in recipe.settings:
            self._lines = keyword_lines(recipe.tokens)
            if not self._lines:
                raise EngineUnavailable(
                    f"the model in {recipe.place} does not know words by their letters (but by phones, or syllables), "
                    f'and there is no keywords.txt that says how "{WORD}" sounds',
                    f"Write {recipe.place}/keywords.txt, a line with its pieces as they are in tokens.txt, and "
                    f"@{WORD.upper()} at the end.",
                )
        self.held: Held[Listener] = Held(recipe)

    def spotter(self) -> Spotter:
        """For one conversation."""
        return _Spotter(self.held)

    def second(self, commands: PhraseCommands) -> None:
        """See `WakeWords`."""
        del commands

    async def ready(self) -> None:
        """See `Part`."""
        if not self._lines:
            await self.held.load()
            return
        with tempfile.TemporaryDirectory(prefix="atlas-wake-") as place:
            keywords = Path(place) / "keywords.txt"
            keywords.write_text("\n".join(self._lines) + "\n", encoding="utf-8")
            settings = {**self.held.recipe.settings, "keywords_file": str(keywords)}
            self.held.recipe = replace(self.held.recipe, settings=settings)
            await self.held.load()

    async def close(self) -> None:
        """See `Part`."""
        self.held.close()


class _Spotter:
    """Listens in a thread: a third of a second of sound is worked at at once, for longer than others may wait. So what
    was said is told with a later piece of audio."""

    def __init__(self, held: Held[Listener]) -> None:
        self._held = held
        self._waiting = bytearray()
        self._stream: OnlineStream | None = None
        self._work: Future[bool] | None = None
        self._forgotten = False
        self._problem: EngineUnavailable | None = None

    def feed(self, audio: bytes) -> bytes | None:
        """See `Spotter`. The model alone judges: nothing more is needed."""
        self._waiting.extend(audio)
        del self._waiting[: -int(_BEHIND_SECONDS * RATE) * 2]
        if self._problem is not None or (self._work is not None and not self._work.done()):
            return None
        found = self._found()
        if self._forgotten:
            self._stream, self._forgotten = None, False
        if self._waiting and self._problem is None:
            heard, self._waiting = bytes(self._waiting), bytearray()
            try:
                self._work = self._held.begin(lambda: self._listen(heard))
            except EngineUnavailable as error:
                self._problem = error
        return b"" if found or self._problem is not None else None

    async def is_it(self, audio: bytes) -> bool:
        """See `Spotter`."""
        del audio
        if self._problem is not None:
            raise self._problem
        return True

    def reset(self) -> None:
        """See `Spotter`."""
        self._waiting.clear()
        self._forgotten, self._problem = True, None

    def _found(self) -> bool:
        work, self._work = self._work, None
        if work is None:
            return False
        try:
            return work.result() and not self._forgotten
        except EngineUnavailable as error:
            self._problem = error
        except (RuntimeError, ValueError) as error:
            self._problem = EngineUnavailable(f"sherpa-onnx can't listen for the wake word: {error}", REMEDY)
        return False

    def _listen(self, audio: bytes) -> bool:
        """In a thread, one piece at a time."""
        model = self._held.model
        stream = self._stream or model.create_stream()
        stream.accept_waveform(RATE, samples(audio))
        found = False
        while model.is_ready(stream):
            model.decode_stream(stream)
            if model.get_result(stream):
                found, stream = True, model.create_stream()
        self._stream = stream
        return found
