"""Conversations whose engines are services in a cloud, which here is a scripted server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from orchestrator.cli.compose import House
from tests.services.speech_lines import VOICE
from tests.services.speech_server import KEY, SpeechServer
from voice.choices import Choices, Wake
from voice.engines.parts import Wanted
from voice.engines.selection import ChosenEngines
from voice.phrase_commands import PhraseCommands
from voice.pipeline import Engines
from voice.sessions import Means

KEYS: Mapping[str, str] = {
    f"{maker}_API_KEY": KEY for maker in ("DEEPGRAM", "OPENAI", "GROQ", "CARTESIA", "ELEVENLABS")
}
RECOGNITION = ("deepgram/nova-3", "openai/gpt-transcribe", "groq/whisper-large-v3-turbo")
SPEECH = (
    "deepgram/aura-2-helena-en", "openai/gpt-4o-mini-tts", "groq/canopylabs/orpheus-v1-english", "cartesia/sonic-3",
    "elevenlabs/eleven_flash_v2_5",
)  # fmt: skip


def wanted(
    server: SpeechServer, recognition: str = "pocketsphinx", speech: str = "espeak-ng", *,
    keys: Mapping[str, str] | None = None,
) -> Wanted:  # fmt: skip
    """These engines, at this server."""
    urls = {
        "deepgram": server.url, "cartesia": server.url, "elevenlabs": server.url, "openai": f"{server.url}/v1",
        "groq": f"{server.url}/v1",
    }  # fmt: skip
    voice = "" if speech == "espeak-ng" or speech.startswith("deepgram") else VOICE
    return Wanted(
        recognition, speech, voice=voice, models=Path("/nonexistent"), urls=urls, environ=KEYS if keys is None else keys
    )


@asynccontextmanager
async def means_of(house: House, engines: Wanted, wake: Wake = "always") -> AsyncGenerator[Means]:
    """Of conversations with these engines; by default everybody is listened to."""
    chosen = ChosenEngines(engines)

    def made(choices: Choices, commands: PhraseCommands) -> Engines:
        found = chosen(choices, commands)
        return found if wake == "keyword" else replace(found, spotter=None)

    await chosen.ready()
    try:
        yield Means(house.service, house.store, made, Choices(wake=wake))
    finally:
        await chosen.close()
