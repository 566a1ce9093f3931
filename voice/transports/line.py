"""A client's connection, whatever it is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from pipecat.audio.filters.base_audio_filter import BaseAudioFilter
from pipecat.transports.base_transport import TransportParams

from voice.microphone import RATE
from voice.outlet import Outlet
from voice.pipeline import OUT_RATE, Ends

_CHUNK = 2
"""Tens of milliseconds that are written at a time: so much more is heard after an interruption, at most."""


@dataclass(frozen=True, slots=True)
class Farewell:
    """Why the server ends a conversation; `again`: a client may come back by itself."""

    why: str
    again: bool = False


class Line(Protocol):
    """Of one conversation."""

    def ends(self, outlet: Outlet) -> Ends:
        """The pipeline's; once."""
        ...

    async def gone(self) -> None:
        """Return when the client has gone, or has not come in time."""
        ...

    async def bye(self, farewell: Farewell) -> None:
        """Tell the client, if it is there, that the conversation is about to end."""
        ...

    async def close(self) -> None:
        """The conversation is over."""
        ...


def sound(outlet: BaseAudioFilter) -> dict[str, Any]:
    """What all transports have in common, for a `TransportParams` of any kind."""
    return TransportParams(
        audio_in_enabled=True, audio_in_sample_rate=RATE, audio_out_enabled=True, audio_out_sample_rate=OUT_RATE,
        audio_out_10ms_chunks=_CHUNK, audio_out_filter=outlet, audio_out_end_silence_secs=0,
    ).model_dump(exclude_unset=True)  # fmt: skip
