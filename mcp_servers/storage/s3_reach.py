"""What of S3 the operator lets a server touch: whole buckets, or what is below a prefix. The rest is out of reach.

``s3://bucket/team`` is the object of that name and all below ``team/``, never ``teammate``; ``s3://bucket/team/`` is
all below; ``s3://bucket`` and ``s3://bucket/`` are the whole bucket.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mcp_servers.storage import locations
from mcp_servers.storage.locations import Location
from state.errors import InputError, RemoteForbidden, SettingsError

_SHOWN = 20
_FORMS = "Write s3://bucket, or s3://bucket/prefix."


@dataclass(frozen=True, slots=True)
class Reach:
    """The allow-list. Every URL that a caller names goes through `an_object` or `below`."""

    entries: tuple[Location, ...]

    @classmethod
    def of(cls, urls: Sequence[str]) -> Reach:
        """From the operator's entries. `SettingsError`: there is none, or one is wrong."""
        if not urls:
            raise SettingsError("no S3 location is allowed", f"Allow at least one with --allow. {_FORMS}")
        return cls(tuple(dict.fromkeys(_entry(url) for url in urls)))

    @property
    def buckets(self) -> list[str]:
        """Of all entries, each once, in their order."""
        return list(dict.fromkeys(entry.bucket for entry in self.entries))

    def of_bucket(self, bucket: str) -> list[str]:
        """The entries of one bucket, as URLs."""
        return [entry.url for entry in self.entries if entry.bucket == bucket]

    @property
    def shown(self) -> str:
        """The entries, for a caller to read; the first of them, where they are many."""
        more = [f"and {len(self.entries) - _SHOWN} more"] if len(self.entries) > _SHOWN else []
        return ", ".join([*(entry.url for entry in self.entries[:_SHOWN]), *more])

    def an_object(self, url: str) -> Location:
        """The location of one object that is allowed; `RemoteForbidden`, before anything is asked, if it is not."""
        _only_s3(url)
        location = locations.object_location(url)
        if not any(_holds(entry, location) for entry in self.entries):
            raise self._refusal(url)
        return location

    def below(self, prefix: str) -> Location:
        """The location of a prefix, all of whose keys are allowed."""
        _only_s3(prefix)
        location = locations.parse(prefix)
        if not any(_holds_prefix(entry, location) for entry in self.entries):
            raise self._refusal(prefix)
        return location

    def _refusal(self, url: str) -> RemoteForbidden:
        return RemoteForbidden(f"{url} is outside what the operator allows", f"Allowed is what is below: {self.shown}.")


def _entry(url: str) -> Location:
    if not url.startswith("s3://"):
        raise SettingsError(f"{url!r} is not an S3 location that could be allowed", _FORMS)
    if url.endswith("*"):
        raise SettingsError(f"{url!r} has a wildcard, and can't be allowed", f"Leave it out. {_FORMS}")
    try:
        return locations.parse(url if "/" in url.removeprefix("s3://") else f"{url}/")
    except InputError as error:
        raise SettingsError(f"{error.message}, and can't be allowed", error.hint) from error


def _only_s3(url: str) -> None:
    if not url.startswith("s3://"):
        raise InputError(f"{url[:200]!r} is not an S3 location", "Write s3://bucket/key.")


def _holds(entry: Location, location: Location) -> bool:
    return location == entry or _holds_prefix(entry, location)


def _holds_prefix(entry: Location, location: Location) -> bool:
    directory = entry.key if entry.directory else f"{entry.key}/"
    return entry.bucket == location.bucket and location.key.startswith(directory)
