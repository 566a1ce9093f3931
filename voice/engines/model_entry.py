"""What is known of a published model: where it is, what belongs to it, what its files hash to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from voice.intents import Language

Purpose = Literal["wake_word", "recognition", "speech"]
"""As the key in ``[voice]`` of atlas.toml is called."""
ARCHIVE = ".tar.bz2"


@dataclass(frozen=True, slots=True)
class Download:
    """One file that is fetched. `path`: below the directory of models, with ``/``; `size` in bytes; `sha256`: 64
    hexadecimal digits in lower case, None where it could not be confirmed."""

    url: str
    path: str
    size: int
    sha256: str | None

    @property
    def archive(self) -> bool:
        """Whether it is unpacked beside itself."""
        return self.path.endswith(ARCHIVE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """`name`: of the model for its engine, and of its directory or files below the directory of models.

    `needed`: what has to be there for the engine, as patterns of paths below that directory; `hashes`: what is known of
    files that come out of an archive, by path. Those of downloads that are no archive are known by the downloads.
    """

    engine: str
    purpose: Purpose
    languages: tuple[Language, ...]
    name: str
    licence: str
    downloads: tuple[Download, ...]
    needed: tuple[str, ...]
    hashes: Mapping[str, str] = field(default_factory=dict[str, str])
    note: str = ""

    @property
    def setting(self) -> str:
        """What is written in ``[voice]`` for it."""
        return f"{self.engine}/{self.name}"

    @property
    def size(self) -> int:
        """Bytes to fetch."""
        return sum(each.size for each in self.downloads)

    def below(self, directory: str) -> ModelEntry:
        """The same, with all its files in a directory of this name."""
        return replace(
            self,
            downloads=tuple(replace(each, path=f"{directory}/{each.path}") for each in self.downloads),
            needed=tuple(f"{directory}/{each}" for each in self.needed),
            hashes={f"{directory}/{path}": sha256 for path, sha256 in self.hashes.items()},
        )
