"""What the container tools answer with."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from mcp_servers.paging import Page, Text


class Ended(BaseModel):
    """How a command ended, and what it said."""

    exit_code: int = Field(description="128 + n: ended by signal n. 126, 127: it could not be started.")
    out_of_memory: bool = Field(description="The kernel killed something in the container, whatever the exit code.")
    timed_out: bool = Field(description="It was stopped at its `timeout`.")
    seconds: float
    stdout: str
    stderr: str
    note: str | None = Field(default=None, description="What was left out, and how to get it.")


class Handle(BaseModel):
    """A container."""

    container: str = Field(description="Its id, to pass as `container`.")
    state: str
    note: str | None = None


class Listed(BaseModel):
    """A container in a list."""

    container: str
    name: str
    image: str
    state: str
    status: str
    label: str
    exit_code: int | None = Field(
        default=None, description="Of its `command`, if that has ended and the container still waits."
    )
    created: str
    ours: bool = Field(description="Made by Atlas; others can only be looked at.")


class ContainerPage(Page):
    containers: list[Listed]


class ImageListed(BaseModel):
    """An image on the engine."""

    names: list[str]
    id: str
    bytes: int
    created: str


class ImagePage(Page):
    images: list[ImageListed]


class ImageReady(BaseModel):
    """An image that can be used now."""

    image: str = Field(description="Its name, to pass as `image`.")
    id: str
    log: str = Field(description="The end of what the engine said.")


class FileContent(Page):
    """A stretch of a file."""

    path: str
    size: int = Field(description="Bytes, of the whole file.")
    encoding: Literal["text", "base64"]
    content: str


class FileWritten(BaseModel):
    """A file as it is now."""

    path: str
    size: int
    replaced: int | None = Field(default=None, description="How many places an edit changed.")


class Entry(BaseModel):
    """A name in a directory."""

    path: str
    kind: Literal["file", "directory", "link", "other"]
    size: int
    modified: str


class EntryPage(Page):
    entries: list[Entry]


class Match(BaseModel):
    """A line that matches."""

    path: str
    line: int
    text: str


class MatchPage(Page):
    matches: list[Match]


class Copied(BaseModel):
    """What was copied."""

    source: str
    target: str
    files: int
    bytes: int
    left_out: list[str] = Field(default_factory=list[str], description="Links and devices, which are not copied.")


class Logs(Text):
    """Lines of a log."""

    position: str = Field(description="Where this answer ends; pass it as `cursor` later for what comes after it.")


class Stats(BaseModel):
    """What a container uses now."""

    container: str
    cpu_percent: float = Field(description="Of one core.")
    memory_bytes: int
    memory_limit: int
    pids: int
    received_bytes: int
    sent_bytes: int
