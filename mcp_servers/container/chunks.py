"""The body of an HTTP answer as it comes."""

from __future__ import annotations

from http.client import parse_headers
from io import BytesIO


class Body:
    """Takes an answer's bytes apart; `over` once all of it has come, where the answer itself says how much that is."""

    def __init__(self, head: bytes) -> None:
        headers = parse_headers(BytesIO(head.partition(b"\r\n")[2] + b"\r\n\r\n"))
        self._chunked = headers.get("Transfer-Encoding", "").lower() == "chunked"
        length = headers.get("Content-Length")
        self._left = int(length) if length is not None and not self._chunked else None
        self._pending: bytes = b""
        self.over = self._left == 0

    @property
    def open_ended(self) -> bool:
        """The end of the connection is the end of it."""
        return not self._chunked and self._left is None

    def feed(self, data: bytes) -> bytes:
        """What of `data` is content. `ValueError` if it makes no sense."""
        if self._chunked:
            return self._dechunk(data)
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
            self.over = self._left == 0
        return data

    def _dechunk(self, data: bytes) -> bytes:
        self._pending += data
        content: bytes = b""
        while not self.over:
            if self._left is None:
                line, found, rest = self._pending.removeprefix(b"\r\n").partition(b"\r\n")
                if not found:
                    break
                left, self._pending = int(line.partition(b";")[0], 16), rest
                self.over = left == 0
            else:
                left = self._left
            piece, self._pending = self._pending[:left], self._pending[left:]
            content += piece
            self._left = left - len(piece) or None
            if self._left:
                break
        return content
