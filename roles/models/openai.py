"""OpenAI's SDK, for OpenAI and for all servers that speak as it does: what both of its styles have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from roles.models.port import Usage

if TYPE_CHECKING:
    from openai import AsyncOpenAI

NO_KEY = "none"
"""For servers that need none; the SDK sends something always."""


def open_client(key: str, base_url: str | None) -> AsyncOpenAI:
    """A client that tries once. With a `base_url` it is not told of the organization at OpenAI."""
    from openai import AsyncOpenAI

    if base_url is None:
        return AsyncOpenAI(api_key=key, max_retries=0)
    client = AsyncOpenAI(api_key=key, base_url=base_url, max_retries=0)
    client.organization = client.project = None
    return client


class Read(BaseModel):
    """What is read of the SDK's objects, which may be of any shape."""

    model_config = ConfigDict(from_attributes=True)


class Details(Read):
    """Parts of the input."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


def usage_of(total: int | None, details: Details | None, output: int | None) -> Usage | None:
    """OpenAI counts what was cached or written as input as well; None: it was not told."""
    if not total and not output:
        return None
    details = details or Details()
    cached, written = details.cached_tokens or 0, details.cache_write_tokens or 0
    return Usage(max(0, (total or 0) - cached - written), cached, written, output or 0)
