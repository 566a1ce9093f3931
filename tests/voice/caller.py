"""A client of the voice server that is no browser: WebSocket, Pipecat's protobuf frames, RTVI messages."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol, cast

import pipecat.frames.protobufs.frames_pb2 as frames_pb2
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from orchestrator.tasks import ended
from tests.voice.sounds import RATE, script, silence

PATIENCE = 60.0
_TIMES = 6
_PIECE = RATE // 50 * 2


def frame(**parts: Any) -> bytes:
    """One of Pipecat's, as protobuf: ``audio={...}``, ``message={...}``, ``text={...}``."""
    made: bytes = cast(Any, frames_pb2).Frame(**parts).SerializeToString()
    return made


def audio(sound: bytes, rate: int = RATE, channels: int = 1) -> bytes:
    return frame(audio={"audio": sound, "sample_rate": rate, "num_channels": channels})


class Reachable(Protocol):
    """A server, and a token that counts there."""

    @property
    def port(self) -> int: ...

    @property
    def token(self) -> str: ...


class Caller:
    """`events` are the server's own messages, `messages` all RTVI messages, `sound` the pieces of audio with the time
    at which each came."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.messages: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.sound: list[tuple[float, bytes]] = []
        self.interrupted: list[float] = []
        self.rates: set[int] = set()
        self._news = asyncio.Event()
        self._speech = asyncio.Queue[bytes]()
        self._number = 0

    # --- what it does ------------------------------------------------------------------------------------------------

    async def say(self, sound: bytes, rate: int = RATE, channels: int = 1) -> None:
        """In real time, after what is being said."""
        piece = rate // 50 * 2 * channels
        for start in range(0, len(sound), piece):
            self._speech.put_nowait(audio(sound[start : start + piece], rate, channels))

    async def asks(
        self, text: str = "atlas, what is the status?", intent: str = "Status", *, rate: int = RATE, channels: int = 1
    ) -> dict[str, Any]:
        """Says it until it is understood, as people do: a wake word is missed now and then. The event of the intent."""
        mono = script(0.5, text, 1.5, rate=rate)
        sound = b"".join(mono[at : at + 2] * channels for at in range(0, len(mono), 2))
        for _ in range(_TIMES - 1):
            await self.say(sound, rate, channels)
            with suppress(AssertionError):
                return await self.event("intent", seconds=10.0, intent=intent)
        await self.say(sound, rate, channels)
        return await self.event("intent", intent=intent)

    async def send(self, kind: str, data: Any = None, *, label: str = "rtvi-ai") -> str:
        """An RTVI message; its id."""
        self._number += 1
        message = {"label": label, "type": kind, "id": str(self._number), "data": data}
        await self.socket.send(frame(message={"data": json.dumps(message)}))
        return message["id"]

    async def ask(self, name: str, **given: Any) -> str:
        """A message to our own server."""
        return await self.send("client-message", {"t": name, "d": given})

    # --- what it hears -----------------------------------------------------------------------------------------------

    async def until(self, condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
        """The first true value of it."""
        try:
            async with asyncio.timeout(seconds):
                while not (value := condition()):
                    self._news.clear()
                    await self._news.wait()
                return value
        except TimeoutError:
            raise AssertionError(f"not within {seconds:g} s: {what}; {self.events}") from None

    async def event(self, name: str, after: int = 0, seconds: float = PATIENCE, **having: Any) -> dict[str, Any]:
        """The first of these events, from the `after`th of all on."""

        def found() -> dict[str, Any] | None:
            fitting = (each for each in self.events[after:] if each["event"] == name and having.items() <= each.items())
            return next(fitting, None)

        event: dict[str, Any] = await self.until(found, f"{name} {having}", seconds)
        return event

    async def message(self, kind: str) -> dict[str, Any]:
        """The first RTVI message of this type."""
        found: dict[str, Any] = await self.until(
            lambda: next((each for each in self.messages if each["type"] == kind), None), kind
        )
        return found

    def heard(self, since: float = 0.0) -> list[bytes]:
        """Audio that came after that moment."""
        return [sound for at, sound in self.sound if at >= since]

    async def closed(self) -> tuple[int, str]:
        """Code and reason, once the server has closed it."""
        async with asyncio.timeout(PATIENCE):
            await self.socket.wait_closed()
        return self.socket.close_code or 0, self.socket.close_reason or ""

    # --- under the hood ----------------------------------------------------------------------------------------------

    async def listen(self) -> None:
        """Until the server closes it."""
        try:
            async for data in self.socket:
                assert isinstance(data, bytes)
                self._take(data)
                self._news.set()
        except ConnectionClosed:
            pass
        self._news.set()

    def _take(self, data: bytes) -> None:
        found: Any = cast(Any, frames_pb2).Frame.FromString(data)
        match found.WhichOneof("frame"):
            case "audio":
                self.sound.append((time.monotonic(), found.audio.audio))
                self.rates.add(found.audio.sample_rate)
            case "interruption":
                self.interrupted.append(time.monotonic())
            case _:
                message: dict[str, Any] = json.loads(found.message.data)
                self.messages.append(message)
                if message["type"] == "server-message":
                    self.events.append(message["data"])

    async def microphone(self) -> None:
        """What there is to say, else silence, in real time, until cancelled."""
        began, number, quiet = time.monotonic(), 0, audio(silence(_PIECE / 2 / RATE))
        try:
            while True:
                await self.socket.send(quiet if self._speech.empty() else self._speech.get_nowait())
                number += 1
                await asyncio.sleep(max(0.0, began + number * 0.02 - time.monotonic()))
        except ConnectionClosed:
            pass


@asynccontextmanager
async def plugged(
    server: Reachable,
    token: str | None = None,
    *,
    query: str = "",
    headers: Mapping[str, str] | None = None,
    name: str = "127.0.0.1",
    **options: Any,
) -> AsyncGenerator[Caller]:
    """Connected, with nothing said yet."""
    url = f"ws://{name}:{server.port}/voice/ws{query}"
    with_token = {"Authorization": f"Bearer {token or server.token}"} if headers is None else headers
    to = {"host": "127.0.0.1", "port": server.port}
    async with connect(
        url, **to, additional_headers=with_token, proxy=None, compression=None, close_timeout=1, **options
    ) as socket:
        yield Caller(socket)


@asynccontextmanager
async def calling(server: Reachable, token: str | None = None, *, query: str = "") -> AsyncGenerator[Caller]:
    """Connected and ready, with a microphone that is on."""
    async with plugged(server, token, query=query) as caller:
        tasks = [asyncio.create_task(caller.listen()), asyncio.create_task(caller.microphone())]
        try:
            await caller.send("client-ready", {"version": "2.2.0", "about": {"library": "tests"}})
            await caller.event("hello")
            yield caller
        finally:
            await ended(*tasks)
