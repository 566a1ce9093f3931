"""Calls by WebRTC without a browser: aiortc at both ends, the real `atlas serve` at one."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

import pytest
from aiortc import RTCPeerConnection
from aiortc.mediastreams import AudioStreamTrack

from tests.http.server import Server, served

_PATIENCE = 60.0


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    with served(tmp_path_factory.mktemp("served")) as found:
        yield found


async def offered(peer: RTCPeerConnection) -> dict[str, Any]:
    await peer.setLocalDescription(await peer.createOffer())
    return {"sdp": peer.localDescription.sdp, "type": "offer"}


async def test_a_server_on_loopback_offers_only_that(server: Server) -> None:
    peer = RTCPeerConnection()
    peer.addTrack(AudioStreamTrack())
    try:
        with server.client() as client:
            answer = await asyncio.to_thread(client.post, "/voice/api/offer", json=await offered(peer))
        assert answer.status_code == 200, answer.text
        places = [line.split()[4] for line in answer.json()["sdp"].splitlines() if line.startswith("a=candidate")]
        assert set(places) == {"127.0.0.1"}
    finally:
        await peer.close()
