"""Speech by makers that are spoken with over a WebSocket: Cartesia, ElevenLabs."""

from __future__ import annotations

from pipecat.services.cartesia.tts import CartesiaTTSService
from pipecat.services.elevenlabs.tts import ElevenLabsTTSService
from pipecat.transcriptions.language import Language as Spoken

from state.errors import EngineUnavailable
from voice.engines.makers import Maker, address, key_of
from voice.engines.parts import Setup
from voice.engines.troubled import SILENT_SECONDS, TroubledSocketSpeech
from voice.intents import Language

CARTESIA = Maker("cartesia", "CARTESIA_API_KEY")
ELEVENLABS = Maker("elevenlabs", "ELEVENLABS_API_KEY")
_PATH = "/tts/websocket"


class CartesiaSpeaking:
    """See `Speaking`. A voice has to be named: `EngineUnavailable` otherwise."""

    def __init__(self, setup: Setup) -> None:
        self._key = key_of(setup, CARTESIA)
        self._url = address(setup, "wss://api.cartesia.ai", web_socket=True).removesuffix(_PATH) + _PATH
        self._model = setup.model
        self._voice = _voice(setup, "play.cartesia.ai lists the ids of its voices")

    def service(self, language: Language) -> CartesiaTTS:
        """For one conversation."""
        settings = CartesiaTTSService.Settings(voice=self._voice, language=_SPOKEN[language])
        if self._model:
            settings.model = self._model
        return CartesiaTTS(api_key=self._key, url=self._url, settings=settings, stop_frame_timeout_s=SILENT_SECONDS)

    async def ready(self) -> None:
        """See `Part`."""

    async def close(self) -> None:
        """See `Part`."""


class ElevenLabsSpeaking:
    """See `Speaking`. A voice has to be named: `EngineUnavailable` otherwise."""

    def __init__(self, setup: Setup) -> None:
        self._key = key_of(setup, ELEVENLABS)
        self._url = address(setup, "wss://api.elevenlabs.io", web_socket=True)
        self._model = setup.model
        self._voice = _voice(setup, "elevenlabs.io/app/voice-library lists the ids of its voices")

    def service(self, language: Language) -> ElevenLabsTTS:
        """For one conversation."""
        settings = ElevenLabsTTSService.Settings(voice=self._voice, language=_SPOKEN[language])
        if self._model:
            settings.model = self._model
        return ElevenLabsTTS(api_key=self._key, url=self._url, settings=settings, stop_frame_timeout_s=SILENT_SECONDS)

    async def ready(self) -> None:
        """See `Part`."""

    async def close(self) -> None:
        """See `Part`."""


class CartesiaTTS(TroubledSocketSpeech, CartesiaTTSService):
    """Of one conversation."""

    maker = CARTESIA


class ElevenLabsTTS(TroubledSocketSpeech, ElevenLabsTTSService):
    """Of one conversation."""

    maker = ELEVENLABS


_SPOKEN: dict[Language, Spoken] = {"en": Spoken.EN, "zh": Spoken.ZH}


def _voice(setup: Setup, where: str) -> str:
    if not setup.voice:
        raise EngineUnavailable(
            f"{setup.engine} needs a voice, and [voice] of atlas.toml names none",
            f'Write voice = "…" there ({where}), or set ATLAS_VOICE_VOICE.',
        )
    return setup.voice
