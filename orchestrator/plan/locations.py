"""The two ends of a transfer: internal paths, which stay in the workspace, and remote locations (design §3).

As in `values`, a `ValueError` says what is wrong with the text.
"""

from __future__ import annotations

import os.path
import re
from pathlib import Path

from orchestrator.plan.problems import quoted
from orchestrator.plan.values import CONTROL, text_of

REMOTE_PATTERN = r"^(s3://[A-Za-z0-9][A-Za-z0-9._-]*/|file://.)"
_S3 = re.compile(r"s3://[A-Za-z0-9][A-Za-z0-9._-]{0,254}/(.*)", re.DOTALL)
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
    """``s3://bucket/key`` or ``file://path``. A trailing slash means a directory."""
    text = text_of(value)
    if CONTROL.search(text) or len(text.encode()) > _PATH_BYTES:
        raise ValueError(f"{quoted(text)} is not a location")
    if text.startswith("file://"):
        return _file_remote(text)
    if (match := _S3.fullmatch(text)) is not None:
        if any(part in (".", "..") for part in match.group(1).split("/")):
            raise ValueError(f"{quoted(text)} must not contain '.' or '..' as a name")
        return text
    raise ValueError(f"{quoted(text)} is not a location; write s3://bucket/key or file://path")


def _file_remote(text: str) -> str:
    path = text.removeprefix("file://")
    if path.startswith("~"):
        raise ValueError(f"{quoted(text)}: ~ is not expanded; write the whole path")
    if path.startswith("localhost/"):
        raise ValueError(f"{quoted(text)}: leave the host out, as in file:///path or file://path")
    if path.strip("/") in ("", "."):
        raise ValueError(f"{quoted(text)} must name a file, or a directory with a trailing slash")
    return text


def is_relative(url: str) -> bool:
    """Whether this remote depends on the place of the plan file."""
    return url.startswith("file://") and not url.startswith("file:///")


def absolute_remote(url: str, directory: Path | None) -> str:
    """The remote with a relative ``file://`` path resolved against the plan file's directory.

    Raises `ValueError` when it is relative and there is no such directory.
    """
    if not url.startswith("file://"):
        return url
    path = url.removeprefix("file://")
    if not path.startswith("/"):
        if directory is None:
            raise ValueError(f"{quoted(url)} is relative to a plan file, and there is none; write an absolute path")
        path = f"{directory.absolute()}/{path}"
    slash = "/" if path.endswith("/") else ""
    return f"file://{os.path.normpath('/' + path.lstrip('/')).rstrip('/')}{slash}"
