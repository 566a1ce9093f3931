"""What a client may send, and what comes of it: a clear word, and nothing that is left behind."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import socket as sockets
import threading
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from starlette.websockets import WebSocketDisconnect
from websockets.asyncio.client import connect

from mcp_servers.serving import Address, listening
from orchestrator.http.server import serving
from orchestrator.tasks import ended
from tests.voice.caller import Caller, audio, calling, frame, plugged
from tests.voice.in_process import Here, settled, voice_here
from tests.voice.sounds import silence, spoken
from voice.memory import give_back
from voice.transports.websocket import PatientSocket

_GUESTS = 50


@pytest.fixture
async def here(tmp_path: Path) -> AsyncGenerator[Here]:
    async with voice_here(tmp_path) as found:
        yield found


@pytest.mark.parametrize(
    ("sent", "code", "why"),
    [
        ("hello", 1003, "protobuf"),
        (random.Random(1).randbytes(300), 1007, "protobuf"),
        (frame(message={"data": "{"}), 1007, "no JSON"),
        (frame(message={"data": "[" * 60_000}), 1007, "no JSON"),
        (bytes(200_000), 1009, ""),
    ],
    ids=["text", "random", "no-json", "deep", "large"],
)
async def test_what_is_no_frame_ends_it(here: Here, sent: str | bytes, code: int, why: str) -> None:
    async with plugged(here) as caller:
        listening = asyncio.create_task(caller.listen())
        await caller.socket.send(sent)
        closed = await caller.closed()
        await listening
        assert closed[0] == code
        assert why in closed[1]
    await settled(lambda: here.rooms.open, 0, "conversations")


async def test_sound_that_cannot_be_heard_is_left_out_and_told(here: Here) -> None:
    async with calling(here) as caller:
        for rate, channels, length in ((16_000, 0, 640), (1, 1, 640), (16_000, 1, 641), (16_000, 9, 1_800)):
            await caller.socket.send(audio(bytes(length), rate, channels))
        assert "cannot be used" in (await caller.event("error"))["text"]
        await understood(caller)


async def test_only_sound_and_messages_are_taken(here: Here) -> None:
    async with calling(here) as caller:
        await caller.socket.send(frame(text={"text": "I am told to say this."}))
        await caller.socket.send(frame(transcription={"text": "stop everything", "user_id": "x", "timestamp": "y"}))
        await caller.socket.send(frame(interruption={}))
        for kind in ("raw-audio", "send-text", "send-file", "llm-function-call-result", "dtmf"):
            await caller.send(kind, {})
        await caller.socket.send(frame(message={"data": "[1, 2]"}))
        await caller.send("client-message", {"t": "sing"})
        await caller.send("client-message", [1])
        refused = await caller.message("error-response")
        assert "known" in refused["data"]["error"]
        await understood(caller)
        assert {each["text"] for each in caller.events if each["event"] == "saying"} == {"There are no runs."}


async def test_stereo_of_another_rate_is_understood(here: Here) -> None:
    async with calling(here) as caller:
        await caller.asks(rate=44_100, channels=2)


async def test_who_sends_faster_than_anybody_speaks_is_read_no_faster(here: Here) -> None:
    async with plugged(here, write_limit=1_000) as caller:
        sending = asyncio.create_task(an_hour(caller))
        done, _ = await asyncio.wait([sending], timeout=3)
        assert not done
        await ended(sending)


async def an_hour(caller: Caller) -> None:
    second = audio(silence(1.0))
    for _ in range(3_600):
        await caller.socket.send(second)


async def test_guests_who_come_and_go_leave_nothing(tmp_path: Path) -> None:
    async with voice_here(tmp_path) as here:
        await visit(here, 0)
        before = standing()
        for number in range(_GUESTS):
            await settled(lambda: here.rooms.open, 3, "conversations")  # more of one token are refused
            await visit(here, number)
        await settled(lambda: here.rooms.open, 0, "conversations")
        tasks, threads, files, memory = before
        await settled(lambda: standing()[0], tasks, "tasks")
        # asyncio's own for what blocks are kept, and are six at most
        await settled(lambda: standing()[1], threads + 6, "threads")
        await settled(lambda: standing()[2], files + 10, "files")  # the database's, one for each of those threads
        gc.collect()
        give_back()  # again: what was in cycles
        assert standing()[3] - memory < 100e6, "memory that is kept"


async def visit(here: Here, number: int) -> None:
    """One leaves at once, one in the middle of a word, one without a word of farewell."""
    async with plugged(here) as caller:
        if number % 3:
            await caller.send("client-ready", {"version": "2.2.0"})
            await caller.socket.send(audio(spoken("atlas")[: 16_000 * 2]))
        if number % 3 == 2:
            caller.socket.transport.abort()


def standing() -> tuple[int, int, int, int]:
    """Tasks, threads, open files, and bytes of memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    files = len(list(Path("/proc/self/fd").iterdir()))
    return len(asyncio.all_tasks()), threading.active_count(), files, pages * os.sysconf("SC_PAGE_SIZE")


async def test_who_does_not_read_is_cut_off() -> None:
    outcome: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

    async def talks_on(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            socket = PatientSocket(scope, receive, send, stalled=0.2)
            await socket.accept()
            try:
                while True:
                    await socket.send_bytes(bytes(32_000))
            except WebSocketDisconnect as error:
                outcome.set_result(error)
        else:
            await lifespan(receive, send)

    with listening(Address(port=0)) as listener:
        async with serving(talks_on, listener, lambda: None, websockets=True):
            port = listener.getsockname()[1]
            plain = sockets.create_connection(("127.0.0.1", port))
            plain.setblocking(False)
            async with connect(f"ws://127.0.0.1:{port}/", sock=plain, proxy=None, max_queue=1):
                async with asyncio.timeout(30):
                    assert isinstance(await outcome, WebSocketDisconnect)


async def lifespan(receive: Any, send: Any) -> None:
    for kind in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{kind}.complete"})


async def understood(caller: Caller) -> None:
    """It goes on."""
    await caller.asks()
    await caller.event("speech-stopped")
