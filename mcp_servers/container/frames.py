"""What comes back over an attached container: the engine's frames, and in them the keeper's last word."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from state.ports import Stream

HEADER = struct.Struct(">BxxxI")
ORDER = struct.Struct("<IIII")
STREAMS: dict[int, Stream] = {1: "stdout", 2: "stderr"}


def order(nonce: str, argv: tuple[str, ...], environment: dict[str, str], timeout: float) -> bytes:
    """The keeper's order to run a command: see keeper.c."""
    strings = [nonce, *argv, *(f"{name}={value}" for name, value in environment.items())]
    text = b"".join(string.encode() + b"\0" for string in strings)
    milliseconds = min(max(1, round(timeout * 1000)), 0xFFFFFFFF)
    return b"R" + ORDER.pack(len(text), len(argv), len(environment), milliseconds) + text


class Frames:
    """Splits the engine's multiplexed stream. Payloads are passed on as they come, never collected."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._stream: Stream | None = None
        self._left = 0

    def feed(self, data: bytes) -> list[tuple[Stream, bytes]]:
        """The payloads in `data`, in order. A stream this protocol does not have is skipped."""
        self._buffer += data
        parts: list[tuple[Stream, bytes]] = []
        at = 0
        while True:
            if self._left == 0:
                if len(self._buffer) - at < HEADER.size:
                    break
                kind, self._left = HEADER.unpack_from(self._buffer, at)
                self._stream = STREAMS.get(kind)
                at += HEADER.size
            size = min(self._left, len(self._buffer) - at)
            if size == 0 and self._left:
                break
            if size and self._stream is not None:
                parts.append((self._stream, bytes(self._buffer[at : at + size])))
            at += size
            self._left -= size
        del self._buffer[:at]
        return parts


@dataclass(frozen=True, slots=True)
class LastWord:
    """How the keeper saw the command end."""

    timed_out: bool
    code: int
    oom_kills: int
    seconds: float


class Output:
    """One stream of a command. Everything before the nonce is its output; after it comes the last word.

    The command does not know the nonce, so it can't say the last word itself.
    """

    def __init__(self, nonce: str) -> None:
        self._nonce = nonce.encode()
        self._held = b""
        self._word: bytes | None = None
        self.last: LastWord | None = None

    def feed(self, data: bytes) -> bytes:
        """What of `data` (and of what was held back before) is certainly output."""
        if self._word is None:
            data, self._held = self._held + data, b""
            output, found, rest = data.partition(self._nonce)
            if not found:
                keep = next((n for n in range(len(self._nonce) - 1, 0, -1) if data.endswith(self._nonce[:n])), 0)
                self._held = data[len(data) - keep :]
                return data[: len(data) - keep]
            self._word, data = b"", rest
        else:
            output = b""
        self._word += data
        if self._word.endswith(b"\n") and self.last is None:
            cause, code, kills, microseconds = self._word.split()
            self.last = LastWord(cause == b"timeout", int(code), int(kills), int(microseconds) / 1e6)
        return output
