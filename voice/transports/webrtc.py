"""A client that comes by WebRTC, as browsers do: sound over RTP, messages over a data channel."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from aiortc import RTCDataChannel, RTCPeerConnection, RTCRtpReceiver
from aiortc.jitterbuffer import JitterBuffer
from aiortc.sdp import candidate_from_sdp
from pipecat.transports.base_transport import TransportParams
from pipecat.transports.smallwebrtc.connection import SmallWebRTCConnection
from pipecat.transports.smallwebrtc.transport import SmallWebRTCTransport

from state.errors import InputError
from voice.outlet import Outlet
from voice.pace import Pace
from voice.pipeline import Ends
from voice.transports.line import Farewell, sound
from voice.wishes import Answer, Candidate, Network

log = logging.getLogger(__name__)

_LOOPBACK = "127.0.0.1"
_COME_SECONDS = 20.0
"""In which a client must have connected, after its offer."""
_FAREWELL_SECONDS = 0.5
_MESSAGES_AHEAD, _MESSAGE_SECONDS = 100, 0.05
_LOST_SECONDS = 10
"""A client of which nothing was heard for so long has gone, whatever ICE thinks."""


class Call(SmallWebRTCConnection):
    """A peer connection; with `Network.here`, on this machine's own loopback address alone. Messages that come faster
    than anybody clicks are not taken."""

    def __init__(self, network: Network) -> None:
        # From loopback no other machine is reached, and they would be waited for.
        super().__init__([] if network.here else list(network.ice_servers))
        self._here = network.here
        self._messages = Pace(_MESSAGES_AHEAD * _MESSAGE_SECONDS)
        # What comes while nothing else does is kept there for ever.
        self._pending_app_messages = deque[Any](maxlen=_MESSAGES_AHEAD)  # pyright: ignore[reportIncompatibleUnannotatedOverride, reportAttributeAccessIssue]

    async def _call_event_handler(self, event_name: str, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        if event_name != "app-message" or not self._messages.early(_MESSAGE_SECONDS):
            await super()._call_event_handler(event_name, *args, **kwargs)

    def video_input_track(self) -> None:
        """There is none; and no warning of that with each call."""

    def screen_video_input_track(self) -> None:
        """Nor this one."""

    async def tell_last(self, data: object) -> None:
        """A server message, before the call is ended; returns when it is on its way, or can't be."""
        channel: RTCDataChannel | None = self._data_channel
        if channel is None or channel.readyState != "open":
            return
        self.send_app_message({"label": "rtvi-ai", "type": "server-message", "data": data})
        with suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL_SECONDS):
                while channel.bufferedAmount:  # noqa: ASYNC110  nothing tells when there is no more
                    await asyncio.sleep(0.01)

    def force_transceivers_to_send_recv(self) -> None:
        """See `SmallWebRTCConnection`, which calls this between hearing the offer and gathering addresses."""
        super().force_transceivers_to_send_recv()
        if self._here:
            for each in _connections(self.pc):
                _stay_here(each)
            for each in self.pc.getTransceivers():
                if each.kind == "audio":
                    _hear_at_once(each.receiver)


class CallLine:
    """See `voice.transports.line.Line`."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._came = asyncio.Event()
        self._gone = asyncio.Event()

    def ends(self, outlet: Outlet) -> Ends:
        """See `Line`."""
        transport = SmallWebRTCTransport(self._call, TransportParams(**sound(outlet)))

        @transport.event_handler("on_client_connected")
        async def came(*_: object) -> None:
            self._came.set()

        @transport.event_handler("on_client_disconnected")
        async def gone(*_: object) -> None:
            self._gone.set()

        _ = came, gone
        return Ends(transport.input(), transport.output())

    async def gone(self) -> None:
        """See `Line`."""
        try:
            await asyncio.wait_for(self._came.wait(), _COME_SECONDS)
        except TimeoutError:
            log.info("a client made an offer and did not connect")
            return
        lost = 0
        while lost < _LOST_SECONDS and not self._gone.is_set():
            lost = 0 if self._call.is_connected() else lost + 1
            try:
                await asyncio.wait_for(self._gone.wait(), 1)
            except TimeoutError:
                continue

    async def bye(self, farewell: Farewell) -> None:
        """See `Line`."""
        await self._call.tell_last({"event": "bye", "why": farewell.why, "again": farewell.again})

    async def close(self) -> None:
        """See `Line`."""
        await self._call.disconnect()


async def answered(call: Call, sdp: str) -> Answer:
    """The answer to an offer. `InputError`: it is none that can be answered."""
    try:
        await call.initialize(sdp, "offer")
    except Exception as error:  # whatever the parser stumbles over
        log.info("an offer could not be answered: %r", error)
        raise InputError(
            "this offer can't be answered", "An SDP offer of one sound track, both ways, is needed."
        ) from None
    found = call.get_answer()
    if found is None or not call.pc.getTransceivers() or call.pc.getTransceivers()[0].kind != "audio":
        raise InputError("this offer is none of sound", "Its first track must be sound, both ways.")
    return Answer(**found)


async def more_candidates(call: Call, candidates: Sequence[Candidate]) -> None:
    """`InputError`: one of them is none."""
    for each in candidates:
        if not each.candidate:  # there are no more
            continue
        try:
            found = candidate_from_sdp(each.candidate.removeprefix("candidate:"))
            found.sdpMid, found.sdpMLineIndex = each.sdp_mid, each.sdp_mline_index
            await call.add_ice_candidate(found)
        except Exception as error:
            log.info("a candidate could not be taken: %r", error)
            raise InputError("this is no ICE candidate", "Send what the browser gave.") from None


def _connections(peer: RTCPeerConnection) -> list[Any]:
    """The ICE connections, none of which has looked for its addresses."""
    transports = [each.receiver.transport for each in peer.getTransceivers()]
    if peer.sctp is not None:
        transports.append(peer.sctp.transport)
    # aiortc has no setting for the addresses that it offers, and never offers this one
    return [each.transport.iceGatherer._connection for each in transports]  # pyright: ignore[reportPrivateUsage]


def _hear_at_once(receiver: RTCRtpReceiver) -> None:
    """aiortc waits for four packets, 80 ms, against networks that bring them out of order; this machine does not. It
    has no setting for that."""
    receiver._RTCRtpReceiver__jitter_buffer = JitterBuffer(capacity=16, prefetch=1)  # pyright: ignore


def _stay_here(connection: Any) -> None:  # noqa: ANN401  an aioice.Connection
    anywhere = connection.get_component_candidates

    async def here(component: int, addresses: Sequence[str], **more: Any) -> Any:  # noqa: ANN401
        _ = addresses
        return await anywhere(component=component, addresses=[_LOOPBACK], **more)

    connection.get_component_candidates = here
