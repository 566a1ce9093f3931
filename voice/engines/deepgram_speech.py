"""Speech by Deepgram: a request for each sentence, whose answer is streamed."""

from __future__ import annotations

import aiohttp
from pipecat.services.deepgram.tts import DeepgramHttpTTSService

from voice.engines.makers import Maker, address, key_of
from voice.engines.parts import Setup
from voice.engines.troubled import SILENT_SECONDS, TroubledSpeech
from voice.intents import Language

DEEPGRAM = Maker("deepgram", "DEEPGRAM_API_KEY")
_CONNECT_SECONDS = 5.0


class DeepgramSpeaking:
    """See `Speaking`. Its models are its voices, each of one language."""

    def __init__(self, setup: Setup) -> None:
        self._key = key_of(setup, DEEPGRAM)
        self._url = address(setup, "https://api.deepgram.com")
        self._voice = setup.model or setup.voice
        self._session: aiohttp.ClientSession | None = None

    def service(self, language: Language) -> DeepgramTTS:
        """For one conversation. To be called after `ready`."""
        del language
        if self._session is None:
            raise RuntimeError("`ready` comes first")
        return DeepgramTTS(
            api_key=self._key, base_url=self._url, aiohttp_session=self._session,
            settings=DeepgramHttpTTSService.Settings(voice=self._voice) if self._voice else None,
            stop_frame_timeout_s=SILENT_SECONDS,
        )  # fmt: skip

    async def ready(self) -> None:
        """See `Part`."""
        wait = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS, sock_read=SILENT_SECONDS - 1)
        self._session = self._session or aiohttp.ClientSession(timeout=wait, trust_env=True)

    async def close(self) -> None:
        """See `Part`."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


class DeepgramTTS(TroubledSpeech, DeepgramHttpTTSService):
    """Of one conversation. Cutting it off closes the connection, which ends the synthesis."""

    maker = DEEPGRAM
