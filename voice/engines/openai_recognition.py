"""Recognition by OpenAI, by Groq, and by servers of one's own that speak like OpenAI's Audio API: a request for each
utterance."""

from __future__ import annotations

import asyncio
import io
import math
import wave
from typing import Protocol, cast

from openai import DefaultAsyncHttpxClient
from openai.types.audio import Transcription
from pipecat.services.openai.stt import OpenAISTTService
from pipecat.transcriptions.language import Language as Spoken

from state.errors import EngineUnavailable
from voice.engines.commands import LONGEST_OF_WORDS_SECONDS, CommandSTT
from voice.engines.heard import Heard
from voice.engines.makers import Maker, address, key_of
from voice.engines.openai_speech import GROQ, GROQ_URL, OPENAI, OPENAI_URL
from voice.engines.parts import Setup
from voice.intents import Language
from voice.microphone import RATE
from voice.phrase_commands import PhraseCommands

_ANSWER_SECONDS = 4.0
"""After which an utterance is not waited for: whoever spoke would say it again."""
_NOBODY_SPOKE = 0.6
_UNLIKELY = -1.0
"""What is above the one and below the other is no speech, by the makers of Whisper."""
_SPOKEN: dict[Language, Spoken] = {"en": Spoken.EN, "zh": Spoken.ZH}


class Transcribing(Protocol):
    """A service that is asked for whole utterances."""

    async def transcribed(self, sound: bytes) -> Transcription:
        """Of a WAV file."""
        ...


class _Service(OpenAISTTService):
    """Pipecat's, out of a pipeline: `CommandSTT` finds the utterances. Groq speaks the same."""

    def __init__(
        self, key: str, url: str, client: DefaultAsyncHttpxClient, settings: OpenAISTTService.Settings
    ) -> None:
        whisper = str(settings.model).startswith("whisper")  # which says how sure it is
        super().__init__(api_key=key, base_url=url, http_client=client, settings=settings, include_prob_metrics=whisper)
        self._client = self._client.with_options(max_retries=0)  # whoever has spoken does not wait for a second try

    async def transcribed(self, sound: bytes) -> Transcription:
        """See `Transcribing`."""
        return await self._transcribe(sound)


class OpenAIRecognition:
    """See `Recognition`."""

    free_speech = True
    trust_interim = False
    maker = OPENAI
    url = OPENAI_URL
    model = "gpt-transcribe"

    def __init__(self, setup: Setup) -> None:
        self._key = key_of(setup, self.maker, asked_by_others=False)
        self._url = address(setup, self.url)
        self._model = setup.model or self.model
        self._client: DefaultAsyncHttpxClient | None = None

    def service(self, language: Language, commands: PhraseCommands) -> CommandSTT:
        """For one conversation. No utterance is asked for before it is over: each is paid for."""
        self._client = self._client or DefaultAsyncHttpxClient(timeout=_ANSWER_SECONDS)
        settings = OpenAISTTService.Settings(model=self._model, language=_SPOKEN[language])
        if self._model.startswith("gpt-transcribe"):
            settings.keywords = ["Atlas", *commands.plans]
        asked = _Service(self._key, self._url, self._client, settings)
        return CommandSTT(
            Transcriber(self.maker, asked), early=False, longest=LONGEST_OF_WORDS_SECONDS, seconds=_ANSWER_SECONDS
        )

    async def ready(self) -> None:
        """See `Part`."""

    async def close(self) -> None:
        """See `Part`."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


class GroqRecognition(OpenAIRecognition):
    """See `Recognition`."""

    maker = GROQ
    url = GROQ_URL
    model = "whisper-large-v3-turbo"


class Transcriber:
    """`Recogniser` by such a service."""

    def __init__(self, maker: Maker, asked: Transcribing) -> None:
        self._maker = maker
        self._asked = asked

    async def hear(self, audio: bytes) -> Heard:
        """See `Recogniser`."""
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                reply = await self._asked.transcribed(_wav(audio))
        except TimeoutError as error:
            raise EngineUnavailable(
                f"{self._maker.engine} does not answer within {_ANSWER_SECONDS:g} s", "Say it again."
            ) from error
        except Exception as error:  # of the library, or of the one beneath it
            raise self._maker.problem(error) from error
        text: object = getattr(reply, "text", None)  # whatever is no JSON comes as it is
        if not isinstance(text, str):
            raise EngineUnavailable(f"{self._maker.engine} answers with something else than words", "Check its URL.")
        sure = _sureness(reply)
        return Heard(text.strip(), sure) if sure > 0 else Heard("", 0.0)


def _sureness(reply: Transcription) -> float:
    """0 to 1, as Whisper says of the part it is least sure of; 1 where nothing is said of it."""
    sure = 1.0
    parts: object = getattr(reply, "segments", None)
    for part in cast("list[object]", parts) if isinstance(parts, list) else []:
        likely, nobody = _number(part, "avg_logprob"), _number(part, "no_speech_prob")
        if likely is not None:
            silent = nobody is not None and nobody > _NOBODY_SPOKE and likely < _UNLIKELY
            sure = min(sure, 0.0 if silent else math.exp(min(0.0, likely)))
    return sure


def _number(part: object, name: str) -> float | None:
    """Segments are plain dictionaries where the library does not know of them."""
    found: object = cast("dict[str, object]", part).get(name) if isinstance(part, dict) else getattr(part, name, None)
    return float(found) if isinstance(found, int | float) else None


def _wav(audio: bytes) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as made:
        made.setnchannels(1)
        made.setsampwidth(2)
        made.setframerate(RATE)
        made.writeframes(audio)
    return file.getvalue()
