"""The WebSockets of makers of speech, from their end."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSMsgType, web

VOICE = "a-voice"
MODELS = frozenset((
    "nova-3", "aura-2-helena-en", "gpt-transcribe", "whisper-large-v3-turbo", "gpt-4o-mini-tts",
    "canopylabs/orpheus-v1-english", "sonic-3", "eleven_flash_v2_5",
))  # fmt: skip
"""That there are."""


@dataclass
class Asked:
    """A sentence that was to be spoken. `cut`: the client let go of it before its end; `sent`: seconds of it."""

    text: str
    maker: str
    at: float = field(default_factory=time.monotonic)
    sent: float = 0.0
    whole: bool = False
    cut: asyncio.Event = field(default_factory=asyncio.Event)


class Line(ABC):
    """One connection. `pieces` makes the sound of a sentence, `asked` has all of the server's."""

    maker: str

    def __init__(
        self, socket: web.WebSocketResponse, asked: list[Asked], pieces: Callable[[Asked], AsyncIterator[bytes]]
    ) -> None:
        self._socket = socket
        self._asked = asked
        self._pieces = pieces
        self._texts: dict[str, str] = {}
        self._speaking: dict[str, tuple[asyncio.Task[None], Asked]] = {}

    async def live(self) -> None:
        """Until it is closed; what is being said then is cut."""
        async for message in self._socket:
            if message.type == WSMsgType.TEXT:
                await self.take(json.loads(message.data))
        for context in self._speaking:
            self._cut(context)

    @abstractmethod
    async def take(self, given: dict[str, Any]) -> None:
        """A message."""

    @abstractmethod
    def said(self, context: str, piece: bytes) -> dict[str, Any]:
        """A message with sound."""

    @abstractmethod
    def over(self, context: str) -> dict[str, Any]:
        """The message that all of it was sent."""

    def _begin(self, context: str) -> None:
        asked = Asked(self._texts.pop(context), self.maker)
        self._asked.append(asked)
        self._speaking[context] = asyncio.create_task(self._speak(context, asked)), asked

    def _cut(self, context: str) -> None:
        task, asked = self._speaking[context]
        if not task.done():
            task.cancel()
            asked.cut.set()

    async def _speak(self, context: str, asked: Asked) -> None:
        with suppress(ConnectionError):
            async for piece in self._pieces(asked):
                await self._socket.send_json(self.said(context, piece))
            asked.whole = True
            await self._socket.send_json(self.over(context))


class CartesiaLine(Line):
    """``/tts/websocket``: texts of a context until one that does not continue."""

    maker = "cartesia"

    async def take(self, given: dict[str, Any]) -> None:
        context = str(given["context_id"])
        if given.get("cancel"):
            if context in self._speaking:
                self._cut(context)
        elif given["model_id"] not in MODELS or given["voice"] != {"mode": "id", "id": VOICE}:
            why = {"type": "error", "error": "voice not found", "status_code": 404, "done": True}
            await self._socket.send_json({**why, "context_id": context})
        else:
            self._texts[context] = self._texts.get(context, "") + given["transcript"]
            if not given["continue"]:
                self._begin(context)

    def said(self, context: str, piece: bytes) -> dict[str, Any]:
        sound = base64.b64encode(piece).decode()
        return {"type": "chunk", "data": sound, "done": False, "status_code": 206, "context_id": context}

    def over(self, context: str) -> dict[str, Any]:
        return {"type": "done", "done": True, "status_code": 200, "context_id": context}


class ElevenLabsLine(Line):
    """``multi-stream-input``: texts of a context until it is flushed; who closes it once ends its text, who closes it
    again wants no more of its sound."""

    maker = "elevenlabs"

    def __init__(
        self, socket: web.WebSocketResponse, asked: list[Asked], pieces: Callable[[Asked], AsyncIterator[bytes]]
    ) -> None:
        super().__init__(socket, asked, pieces)
        self._closed: set[str] = set()

    async def take(self, given: dict[str, Any]) -> None:
        context = str(given.get("context_id", ""))
        if given.get("close_socket"):
            await self._socket.close()
        elif given.get("close_context"):
            if context in self._closed and context in self._speaking:
                self._cut(context)
            self._closed.add(context)
        elif given.get("flush"):
            if self._texts.get(context, "").strip():
                self._begin(context)
        elif context:
            self._texts[context] = self._texts.get(context, "") + str(given.get("text", ""))

    def said(self, context: str, piece: bytes) -> dict[str, Any]:
        return {"audio": base64.b64encode(piece).decode(), "isFinal": None, "contextId": context}

    def over(self, context: str) -> dict[str, Any]:
        return {"isFinal": True, "contextId": context}
