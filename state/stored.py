"""Documents that one version of Atlas writes and another may read."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from state.errors import NewerDocument

S = TypeVar("S")
T = TypeVar("T")
UPGRADE = "Upgrade this worker."


def stored(what: str) -> Callable[[Callable[[type[Any], S], T]], Callable[[type[Any], S], T]]:
    """For a `from_json`: what has keys that this version does not know, or lacks some that it needs, was written by
    another one: `NewerDocument`, not a defect of the document."""

    def wrapped(read: Callable[[type[Any], S], T]) -> Callable[[type[Any], S], T]:
        @functools.wraps(read)
        def checked(cls: type[Any], text: S) -> T:
            try:
                return read(cls, text)
            except (TypeError, KeyError) as error:
                raise NewerDocument(f"{what} was written by another version of Atlas: {error}", UPGRADE) from error

        return checked

    return wrapped
