"""Calls by WebRTC without a browser: aiortc at both ends."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack

from tests.voice.caller import plugged
from tests.voice.in_process import Here, settled, voice_here
from voice.transports.line import Farewell, Line
from voice.transports.webrtc import Call
from voice.visits import Made, Visit, Visits
from voice.wishes import Network, Wish

_PATIENCE = 60.0
_CALLS = 10


@pytest.fixture
async def here(tmp_path: Path) -> AsyncGenerator[Here]:
    async with voice_here(tmp_path) as found:
        yield found


@pytest.fixture
def ended_while_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each conversation, by a server that ends."""
    make = Visits.made

    async def made(self: Visits, visit: Visit, wish: Wish, line: Line) -> Made:
        found = await make(self, visit, wish, line)
        visit.end(Farewell("the server ends", again=True))
        return found

    monkeypatch.setattr(Visits, "made", made)


async def test_messages_come_no_faster_than_anybody_clicks() -> None:
    call, taken = Call(Network(here=True)), list[object]()

    @call.event_handler("app-message")
    async def took(_: object, message: object) -> None:
        taken.append(message)

    del took
    for number in range(1_000):
        await call._call_event_handler("app-message", number)  # pyright: ignore[reportPrivateUsage]
    await call.disconnect()
    await asyncio.sleep(0.1)
    assert 0 < len(taken) < 200


@pytest.mark.usefixtures("ended_while_made")
async def test_who_is_sent_away_while_a_conversation_is_made_hears_it(here: Here, client: httpx.AsyncClient) -> None:
    peer = RTCPeerConnection()
    peer.createDataChannel("chat")
    peer.addTrack(AudioStreamTrack())
    try:
        answer = await client.post("/voice/api/offer", json=await offered(peer))
    finally:
        await peer.close()
    assert answer.status_code == 429
    assert "the server ends" in answer.text
    async with plugged(here) as caller:
        assert await caller.closed() == (1012, "the server ends")
    await settled(lambda: here.rooms.open, 0, "conversations")


@pytest.fixture
async def client(here: Here) -> AsyncGenerator[httpx.AsyncClient]:
    async with asking(here) as found:
        yield found


def asking(here: Here) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{here.port}", trust_env=False, timeout=_PATIENCE)


async def offered(peer: RTCPeerConnection) -> dict[str, Any]:
    await peer.setLocalDescription(await peer.createOffer())
    return {"sdp": peer.localDescription.sdp, "type": "offer"}


@asynccontextmanager
async def called(client: httpx.AsyncClient) -> AsyncGenerator[list[dict[str, Any]]]:
    """A call on which the server has said hello; its messages."""
    peer = RTCPeerConnection()
    messages: list[dict[str, Any]] = []
    hello = asyncio.Event()
    channel = peer.createDataChannel("chat")

    def opened() -> None:
        channel.send(json.dumps({"label": "rtvi-ai", "type": "client-ready", "id": "1", "data": {"version": "2.2.0"}}))

    def took(text: str) -> None:
        messages.append(json.loads(text))
        if messages[-1].get("type") == "server-message":
            hello.set()

    channel.on("open", opened)
    channel.on("message", took)
    peer.addTrack(AudioStreamTrack())
    try:
        answer = await client.post("/voice/api/offer", json=await offered(peer))
        assert answer.status_code == 200, answer.text
        found = answer.json()
        await peer.setRemoteDescription(RTCSessionDescription(found["sdp"], found["type"]))
        async with asyncio.timeout(_PATIENCE):
            await hello.wait()
        yield messages
    finally:
        await peer.close()


async def test_a_server_on_loopback_offers_only_that(client: httpx.AsyncClient) -> None:
    peer = RTCPeerConnection()
    peer.addTrack(AudioStreamTrack())
    try:
        answer = await client.post("/voice/api/offer", json=await offered(peer))
        places = [line.split()[4] for line in answer.json()["sdp"].splitlines() if line.startswith("a=candidate")]
        assert set(places) == {"127.0.0.1"}
    finally:
        await peer.close()


async def test_calls_that_end_leave_nothing(here: Here, client: httpx.AsyncClient) -> None:
    async with called(client):
        pass
    await settled(lambda: here.rooms.open, 0, "conversations")
    gc.collect()
    tasks, threads = len(asyncio.all_tasks()), threading.active_count()
    for _ in range(_CALLS):
        async with called(client):
            pass
    await settled(lambda: here.rooms.open, 0, "conversations")
    gc.collect()
    await settled(lambda: len(asyncio.all_tasks()), tasks, "tasks")
    # asyncio's own for what blocks are kept, and are six at most
    await settled(threading.active_count, threads + 6, "threads")


async def test_who_comes_back_under_the_same_name_ends_what_was_left(here: Here, client: httpx.AsyncClient) -> None:
    async with called(client) as before:
        name = next(each for each in before if each["type"] == "server-message")["data"]["conversation"]
        peer = RTCPeerConnection()
        peer.addTrack(AudioStreamTrack())
        try:
            again = {**await offered(peer), "request_data": {"conversation": name}}
            assert (await client.post("/voice/api/offer", json=again)).status_code == 200
        finally:
            await peer.close()
        told = [each["data"] for each in before if each.get("type") == "server-message"]
        assert told[-1] == {"event": "bye", "why": "this conversation goes on elsewhere", "again": False}
        assert here.rooms.open == 1


@pytest.mark.parametrize(
    "body",
    [
        {"sdp": "v=0\r\n", "type": "offer"},
        {"sdp": "nonsense", "type": "offer"},
        {"sdp": "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n" * 100, "type": "offer"},
        {"sdp": "x", "type": "answer"},
        {"sdp": "v=0\r\n", "type": "offer", "request_data": {"conversation": "a b"}},
        {"sdp": "v=0\r\n", "type": "offer", "request_data": {"language": "tlh"}},
        {"sdp": "v=0\r\n", "type": "offer", "request_data": {"surprise": 1}},
        [],
    ],
    ids=["empty", "nonsense", "many", "answer", "name", "language", "unknown", "list"],
)
async def test_what_is_no_offer(here: Here, client: httpx.AsyncClient, body: Any) -> None:
    answer = await client.post("/voice/api/offer", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == "bad_input"
    assert here.rooms.open == 0


async def test_candidates_of_nobody(client: httpx.AsyncClient) -> None:
    answer = await client.patch("/voice/api/offer", json={"pc_id": "x", "candidates": [{"candidate": ""}]})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    async with voice_here(tmp_path, needed=("no_such_package",)) as here, asking(here) as client:
        page = await client.get("/voice")
        assert (page.status_code, "atlas-orchestrator[voice]" in page.text) == (501, True)
        for answer in (
            await client.get("/voice/api/setup"),
            await client.get("/voice/ws"),
            await client.post("/voice/api/offer", json={"sdp": "v=0\r\n", "type": "offer"}),
        ):
            assert (answer.status_code, answer.json()["code"]) == (501, "engine_unavailable")
            assert "atlas-orchestrator[voice]" in answer.json()["hint"]
