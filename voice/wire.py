"""What a conversation and its client's screen tell each other, by RTVI messages besides Pipecat's own.

To the client, as ``server-message`` with an ``event``: ``hello``, what `voice.chronicle` tells, ``progress``. From it,
as ``client-message``: ``talk`` (``pressed``), ``mute`` (``muted``), ``detail`` (``more``); each is answered by a
``server-response``, or an ``error-response`` that says why not.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from pipecat.frames.frames import InputTransportMessageFrame
from pipecat.processors.frameworks.rtvi import RTVIProcessor
from pipecat.processors.frameworks.rtvi import models as rtvi

from voice.chronicle import Entry
from voice.frames import SleepFrame, TalkFrame
from voice.saying import Saying

_TAKEN = frozenset(("client-ready", "client-message", "disconnect-bot"))
_WAITING = 200
"""Messages to a client that takes none; the oldest go first."""
_COMING = 100


class Wire(RTVIProcessor):
    """Of one conversation. `hello` is told to a client that is ready; `detail` is called when it wants to be told more,
    or less. Of RTVI, what is of no use here is not taken: it can bring files, other people's words, raw audio."""

    def __init__(self, hello: Entry, detail: Callable[[bool], None]) -> None:
        super().__init__()
        self._hello = hello
        self._detail = detail
        self._news: deque[Entry] = deque(maxlen=_WAITING)
        self._some = asyncio.Event()
        self._there = False

    # --- to the client -----------------------------------------------------------------------------------------------

    def tell(self, entry: Entry) -> None:
        """As soon as may be; what happens before the client is there waits for it."""
        self._news.append(entry)
        if self._there:
            self._some.set()

    def show(self, sayings: Sequence[Saying]) -> None:
        """What is new in runs, before it is spoken."""
        for each in sayings:
            self.tell({"event": "progress", "text": each.text, "kind": each.kind, "run": each.run})

    async def telling(self) -> None:
        """Until cancelled."""
        while True:
            await self._some.wait()
            self._some.clear()
            while self._news:
                await self.send_server_message(self._news.popleft())

    async def set_client_ready(self) -> None:
        """See `RTVIProcessor`."""
        await super().set_client_ready()
        self._there = True
        self._news.appendleft({"event": "hello", **self._hello})
        self._some.set()

    # --- from the client ---------------------------------------------------------------------------------------------

    async def _handle_transport_message(self, frame: InputTransportMessageFrame) -> None:
        sent: object = frame.message
        kind = cast("dict[str, Any]", sent).get("type") if isinstance(sent, dict) else None
        if not isinstance(kind, str) or kind not in _TAKEN:
            await self.send_error(f"messages of the type {str(kind)[:50]!r} are not taken here")
        elif self._message_queue.qsize() < _COMING:
            await super()._handle_transport_message(frame)

    async def _handle_client_message(self, msg_id: str, data: rtvi.RawClientMessageData) -> None:
        given: Mapping[str, Any] = cast("Mapping[str, Any]", data.d) if isinstance(data.d, dict) else {}
        match data.t, given:
            case "talk", {"pressed": bool(pressed)}:
                await self.push_frame(TalkFrame(pressed=pressed))
            case "mute", {"muted": bool(muted)}:
                if muted:
                    await self.push_frame(SleepFrame())
            case "detail", {"more": bool(more)}:
                self._detail(more)
            case _:
                await self.send_error_response(
                    _asked(msg_id, data), "talk, mute or detail is known, with true or false"
                )
                return
        await self.send_server_response(_asked(msg_id, data), {"done": True})


def _asked(id: str, data: rtvi.RawClientMessageData) -> rtvi.ClientMessage:
    return rtvi.ClientMessage(msg_id=id, type=data.t, data=data.d)
