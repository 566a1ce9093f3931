"""What clients send over a WebSocket: Pipecat's protobuf frames, of which audio and messages are for us.

Not the serializer's own reading: by that a client can have any text spoken, put words into others' mouths, choose the
ids of frames, and end the connection by a number of channels that is 0.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pipecat.frames.protobufs.frames_pb2 as frames_pb2
from google.protobuf.message import DecodeError
from pipecat.frames.frames import (
    Frame,
    InputAudioRawFrame,
    InputTransportMessageFrame,
    InterruptionFrame,
    OutputAudioRawFrame,
    OutputTransportMessageFrame,
    OutputTransportMessageUrgentFrame,
)
from pipecat.serializers.protobuf import ProtobufFrameSerializer

from voice.pace import Pace

Refuse = Callable[[int, str], Awaitable[None]]
"""End the connection, by this code of RFC 6455, and say why."""
_WRITTEN = (OutputAudioRawFrame, OutputTransportMessageFrame, OutputTransportMessageUrgentFrame, InterruptionFrame)
_UNSUPPORTED, _INVALID = 1003, 1007
_AHEAD_SECONDS = 5.0
_MESSAGES_AHEAD, _MESSAGE_SECONDS = 50, 0.05
_PIECE_SECONDS = 0.005
"""Each frame counts for so much sound, at least."""


class ClientFrames(ProtobufFrameSerializer):
    """Of one connection. A client that sends faster than anybody speaks is read no faster: its own buffers fill, and
    not ours."""

    def __init__(self, refuse: Refuse) -> None:
        super().__init__()
        self._refuse = refuse
        self._audio = Pace(_AHEAD_SECONDS)
        self._messages = Pace(_MESSAGES_AHEAD * _MESSAGE_SECONDS)

    async def serialize(self, frame: Frame) -> str | bytes | None:
        """See `ProtobufFrameSerializer`; nothing of what clients do not know."""
        return await super().serialize(frame) if isinstance(frame, _WRITTEN) else None

    async def deserialize(self, data: str | bytes) -> Frame | None:
        """Audio, or a message; None: something else."""
        if isinstance(data, str):
            await self._refuse(_UNSUPPORTED, "text messages are not known here: send Pipecat's protobuf frames")
            return None
        sent: Any = cast(Any, frames_pb2).Frame()
        try:
            sent.ParseFromString(data)
        except DecodeError:
            await self._refuse(_INVALID, "this is none of Pipecat's protobuf frames")
            return None
        match sent.WhichOneof("frame"):
            case "audio":
                return await self._heard(sent.audio.audio, sent.audio.sample_rate, sent.audio.num_channels)
            case "message":
                return await self._told(sent.message.data)
            case _:
                return None

    async def _heard(self, audio: bytes, rate: int, channels: int) -> Frame:
        frame = InputAudioRawFrame(audio=audio, sample_rate=rate, num_channels=max(1, channels))
        frame.num_channels = channels  # what is impossible is the microphone's to refuse
        seconds = len(audio) / (2 * max(rate, 8_000) * max(channels, 1))
        await asyncio.sleep(self._audio.early(max(seconds, _PIECE_SECONDS)))
        return frame

    async def _told(self, text: str) -> Frame | None:
        await asyncio.sleep(self._messages.early(_MESSAGE_SECONDS))
        try:
            return InputTransportMessageFrame(message=json.loads(text))
        except (ValueError, RecursionError):
            await self._refuse(_INVALID, "a message is no JSON")
            return None
