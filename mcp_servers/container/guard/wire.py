"""HTTP as our own client speaks it, and nothing that could be read in two ways: one request a connection."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from http.client import responses
from urllib.parse import parse_qsl, unquote

from mcp_servers.container.guard.policy import Refused

LARGEST_HEAD = 64 << 10
_LARGEST_BODY = 1 << 20
_LINE = re.compile(rb"(GET|POST|DELETE) (/[!-~]*) HTTP/1\.1")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t -~]*)")
UPGRADED = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Request:
    """`steps` are those of the path, `body` is decoded JSON."""

    method: str
    steps: tuple[str, ...]
    query: dict[str, str]
    fields: dict[str, str]
    body: object


async def read(reader: asyncio.StreamReader) -> Request:
    """The request. `Refused` with 400 if it is not plain."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        line, *lines = head[:-4].split(b"\r\n")
        asked, fields = _LINE.fullmatch(line), [_FIELD.fullmatch(each) for each in lines]
        if asked is None or None in fields:
            raise ValueError("not HTTP/1.1")
        named = {each[1].decode().lower(): each[2].decode().strip() for each in fields if each}
        length = named.get("content-length", "0")
        if len(named) != len(fields) or "transfer-encoding" in named or not re.fullmatch("[0-9]{1,7}", length):
            raise ValueError("a field twice, or a body without its length")
        path, _, text = asked[2].decode().partition("?")
        query = parse_qsl(text, keep_blank_values=True, strict_parsing=True, max_num_fields=20) if text else []
        if int(length) > _LARGEST_BODY or len(dict(query)) != len(query):
            raise ValueError("too much")
        data = await reader.readexactly(int(length))
        body: object = json.loads(data) if data else None
    except (ValueError, RecursionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise Refused(f"this is no request of a worker of ours: {error}", 400) from error
    return Request(asked[1].decode(), tuple(map(unquote, path[1:].split("/"))), dict(query), named, body)


def answer(status: int, body: object = None) -> bytes:
    """The whole of an answer, which is the last on its connection."""
    content = b"" if body is None else json.dumps(body).encode()
    reason = responses.get(status, "?")
    fields = f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\nConnection: close"
    return f"HTTP/1.1 {status} {reason}\r\n{fields}\r\n\r\n".encode() + content
