"""The two ends of a transfer: internal paths, which stay in the workspace, and remote locations (design §3).

What a location is, `mcp_servers.storage.locations` says; here it is said in the document's words.

As in `values`, a `ValueError` says what is wrong with the text.
"""

from __future__ import annotations

from pathlib import Path

from mcp_servers.storage import locations as storage
from orchestrator.plan.problems import quoted
from orchestrator.plan.values import CONTROL, text_of
from state.errors import InputError

REMOTE_PATTERN = r"^(?!.*/\.\.(/|$))(s3|file)://."
_PATH_BYTES = 4_096
_NAME_BYTES = 255
_KERNEL_DIRECTORIES = frozenset(("proc", "sys", "dev"))


def internal(value: object) -> str:
    """A path as the command sees it, without ``./``, doubled slashes and the like. A trailing slash means a directory.

    Relative to the working directory, or absolute. It must not leave the workspace.
    """
    text = text_of(value)
    if not text or CONTROL.search(text) or len(text.encode()) > _PATH_BYTES:
        raise ValueError(f"{quoted(text)} is not a path")
    if text.startswith("~"):
        raise ValueError(f"{quoted(text)}: ~ is not expanded; write a path in the workspace")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise ValueError(f"{quoted(text)} leaves the workspace")
    if not parts:
        raise ValueError(f"{quoted(text)} must name something inside the workspace")
    if any(len(part.encode()) > _NAME_BYTES for part in parts):
        raise ValueError(f"{quoted(text)} has a name of more than {_NAME_BYTES} bytes")
    absolute = text.startswith("/")
    if absolute and parts[0] in _KERNEL_DIRECTORIES:
        raise ValueError(f"{quoted(text)} belongs to the kernel")
    slash = "/" if text.endswith(("/", "/.")) else ""
    return f"{'/' if absolute else ''}{'/'.join(parts)}{slash}"


def touched(value: object) -> str:
    """A pattern of files in the repository, such as ``src/parser/**``."""
    path = internal(value)
    if path.startswith("/"):
        raise ValueError(f"{quoted(path)} must be relative to the repository")
    return path


def remote(value: object) -> str:
    """``s3://bucket/key`` or ``file://path``, the latter perhaps relative to the plan file."""
    text = text_of(value)
    if len(text.encode()) > _PATH_BYTES or not text.startswith(("s3://", "file://")):
        raise ValueError(f"{quoted(text)} is not a location; write s3://bucket/key or file://path")
    if ".." in text.split("/"):
        raise ValueError(f"{quoted(text)} must not go up with '..'; write the path without it")
    if text.startswith("file://~"):
        raise ValueError(f"{quoted(text)}: ~ is not expanded; write the whole path")
    try:
        storage.resolve(text, Path("/"))
    except InputError as error:
        raise ValueError(f"{error.message}. {error.hint}".rstrip()) from None
    return text


def is_relative(url: str) -> bool:
    """Whether this remote depends on the place of the plan file."""
    return url.startswith("file://") and not url.startswith("file:///")


def absolute_remote(url: str, directory: Path | None) -> str:
    """The remote with a relative ``file://`` path resolved against the plan file's directory. Raises `InputError`."""
    if directory is None and is_relative(url):
        raise InputError(f"{quoted(url)} is relative to a plan file, and there is none", "Write an absolute path.")
    return storage.resolve(url, directory or Path("/"))
