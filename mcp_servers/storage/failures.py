"""What the operating system refuses, in the words of `RemoteError`: what happened, to which URL, and what to do."""

from __future__ import annotations

import errno
from collections.abc import Generator
from contextlib import contextmanager

from state.errors import AtlasError, InputError, RemoteForbidden, RemoteMissing, RemoteUnavailable

_NO_SPACE = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_FORBIDDEN = frozenset((errno.EACCES, errno.EPERM, errno.EROFS))
_MISSING = frozenset((errno.ENOENT, errno.ENOTDIR))


def missing(url: str) -> RemoteMissing:
    """Nothing is there."""
    literal = " Names are literal: '%20' is not a space." if "%" in url else ""
    return RemoteMissing(f"{url} does not exist", f"Check the name; a directory ends with a slash.{literal}")


def changed(url: str) -> RemoteMissing:
    """It is no longer the version that was asked for."""
    return RemoteMissing(f"{url} is no longer the version that was asked for", "Read it again.")


def from_os(url: str, doing: str, error: OSError) -> AtlasError:
    """The `AtlasError` for an `OSError` met while `doing` something with `url`."""
    place = f" ({error.filename})" if error.filename and str(error.filename) not in url else ""
    reason = f"{doing} {url}: {error.strerror or error}{place}"
    match error.errno:
        case number if number in _MISSING:
            return missing(url)
        case number if number in _FORBIDDEN:
            return RemoteForbidden(reason, "Give this user access to it, or choose another place.")
        case number if number in _NO_SPACE:
            return RemoteUnavailable(f"{doing} {url}: no space left{place}", "Make room on that disk, then try again.")
        case errno.EISDIR:
            return RemoteMissing(f"{url} is a directory, not a file", "End the URL with a slash to mean all of it.")
        case errno.ENAMETOOLONG:
            return InputError(f"{url} is too long a name for this file system", "Choose shorter names.")
        case errno.ELOOP:
            return InputError(reason, "Symbolic links are not followed here: use the real path, or remove the link.")
        case errno.EEXIST:
            return InputError(f"{doing} {url}: {error.filename} exists already", "Choose a new path.")
        case _:
            return RemoteUnavailable(reason, "Look at the disk or mount behind it, then try again.")


@contextmanager
def told(url: str, doing: str) -> Generator[None]:
    """Turn an `OSError` of the block into `from_os`."""
    try:
        yield
    except OSError as error:
        raise from_os(url, doing, error) from error
