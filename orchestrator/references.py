"""What a person called something, before a database is asked for it."""

from __future__ import annotations

from state.errors import NotFound


def named(reference: str) -> str:
    """The reference, if a database can be asked for it."""
    try:
        reference.encode()
    except UnicodeEncodeError:
        raise NotFound(f"{reference!a} is not text", "Names and ids are UTF-8.") from None
    if "\0" in reference:
        raise NotFound(f"{reference!a} names nothing: there is a NUL in it")
    return reference
