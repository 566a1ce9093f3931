"""A scripted server of models: real HTTP on loopback, in a thread of its own, in the languages of both makers.

Requests are checked as strictly as makers do, answered with what was scripted, and recorded with when their connection
was closed. Times are of `time.monotonic`, which all threads share.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.services.model_rules import broken_rule
from tests.services.model_wires import Answer, Json, Piece, Wire, error_body, error_event, pieces

_PATHS: dict[str, Wire] = {"/v1/messages": "anthropic", "/v1/chat/completions": "chat", "/v1/responses": "responses"}
_DEADLINE = 10.0


@dataclass
class Asked:
    """One request. `billed`: tokens of output that were sent or told, and whether the reply was sent to its end."""

    wire: Wire
    headers: Mapping[str, str]
    raw: bytes
    connection: int
    refused: str | None = None
    billed: int = 0
    whole: bool = False
    answer: Answer = field(default_factory=Answer)
    at: float = field(default_factory=time.monotonic)
    begun: threading.Event = field(default_factory=threading.Event)
    """The first piece was sent."""
    holding: threading.Event = field(default_factory=threading.Event)
    """All pieces before a silence were sent."""
    closed: threading.Event = field(default_factory=threading.Event)
    """The client closed the connection during the answer."""
    closed_at: float = 0.0

    @property
    def body(self) -> Json:
        """As JSON."""
        return json.loads(self.raw)

    @property
    def charged(self) -> int:
        """Tokens of input and output: what a maker would put on the bill; nothing for an error instead of a reply."""
        used = self.answer.usage
        if self.answer.status != 200 or self.answer.body is not None or used is None or not self.begun.is_set():
            return 0
        return used.input + used.cached + used.written + self.billed


class ModelServer:
    """Answers with what `will` was told, in this order, then with what `chosen` says of a request, if it is set, else
    with `otherwise`."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.otherwise = Answer()
        self.chosen: Callable[[Asked], Answer] | None = None
        self._answers: deque[Answer] = deque()
        self._connections = 0
        self.url = ""

    def will(self, *answers: Answer) -> None:
        """Answer the next requests so."""
        self._answers.extend(answers)

    @property
    def last(self) -> Asked:
        """The last request."""
        return self.asked[-1]

    @property
    def billed(self) -> int:
        """Tokens of output of all requests."""
        return sum(each.billed for each in self.asked)

    def wait_for_request(self, number: int = 1) -> Asked:
        """The request of this number, when its answer has begun."""
        end = time.monotonic() + _DEADLINE
        while len(self.asked) < number and time.monotonic() < end:
            time.sleep(0.005)
        asked = self.asked[number - 1]
        assert asked.begun.wait(_DEADLINE), "no piece was sent"
        return asked

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self._connections += 1
        connection = self._connections
        coming = asyncio.create_task(reader.readline())
        try:
            while line := await coming:
                headers = await _headers(reader)
                raw = await reader.readexactly(int(headers.get("content-length", "0")))
                coming = asyncio.create_task(reader.readline())
                path = line.decode().split()[1]
                if path not in _PATHS:
                    _send_head(writer, 404, {"content-length": "0"})
                    continue
                asked = Asked(_PATHS[path], headers, raw, connection)
                asked.refused = broken_rule(asked.wire, asked.body)
                asked.answer = answer = self._next(asked)
                self.asked.append(asked)
                if not await self._answer(asked, answer, writer, coming):
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has gone
        except asyncio.CancelledError:
            writer.transport.abort()  # the server goes
        finally:
            coming.cancel()
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    def _next(self, asked: Asked) -> Answer:
        if asked.refused:
            error = {"type": "invalid_request_error", "message": asked.refused}
            return Answer(status=400, body=error_body(asked.wire, error), content_type="application/json")
        if self._answers:
            return self._answers.popleft()
        return self.chosen(asked) if self.chosen else self.otherwise

    async def _answer(
        self, asked: Asked, answer: Answer, writer: asyncio.StreamWriter, coming: asyncio.Task[bytes]
    ) -> bool:
        """Whether the connection goes on."""
        sending = asyncio.create_task(_send(asked, answer, writer))
        await asyncio.wait((sending, coming), return_when=asyncio.FIRST_COMPLETED)
        broken = sending.done() and isinstance(sending.exception(), ConnectionError)
        if broken or not sending.done():
            asked.closed_at = time.monotonic()
            asked.closed.set()
            sending.cancel()
        return (await asyncio.gather(sending, return_exceptions=True))[0] is True


async def _send(asked: Asked, answer: Answer, writer: asyncio.StreamWriter) -> bool:
    if answer.hold_after == -1:
        await _hold(asked)
    if answer.body is not None or answer.status != 200:
        body = answer.body if answer.body is not None else error_body(asked.wire, answer.error)
        head = {"content-type": answer.content_type, "content-length": str(len(body))}
        _send_head(writer, answer.status, {**head, **answer.headers})
        writer.write(body)
        await writer.drain()
        asked.begun.set()
        return True
    head = {"content-type": answer.content_type, "transfer-encoding": "chunked", **answer.headers}
    _send_head(writer, 200, head)
    await writer.drain()
    if not await _send_pieces(asked, answer, writer):
        return False
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    asked.whole = answer.error_after is None
    if asked.whole and answer.usage:
        asked.billed = answer.usage.output
    return True


async def _send_pieces(asked: Asked, answer: Answer, writer: asyncio.StreamWriter) -> bool:
    left = answer.cut_at
    sent = _disturbed(asked, answer)
    for number, piece in enumerate(sent):
        if number == answer.hold_after:
            await _hold(asked)
        if answer.delay:
            await asyncio.sleep(answer.delay)
        data = piece.data if left is None else piece.data[:left]
        if data:
            writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            await writer.drain()
        if left is not None:
            left -= len(data)
            if not left:
                return False
        asked.billed += piece.tokens
        asked.begun.set()
    if answer.hold_after == len(sent):
        await _hold(asked)
    return True


async def _hold(asked: Asked) -> None:
    asked.begun.set()
    asked.holding.set()
    await asyncio.Event().wait()


def _disturbed(asked: Asked, answer: Answer) -> list[Piece]:
    sent = pieces(asked.wire, str(asked.body.get("model")), answer)
    if answer.pings:
        sent = [each for piece in sent for each in (Piece(b": still here\n\n"), piece)]
    if answer.error_after is None:
        return sent
    return [*sent[: answer.error_after], Piece(error_event(asked.wire, answer.error))]


async def _headers(reader: asyncio.StreamReader) -> dict[str, str]:
    found: dict[str, str] = {}
    while line := (await reader.readline()).decode("latin-1").strip():
        name, _, value = line.partition(":")
        found[name.lower()] = value.strip()
    return found


def _send_head(writer: asyncio.StreamWriter, status: int, headers: Mapping[str, str]) -> None:
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"HTTP/1.1 {status} Scripted\r\n{lines}\r\n".encode())


@contextmanager
def model_server() -> Generator[ModelServer]:
    """On a loopback port of its own."""
    server = ModelServer()
    loop = asyncio.new_event_loop()
    ready, done = threading.Event(), asyncio.Event()

    async def run() -> None:
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        ready.set()
        await done.wait()
        listening.close()
        while going := asyncio.all_tasks() - {asyncio.current_task()}:
            for task in going:
                task.cancel()
            await asyncio.gather(*going, return_exceptions=True)

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),), daemon=True)
    thread.start()
    assert ready.wait(_DEADLINE)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(_DEADLINE)
        loop.close()
