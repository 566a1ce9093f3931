"""A model at the other end of a connection, in a process of its own so that its CPU is not its callers': answers in the
language of Anthropic's Messages, at once and in one piece, with what `agent_ground.call_of` says.

It knows a conversation, and how far that is, by the last id of a call in it. The model's name says how many steps there
are (`model_of`). ``GET /talks`` tells when it was asked, and forgets that.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import cache

from benchmarks.agent_ground import NEEDED, Talk, call_of
from benchmarks.measuring import ROOT
from tests.services.model_wires import Answer, Call, Say, pieces

_MODEL = "steps-"
_ID = "talk000-0000"
"""The form of an id: conversation and turn."""
_LAST = b'"tool_use_id":"talk'
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_PREPARED = 200
"""Turns whose answers are made before anybody asks."""


def model_of(steps: int) -> str:
    """The name of the model that wants so many steps."""
    return f"{_MODEL}{steps}"


def talks(server: str) -> list[Talk]:
    """Since they were last asked for. `server`: its URL."""
    with urllib.request.urlopen(f"{server}/talks", timeout=60) as answer:  # noqa: S310 - ours, on loopback
        return [Talk(**each) for each in json.load(answer)]


@contextmanager
def serving() -> Generator[str]:
    """The URL of one, which is there meanwhile."""
    command = [sys.executable, "-m", "benchmarks.agent_server"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


class _Server:
    def __init__(self) -> None:
        self._talks: list[tuple[int, Talk]] = []
        """With how many steps each has."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(head)
                body = await reader.readexactly(int(length[1]) if length else 0)
                writer.write(self._told() if head.startswith(b"GET") else self._answered(body))
                await writer.drain()
        writer.close()

    def _told(self) -> bytes:
        told = json.dumps([asdict(talk) for _, talk in self._talks]).encode()
        self._talks.clear()
        return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(told), told)

    def _answered(self, body: bytes) -> bytes:
        now = time.perf_counter()
        at = body.rfind(_LAST)
        if at < 0:
            number, turn = len(self._talks), 0
            asked = json.loads(body)
            if all(tool["name"] != NEEDED for tool in asked.get("tools", ())):
                return _stream("No.", "")
            self._talks.append((int(asked["model"].removeprefix(_MODEL)), Talk()))
        else:
            place = at + len(_LAST)
            number, turn = int(body[place : place + 3]), int(body[place + 4 : place + 8]) + 1
        steps, talk = self._talks[number]
        talk.asked.append(now)
        if turn == steps:
            talk.failed = b'"is_error":true' in body
        call = call_of(turn, steps, writes=False)
        stream = _stream(call.name, json.dumps(dict(call.arguments)))
        return stream.replace(_ID.encode(), b"talk%03d-%04d" % (number, turn))


@cache
def _stream(words: str, arguments: str) -> bytes:
    """A whole answer: a call of this name, or words."""
    part = Call(words, arguments, _ID) if arguments else Say(words)
    sent = [piece.data for piece in pieces("anthropic", "claude", Answer((part,)))]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(data), data) for data in [*sent, b""])
    return b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n" + chunks


async def _main() -> None:
    for turn in range(_PREPARED):
        call = call_of(turn, _PREPARED, writes=False)
        _stream(call.name, json.dumps(dict(call.arguments)))
    listening = await asyncio.start_server(_Server().serve, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", flush=True)
    await listening.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main())
