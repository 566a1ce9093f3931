"""What the S3 tools answer."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from mcp_servers.paging import Page

Encoding = Literal["text", "base64"]


class Bucket(BaseModel):
    """One bucket of the allow-list."""

    name: str
    allowed: list[str] = Field(description="What may be used of it: these prefixes, and all below.")
    readable: bool = Field(description="False: the server refuses to tell about the bucket as a whole.")


class Buckets(Page):
    """The buckets of the allow-list that exist."""

    buckets: list[Bucket]


class Entry(BaseModel):
    """An object in a listing."""

    url: str
    size: int = Field(description="Bytes.")
    etag: str
    modified: str = Field(description="When it was written: ISO 8601, UTC; empty where the server does not tell.")


class Listing(Page):
    """Objects below a prefix, in the order of their keys."""

    objects: list[Entry]
    prefixes: list[str] = Field(description="With a delimiter: what objects with that much in common were folded to.")


class Head(BaseModel):
    """What is known of an object, without its content."""

    url: str
    size: int = Field(description="Bytes.")
    etag: str
    modified: str = Field(description="When it was written: ISO 8601, UTC; empty where the server does not tell.")
    content_type: str
    metadata: dict[str, str] = Field(description="What its writer noted with it.")


class Content(Page):
    """A stretch of an object."""

    url: str
    size: int = Field(description="Bytes of the whole object.")
    etag: str
    content_type: str
    metadata: dict[str, str] = Field(description="What its writer noted with it.")
    start: int = Field(description="The first byte of this stretch.")
    end: int = Field(description="The byte after its last.")
    encoding: Encoding = Field(description="How `content` says the bytes: as UTF-8 text, or as base64.")
    content: str


class Written(BaseModel):
    """An object that was written."""

    url: str
    size: int = Field(description="Bytes.")
    etag: str


class Refused(BaseModel):
    """An object that was not deleted."""

    url: str
    reason: str


class Deleted(Page):
    """What became of each object that was to be deleted."""

    deleted: int = Field(description="So many are gone, whether they were there or not: all that are not in `failed`.")
    failed: list[Refused]


class Presigned(BaseModel):
    """A URL that works without credentials. It is itself a secret."""

    url: str
    method: Literal["GET", "PUT"]
    expires_at: str = Field(description="When it ends to work: ISO 8601, UTC.")


class Fetched(BaseModel):
    """An object that is now a local file."""

    url: str
    path: str
    size: int = Field(description="Bytes.")
    etag: str
