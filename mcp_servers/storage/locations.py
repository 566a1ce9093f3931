"""Remote locations: ``file:///absolute/path`` and ``s3://bucket/key``; a trailing slash means a directory.

Names are literal: nothing is percent-decoded, ``?`` and ``#`` are ordinary characters, and no Unicode form is preferred
over another. So each object has exactly one URL, ``%2e%2e`` is a file with that odd name and never a way up, and what a
listing returns can be asked for as it is.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from state.errors import InputError

STAGING = ".atlas"
"""The directory below a remote directory that holds staged outputs; not part of what the directory contains."""

Scheme = Literal["file", "s3"]

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_S3_KEY_BYTES = 1024
_FORMS = "Write s3://bucket/key or file:///absolute/path; end it with a slash for a directory."


@dataclass(frozen=True, slots=True)
class Location:
    """A validated URL. `key` is an S3 key, or an absolute path for ``file``; `bucket` is empty for ``file``."""

    scheme: Scheme
    bucket: str
    key: str

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.key}" if self.scheme == "s3" else f"file://{self.key}"

    @property
    def directory(self) -> bool:
        return self.key.endswith("/") or not self.key

    @property
    def path(self) -> Path:
        """The local path of a ``file`` location."""
        if self.scheme != "file":
            raise ValueError(f"{self.url} is not a local file")
        return Path(self.key)

    @property
    def name(self) -> str:
        """The last name, without a slash."""
        return self.key.rstrip("/").rpartition("/")[2]


def parse(url: str) -> Location:
    """The location of an absolute URL. `InputError` says what is wrong with any other."""
    scheme, rest = _split(url)
    if scheme == "file":
        if not rest.startswith("/"):
            raise InputError(f"{_shown(url)} is not absolute", "Write file:///absolute/path.")
        _check_segments(url, rest[1:])
        return Location("file", "", rest)
    bucket, slash, key = rest.partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise InputError(f"{_shown(url)} has no valid bucket name", f"{_FORMS} Credentials and hosts are settings.")
    if not slash:
        raise InputError(f"{_shown(url)} names a bucket and no key", f"Write {url}/ for the whole bucket.")
    if len(key.encode()) > _S3_KEY_BYTES:
        raise InputError(f"the key of {_shown(url)} is over {_S3_KEY_BYTES} bytes", "Choose shorter names.")
    _check_segments(url, key)
    return Location("s3", bucket, key)


def resolve(url: str, base: Path) -> str:
    """`url` made absolute and validated: ``file://data/x`` and ``file://./data/x`` are below `base`, the directory of
    the document that says so."""
    scheme, rest = _split(url)
    if scheme == "s3" or rest.startswith("/"):
        return parse(url).url
    if rest.startswith("localhost/"):
        raise InputError(f"{_shown(url)} names a host", "Write file:///absolute/path, or file://./localhost/….")
    while rest.startswith("./"):
        rest = rest[2:]
    if not rest:
        raise InputError(f"{_shown(url)} names nothing", _FORMS)
    return join(from_path(base.absolute(), directory=True), rest)


def join(root: str, relative: str) -> str:
    """The URL of `relative` below the directory `root`."""
    if not root.endswith("/"):
        raise InputError(f"{_shown(root)} is not a directory", "End it with a slash.")
    if not relative or relative.startswith("/"):
        raise InputError(f"{_shown(relative)} is not a name below {_shown(root)}", "Use a relative path.")
    return parse(root + relative).url


def relative(root: str, url: str) -> str:
    """What `join` was given: the path of `url` below `root`, safe to use as a relative local path."""
    if not root.endswith("/") or not url.startswith(root) or url == root:
        raise InputError(f"{_shown(url)} is not below {_shown(root)}", "")
    name = parse(url).url[len(root) :]
    if name.endswith("/"):
        raise InputError(f"{_shown(url)} has content but the name of a directory", "Rename or remove that object.")
    return name


def parent(url: str) -> str:
    """The directory that holds `url`, with its slash; a directory's own is itself."""
    return url if url.endswith("/") else url.rpartition("/")[0] + "/"


def from_path(path: Path, *, directory: bool = False) -> str:
    """The URL of an absolute local path."""
    text = str(path)
    if directory and not text.endswith("/"):
        text += "/"
    return parse(f"file://{text}").url


def object_location(url: str) -> Location:
    """`parse`, for an operation on one object."""
    location = parse(url)
    if location.directory:
        raise InputError(f"{_shown(url)} is a directory", "Name one object, without a slash at the end.")
    return location


def directory_location(url: str) -> Location:
    """`parse`, for an operation on all that is below."""
    location = parse(url)
    if not location.directory:
        raise InputError(f"{_shown(url)} is not a directory", "End it with a slash.")
    return location


def _split(url: str) -> tuple[Scheme, str]:
    if _CONTROL.search(url):
        raise InputError(f"{_shown(url)} has a control character in it", "Remove it from the name.")
    try:
        url.encode()
    except UnicodeEncodeError:
        raise InputError(f"{_shown(url)} is not valid Unicode", "Rename it: remote names are UTF-8.") from None
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("file", "s3"):
        raise InputError(f"{_shown(url)} is not a location", _FORMS)
    return scheme, rest


def _check_segments(url: str, key: str) -> None:
    """Every object below a directory must have its own place on a local disk, and none outside it."""
    segments = key.removesuffix("/").split("/") if key else []
    for segment in segments:
        if segment in ("", ".", ".."):
            what = f"a {segment!r} segment" if segment else "an empty segment"
            raise InputError(f"{_shown(url)} has {what}", "Write the path without '.', '..' and double slashes.")


def _shown(url: str) -> str:
    text = url if url.isprintable() and url else ascii(url)
    return text if len(text) <= 200 else f"{text[:200]}…"
