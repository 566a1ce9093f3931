"""A scripted server of speech on loopback: what Deepgram, OpenAI, Groq, Cartesia and ElevenLabs speak on the wire.

It is as strict about keys, models and parameters as they are, and remembers what it was asked and sent. Sound that it
makes is a tone, as long as its text.
"""

from __future__ import annotations

import asyncio
import json
import wave
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from io import BytesIO
from typing import Any, Literal

import numpy as np
from aiohttp import WSMsgType, web

from tests.services.speech_lines import MODELS, VOICE, Asked, CartesiaLine, ElevenLabsLine

KEY = "a-key-that-counts"
RATE = 24_000
_SECONDS_A_LETTER = 0.04
_PIECE_SECONDS = 0.1
_LOUD = 300
_VOICE_BYTES = 6_400
"""Of sound that is no silence, which make an utterance."""

Fault = Literal["refuse", "drop", "garbage", "silence", "trouble"]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class SpeechServer:
    """`lines` are what is heard of the next utterances, `hearing` what it sounds like at first. `faults`: what goes
    wrong with the next connections or requests, in their order; `always` with all of them."""

    def __init__(self) -> None:
        self.url = ""
        self.keys = {KEY}
        self.lines: deque[str] = deque()
        self.hearing: deque[str] = deque()
        self.faults: deque[Fault] = deque()
        self.always: Fault | None = None
        self.slowly = False
        """Speech is sent in real time, else as fast as it goes."""
        self.sound = bytearray()
        """All that was to be recognised."""
        self.asked: list[Asked] = []
        self.queries: list[dict[str, str]] = []
        self.connections = 0
        self.refused: list[str] = []
        self._transports: list[asyncio.WriteTransport] = []

    def app(self) -> web.Application:
        """All makers' at once: their paths differ."""
        made = web.Application()
        made.router.add_get("/v1/listen", self._checked("Authorization", "Token ", self._deepgram))
        made.router.add_post("/v1/speak", self._checked("Authorization", "Token ", self._deepgram_speaks))
        made.router.add_post("/v1/audio/transcriptions", self._checked("Authorization", "Bearer ", self._transcribe))
        made.router.add_post("/v1/audio/speech", self._checked("Authorization", "Bearer ", self._openai_speaks))
        made.router.add_get("/tts/websocket", self._checked("X-API-Key", "", self._cartesia))
        made.router.add_get(
            "/v1/text-to-speech/{voice}/multi-stream-input", self._checked("xi-api-key", "", self._elevenlabs)
        )
        return made

    def drop(self) -> None:
        """All connections that are open end, without a word."""
        for transport in self._transports:
            transport.abort()
        self._transports.clear()

    # --- what all have in common -------------------------------------------------------------------------------------

    def _checked(self, header: str, before: str, handler: Handler) -> Handler:
        async def checked(request: web.Request) -> web.StreamResponse:
            self.connections += 1
            self.queries.append(dict(request.query))
            sent = request.headers.get(header, "")
            if not sent.startswith(before) or sent.removeprefix(before) not in self.keys:
                return self._refuse(401, "the key is not known")
            match self._fault():
                case "trouble":
                    return self._refuse(500, "out of order")
                case "drop":
                    if request.transport is not None:
                        request.transport.abort()
                    return web.Response()
                case "silence":
                    await asyncio.Event().wait()
                case "garbage":
                    return await _garbage(request)
                case "refuse":
                    return self._refuse(400, "this is not to be had")
                case None:
                    pass
            return await handler(request)

        return checked

    def _fault(self) -> Fault | None:
        return self.faults.popleft() if self.faults else self.always

    def _refuse(self, status: int, why: str) -> web.Response:
        self.refused.append(why)
        return web.json_response({"error": {"message": why}}, status=status, headers={"dg-error": why})

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=True)
        await socket.prepare(request)
        if isinstance(request.transport, asyncio.WriteTransport):
            self._transports.append(request.transport)
        return socket

    # --- recognition -------------------------------------------------------------------------------------------------

    async def _deepgram(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        if query.get("model") not in MODELS or query.get("encoding") != "linear16" or not query.get("sample_rate"):
            return self._refuse(400, "bad request: model, encoding and sample_rate")
        socket = await self._socket(request)
        loud, told = 0, False
        async for message in socket:
            if message.type == WSMsgType.BINARY:
                self.sound.extend(message.data)
                loud += _loud_bytes(message.data)
                if self.hearing and not told and loud > _VOICE_BYTES:
                    told = True
                    await socket.send_json(_results(self.hearing.popleft(), final=False))
                continue
            match json.loads(message.data)["type"]:
                case "Finalize":
                    line = self.lines.popleft() if self.lines and loud > _VOICE_BYTES else ""
                    loud, told = 0, False
                    if line == "(nothing comes)":
                        continue
                    half = len(line) // 2
                    cut = line.find(" ", half)
                    if cut > 0:  # as it is: what was endpointed before comes on its own
                        await socket.send_json(_results(line[:cut], final=True))
                        line = line[cut + 1 :]
                    await socket.send_json(_results(line, final=True, from_finalize=True))
                case "CloseStream":
                    await socket.send_json({"type": "Metadata", "request_id": "r", "channels": 1, "duration": 1.0})
                    break
                case "KeepAlive":
                    pass
                case other:
                    await socket.close(code=1008, message=f"DATA-0000 {other}".encode())
        await socket.close()
        return socket

    async def _transcribe(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        file = form.get("file")
        if form.get("model") not in MODELS or not isinstance(file, web.FileField):
            return self._refuse(404, f"the model {form.get('model')} does not exist")
        with wave.open(BytesIO(file.file.read())) as sound:
            if (sound.getnchannels(), sound.getsampwidth()) != (1, 2):
                return self._refuse(400, "no such sound")
            heard = sound.readframes(sound.getnframes())
        self.sound.extend(heard)
        text = self.lines.popleft() if self.lines and _loud_bytes(heard) > _VOICE_BYTES else ""
        if form.get("response_format") == "verbose_json":
            part = {"id": 0, "start": 0, "end": 1, "text": text, "avg_logprob": -0.2, "no_speech_prob": 0.01}
            if not text:
                part |= {"text": "Thank you.", "avg_logprob": -1.4, "no_speech_prob": 0.9}
            return web.json_response(
                {"task": "transcribe", "language": "english", "duration": 1, "text": part["text"], "segments": [part]}
            )
        return web.json_response({"text": text})

    # --- speech ------------------------------------------------------------------------------------------------------

    async def pieces(self, asked: Asked) -> AsyncGenerator[bytes]:
        """The sound of it, in time."""
        sound = _tone(len(asked.text) * _SECONDS_A_LETTER)
        size = int(_PIECE_SECONDS * RATE) * 2
        for start in range(0, len(sound), size):
            yield sound[start : start + size]
            asked.sent += _PIECE_SECONDS
            await asyncio.sleep(_PIECE_SECONDS if self.slowly else 0)

    async def _streamed(self, request: web.Request, asked: Asked, kind: str, head: bytes = b"") -> web.StreamResponse:
        self.asked.append(asked)
        reply = web.StreamResponse(headers={"Content-Type": kind})
        await reply.prepare(request)
        try:
            await reply.write(head)
            async for piece in self.pieces(asked):
                await reply.write(piece)
            asked.whole = True
            await reply.write_eof()
        except (ConnectionError, asyncio.CancelledError):
            asked.cut.set()
            raise
        return reply

    async def _deepgram_speaks(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        if query.get("model") not in MODELS or (query.get("encoding"), query.get("container")) != (
            "linear16",
            "none",
        ):
            return self._refuse(400, f"no such model/language/tier combination: {query.get('model')}")
        text = str((await request.json())["text"])
        return await self._streamed(request, Asked(text, "deepgram"), "audio/l16")

    async def _openai_speaks(self, request: web.Request) -> web.StreamResponse:
        wanted = await request.json()
        form = wanted.get("response_format")
        if wanted.get("model") not in MODELS or not wanted.get("voice") or form not in ("pcm", "wav"):
            return self._refuse(400, "bad request")
        if wanted["model"].startswith("canopylabs") and form != "wav":
            return self._refuse(400, "response_format must be wav")
        asked = Asked(str(wanted["input"]), "openai")
        return await self._streamed(request, asked, f"audio/{form}", _wav_head() if form == "wav" else b"")

    async def _cartesia(self, request: web.Request) -> web.StreamResponse:
        if not request.headers.get("Cartesia-Version"):
            return self._refuse(400, "Cartesia-Version is missing")
        socket = await self._socket(request)
        await CartesiaLine(socket, self.asked, self.pieces).live()
        return socket

    async def _elevenlabs(self, request: web.Request) -> web.StreamResponse:
        socket = await self._socket(request)
        if request.match_info["voice"] != VOICE or request.query.get("model_id") not in MODELS:
            await socket.close(code=1008, message=b"A voice with this id does not exist.")
        else:
            await ElevenLabsLine(socket, self.asked, self.pieces).live()
        return socket


@asynccontextmanager
async def speech_server() -> AsyncGenerator[SpeechServer]:
    """Up, and gone afterwards with all its connections."""
    server = SpeechServer()
    runner = web.AppRunner(server.app(), handle_signals=False, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()


def _results(text: str, *, final: bool, from_finalize: bool = False) -> dict[str, Any]:
    words = [{"word": each, "start": 0.0, "end": 0.1, "confidence": 0.97} for each in text.split()]
    heard = {"transcript": text, "confidence": 0.97 if text else 0.0, "words": words}
    return {
        "type": "Results", "channel_index": [0, 1], "duration": 1.0, "start": 0.0, "is_final": final,
        "speech_final": final, "from_finalize": from_finalize, "channel": {"alternatives": [heard]},
        "metadata": {
            "request_id": "r", "model_info": {"name": "nova-3", "version": "1", "arch": "nova-3"}, "model_uuid": "m",
        },
    }  # fmt: skip


async def _garbage(request: web.Request) -> web.StreamResponse:
    if request.headers.get("Upgrade", "").lower() != "websocket":
        return web.Response(text="<html>It works!</html>", content_type="text/html")
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for _ in socket:
        await socket.send_str("<html>It works!</html>")
    return socket


def _loud_bytes(sound: bytes) -> int:
    return 2 * int((np.abs(np.frombuffer(sound[: len(sound) & ~1], dtype="<i2").astype(np.int32)) > _LOUD).sum())


def _tone(seconds: float) -> bytes:
    times = np.arange(int(seconds * RATE)) / RATE
    return (8_000 * np.sin(2 * np.pi * 440 * times)).astype("<i2").tobytes()


def _wav_head() -> bytes:
    file = BytesIO()
    with wave.open(file, "wb") as made:
        made.setnchannels(1)
        made.setsampwidth(2)
        made.setframerate(RATE)
    return file.getvalue()
