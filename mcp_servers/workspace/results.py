"""What the workspace tools answer with: typed for programs, and in words for models."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from mcp_servers.paging import Page
from mcp_servers.schemas import Worded
from mcp_servers.workspace.naming import shown

_SIGNS = {"file": "", "directory": "/", "link": " (symbolic link)", "other": " (neither file nor directory)"}


class Entry(BaseModel):
    """Something with a name."""

    path: str
    kind: Literal["file", "directory", "link", "other"]
    size: int | None = Field(default=None, description="Bytes, of a file.")
    skipped: bool | None = Field(default=None, description="A directory whose content is not listed on purpose.")


class Entries(Page, Worded):
    """What is below a directory."""

    path: str
    entries: list[Entry]

    def words(self) -> str:
        """One line for each."""
        lines = [_listed(each) for each in self.entries] or ["(nothing)"]
        return "\n".join([f"{shown(self.path)}:", *lines, *_notes(self)])


class Lines(Worded):
    """Some lines of a file."""

    path: str
    text: str
    first: int = Field(description="Number of the first line of `text`; lines are numbered from 1.")
    last: int = Field(description="Number of the last; less than `first` if there are none.")
    total: int | None = Field(default=None, description="Lines of the whole file, if it could be read to its end.")
    size: int = Field(description="Bytes, of the whole file.")
    note: str | None = Field(default=None, description="What was left out, and how to get it.")

    def words(self) -> str:
        """A heading, the lines as they are, and what there is to know."""
        total = "" if self.total is None else f" of {self.total:,}"
        what = f"lines {self.first:,} to {self.last:,}{total}" if self.last >= self.first else f"no lines{total}"
        note = f"\n[{self.note}]" if self.note else ""
        return f"{shown(self.path)}: {what}, {self.size:,} bytes\n{self.text}{note}"


class Match(BaseModel):
    """A line that matches."""

    path: str
    line: int
    text: str


class Matches(Page, Worded):
    """Lines that match."""

    matches: list[Match]

    def words(self) -> str:
        """As grep prints them."""
        lines = [f"{shown(each.path)}:{each.line}:{each.text}" for each in self.matches] or ["(no line matches)"]
        return "\n".join([*lines, *_notes(self)])


class Changed(Worded):
    """What was done."""

    path: str
    done: Literal["created", "replaced", "edited", "deleted", "moved"]
    size: int | None = Field(default=None, description="Bytes, of the file as it is now.")
    lines: list[int] | None = Field(default=None, description="Where an edit begins: numbers of lines as they are now.")
    entries: int | None = Field(default=None, description="How much was deleted, if it was a directory.")
    target: str | None = Field(default=None, description="Where it was moved.")

    def words(self) -> str:
        """One sentence."""
        told = [f"{shown(self.path)}: {self.done}"]
        told += [f"to {shown(self.target)}"] if self.target else []
        told += [f"at {_numbered(self.lines)}"] if self.lines else []
        told += [f"with all {self.entries:,} entries in it"] if self.entries else []
        told += [f"({self.size:,} bytes now)"] if self.size is not None else []
        return " ".join(told)


class Ran(Worded):
    """How a command ended, and what it said."""

    exit_code: int = Field(description="128 + n: ended by signal n. 126, 127: it could not be started.")
    cause: Literal["exit", "timeout", "oom", "lease"] = Field(
        description="Why it ended: by itself; stopped at its `timeout`; out of memory; stopped by this worker."
    )
    seconds: float
    output: str = Field(description="stdout and stderr as they came.")
    left_out: int | None = Field(default=None, description="Bytes left out in the middle of `output`.")

    def words(self) -> str:
        """How it ended, then what it said: the end is what is read first."""
        ended = {
            "exit": f"exit code {self.exit_code}",
            "timeout": f"stopped at its timeout, with all that it had started (exit code {self.exit_code})",
            "oom": f"out of memory: something of it was killed for that (exit code {self.exit_code})",
            "lease": f"stopped by the worker (exit code {self.exit_code})",
        }[self.cause]
        return f"{ended} after {self.seconds:.1f} s\n{self.output or '(no output)'}"


def numbers(lines: list[int], most: int = 10) -> str:
    """Some numbers of lines, in words."""
    told = ", ".join(map(str, lines[:most]))
    return f"{told} and {len(lines) - most:,} more" if len(lines) > most else told


def _numbered(lines: list[int]) -> str:
    return f"line{'s' if len(lines) > 1 else ''} {numbers(lines)}"


def _listed(entry: Entry) -> str:
    size = f"  {entry.size:,}" if entry.size is not None else ""
    return f"{shown(entry.path)}{_SIGNS[entry.kind]}{size}{' (not listed)' if entry.skipped else ''}"


def _notes(page: Page) -> list[str]:
    more = f'[More: pass cursor="{page.next_cursor}".]' if page.next_cursor else None
    return [told for told in (f"[{page.note}]" if page.note else None, more) if told]
