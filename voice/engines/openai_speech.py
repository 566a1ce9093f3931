"""Speech by OpenAI, by Groq, and by servers of one's own that speak like OpenAI's Audio API."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Literal

from openai import DefaultAsyncHttpxClient
from pipecat.frames.frames import ErrorFrame, Frame
from pipecat.services.openai.tts import OpenAITTSService

from voice.engines.makers import Maker, address, key_of
from voice.engines.parts import Setup
from voice.engines.troubled import SILENT_SECONDS, TroubledSpeech
from voice.intents import Language

OPENAI = Maker("openai", "OPENAI_API_KEY")
GROQ = Maker("groq", "GROQ_API_KEY")
OPENAI_URL = "https://api.openai.com/v1"
GROQ_URL = "https://api.groq.com/openai/v1"
_RATE = 24_000
"""Hz of OpenAI's ``pcm``, which has no header that says so."""
_PIECE_BYTES = 4_096


class OpenAISpeaking:
    """See `Speaking`."""

    maker = OPENAI
    url = OPENAI_URL
    model = "gpt-4o-mini-tts"
    voice = "alloy"
    form: Literal["pcm", "wav"] = "pcm"

    def __init__(self, setup: Setup) -> None:
        self._key = key_of(setup, self.maker, asked_by_others=False)
        self._url = address(setup, self.url)
        self._settings = OpenAITTSService.Settings(model=setup.model or self.model, voice=setup.voice or self.voice)
        self._client: DefaultAsyncHttpxClient | None = None

    def service(self, language: Language) -> HttpSpeech:
        """For one conversation. The language is found in the text."""
        del language
        self._client = self._client or DefaultAsyncHttpxClient(timeout=SILENT_SECONDS - 1)
        return HttpSpeech(self.maker, self._key, self._url, self._client, self._settings, self.form)

    async def ready(self) -> None:
        """See `Part`."""

    async def close(self) -> None:
        """See `Part`."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()


class GroqSpeaking(OpenAISpeaking):
    """See `Speaking`. Groq answers in WAV only."""

    maker = GROQ
    url = GROQ_URL
    model = "canopylabs/orpheus-v1-english"
    voice = "autumn"
    form = "wav"


class _OpenAI(OpenAITTSService):
    """As Pipecat's, but for what it takes: any voice, any format, any failure."""

    def __init__(
        self, key: str, url: str, client: DefaultAsyncHttpxClient, settings: OpenAITTSService.Settings,
        form: Literal["pcm", "wav"],
    ) -> None:  # fmt: skip
        super().__init__(
            api_key=key, base_url=url, http_client=client, settings=settings, stop_frame_timeout_s=SILENT_SECONDS
        )
        self._client = self._client.with_options(max_retries=0)
        self._form: Literal["pcm", "wav"] = form

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame, None]:
        """See `TTSService`. The connection ends with this generator, however that ends."""
        asked = self._client.audio.speech.with_streaming_response.create(
            input=text, model=str(self._settings.model), voice=str(self._settings.voice), response_format=self._form
        )
        try:
            async with asked as reply:
                if (kind := reply.headers.get("content-type", "")).startswith(("text/", "application/json")):
                    yield ErrorFrame(f"answers with {kind} instead of sound")
                    return
                await self.start_tts_usage_metrics(text)
                async for frame in self._stream_audio_frames_from_iterator(
                    reply.iter_bytes(_PIECE_BYTES), strip_wav_header=self._form == "wav",
                    in_sample_rate=_RATE if self._form == "pcm" else None, context_id=context_id,
                ):  # fmt: skip
                    yield frame
        except Exception as error:  # of the library, or of the one beneath it
            yield ErrorFrame(str(error), exception=error)


class HttpSpeech(TroubledSpeech, _OpenAI):  # pyright: ignore[reportIncompatibleMethodOverride]
    """Of one conversation."""

    def __init__(
        self, maker: Maker, key: str, url: str, client: DefaultAsyncHttpxClient, settings: OpenAITTSService.Settings,
        form: Literal["pcm", "wav"],
    ) -> None:  # fmt: skip
        self.maker = maker
        super().__init__(key, url, client, settings, form)
