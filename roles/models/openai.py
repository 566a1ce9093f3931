"""OpenAI's SDK, for OpenAI and for all servers that speak as it does: what both of its styles have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from roles.models.port import Usage
from roles.models.reading import Number, Read

if TYPE_CHECKING:
    from openai import AsyncOpenAI

NO_KEY = "none"
"""For servers that need none; the SDK sends something always."""
LONGEST_CACHE_KEY = 64


def open_client(key: str, base_url: str | None) -> AsyncOpenAI:
    """A client that tries once. With a `base_url` it is not told of the organization at OpenAI."""
    from openai import AsyncOpenAI

    if base_url is None:
        return AsyncOpenAI(api_key=key, max_retries=0)
    client = AsyncOpenAI(api_key=key, base_url=base_url, max_retries=0)
    client.organization = client.project = None
    return client


class Details(Read):
    """Parts of the input."""

    cached_tokens: Number = 0
    cache_write_tokens: Number = 0


def usage_of(total: int, details: Details | None, output: int) -> Usage | None:
    """OpenAI counts what was cached or written as input as well; None: it was not told."""
    if not total and not output:
        return None
    cached, written = (details.cached_tokens, details.cache_write_tokens) if details else (0, 0)
    return Usage(max(0, total - cached - written), cached, written, output)
