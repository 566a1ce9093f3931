"""Files of this host below the allowed directories, as containers take and give them."""

from __future__ import annotations

import os
import stat
from collections.abc import Generator
from contextlib import contextmanager

from mcp_servers.local_roots import Place
from mcp_servers.storage import beneath
from state.errors import InputError


@contextmanager
def refusals(path: str) -> Generator[None]:
    """An `OSError` inside is told as an `InputError` about `path`."""
    try:
        yield
    except OSError as error:
        about = f"{error.filename}: " if error.filename and not isinstance(error.filename, int) else ""
        raise InputError(f"{path}: {about}{error.strerror or error}", "Symbolic links are not followed.") from error


def files(place: Place) -> list[str]:
    """Files at or below the place, as paths relative to its root: one, if it is a file."""
    *parts, name = place.parts or ["."]
    with beneath.directory(place.root, parts) as parent:
        mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
    if not stat.S_ISDIR(mode):
        beneath.check_regular(mode, place.relative)
        return [place.relative]
    return sorted(beneath.walk(place.root, place.relative))
