"""What a container's own command has said."""

from __future__ import annotations

import re
from collections import Counter
from typing import Literal

from mcp_servers.container.engine import Engine
from mcp_servers.container.frames import Frames
from mcp_servers.container.results import Logs
from mcp_servers.paging import text_page
from state.errors import Conflict, SandboxUnavailable
from state.limits import MB

LOG_BYTES = 32 * MB
"""More than ours can have: two files of 8 MB each, as JSON."""
# Our keeper's last word, see keeper.c.
_LAST_WORD = re.compile(rb"\x01([0-9a-f]{32})(?:exit|timeout) (\d+) \d+ \d+\n")

Which = Literal["both", "stdout", "stderr"]


async def read_logs(
    engine: Engine, container: str, which: Which, since: float | None, start: int | None, lines: int | None
) -> Logs:
    """A page of the log that begins at byte `start` of what was said `since` (seconds since 1970), or with its last
    `lines`. `container` is a full id."""
    query = {"stdout": str(int(which != "stderr")), "stderr": str(int(which != "stdout"))}
    if since is not None:
        query["since"] = f"{since:.9f}"
    text = _told(await _read(engine, container, query), 2 if which == "both" else 1)
    begin = _last(text, lines) if lines is not None else min(start or 0, len(text))
    page = text_page(text[begin:], begin, more=False)
    return Logs(**page.model_dump(), position=page.next_cursor or str(len(text)))


async def exit_code(engine: Engine, container: str) -> int | None:
    """Of the container's command, if that has ended and the container still waits."""
    # Both: the engine takes the last line of all, and then looks whether it is of the stream that is asked for.
    said = await _read(engine, container, {"stdout": "1", "stderr": "1", "tail": "1"})
    words = _LAST_WORD.findall(said)
    return int(words[-1][1]) if words else None


async def _read(engine: Engine, container: str, query: dict[str, str]) -> bytes:
    data = bytearray()
    frames = Frames()
    async with engine.stream("GET", f"/containers/{container}/logs", query) as (status, body):
        async for piece in body:
            if status != 200:
                data += piece
                continue
            for _, payload in frames.feed(piece):
                data += payload
            if len(data) > LOG_BYTES:
                raise SandboxUnavailable("This log is too long to be read.", "Pass `since`.")
    if status in (404, 409, 501):
        raise Conflict(f"this container has no log: {data.decode(errors='replace').strip()}")
    if status != 200:
        raise SandboxUnavailable(f"The engine can't read the log: {data.decode(errors='replace').strip()}")
    return bytes(data)


def _told(log: bytes, streams: int) -> bytes:
    """The log with the keeper's last word in words for people: once, though it comes on each of so many streams, and
    where it comes last, since all that was said is before that."""
    heard: Counter[bytes] = Counter()

    def told(word: re.Match[bytes]) -> bytes:
        heard[word[1]] += 1
        return b"[ended with exit code %s]\n" % word[2] if heard[word[1]] == streams else b""

    return _LAST_WORD.sub(told, log)


def _last(text: bytes, lines: int) -> int:
    """Where the last `lines` lines begin."""
    at = len(text) - text.endswith(b"\n")
    for _ in range(lines):
        at = text.rfind(b"\n", 0, at)
        if at < 0:
            return 0
    return at + 1
