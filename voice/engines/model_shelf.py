"""What of the models is in a directory, and whether it is what its publisher published. Reads; writes nothing."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from voice.engines.model_entry import ModelEntry

SUMS = "SHA256SUMS"
State = Literal[
    "not here", "here, checked", "here, archive checked", "here, not checked", "here, incomplete", "here, but damaged"
]
_LINE = re.compile(r"\\?([0-9a-fA-F]{64}) [ *](.+)")


@dataclass(frozen=True, slots=True)
class Standing:
    """Of one model. ``checked``: all that the engine needs has the sha256 that it ought to have. ``archive checked``:
    the archive has, and what was unpacked is there, but is known by name only. `damaged`, `missing`: paths or patterns
    below the directory."""

    state: State
    damaged: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sums:
    """A publisher's, or one's own, list of what files of the directory hash to. `unread`: numbers of lines that are
    none."""

    hashes: Mapping[str, str]
    unread: tuple[int, ...] = ()


class Shelf:
    """A directory of models, which may not be there. Every file is hashed once. `OSError`: it can't be read."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.sums = read_sums(directory / SUMS)
        self._found: dict[str, str] = {}

    def standing(self, entry: ModelEntry) -> Standing:
        """Hashes all of the model whose hash is known. Takes as long as it takes to read it."""
        entry = self._placed(entry)
        known = dict(entry.hashes) | {each.path: each.sha256 for each in entry.downloads if each.sha256}
        sizes = {each.path: each.size for each in entry.downloads}
        archives = [each.path for each in entry.downloads if each.archive and self._is(each.path)]
        needed = {path for pattern in entry.needed for path in self._matching(pattern)}
        if not archives and not needed:
            return Standing("not here")
        present = [*archives, *sorted(needed | {path for path in entry.hashes if self._is(path)})]
        verdicts = {path: self._verdict(path, known.get(path), sizes.get(path)) for path in present}
        if damaged := tuple(path for path, sound in verdicts.items() if sound is False):
            return Standing("here, but damaged", damaged=damaged)
        if missing := tuple(pattern for pattern in entry.needed if not self._matching(pattern)):
            return Standing("here, incomplete", missing=missing)
        if all(verdicts[path] for path in needed):
            return Standing("here, checked")
        return Standing("here, archive checked" if any(map(verdicts.get, archives)) else "here, not checked")

    def others(self, entries: Sequence[ModelEntry]) -> dict[str, bool]:
        """Files that the list names, that are here, and that belong to none of these: whether they are what it says."""
        entries = [self._placed(entry) for entry in entries]
        ours = {path for entry in entries for pattern in entry.needed for path in self._matching(pattern)}
        ours |= {path for entry in entries for path in (*entry.hashes, *(each.path for each in entry.downloads))}
        rest = [path for path in self.sums.hashes if path not in ours and self._is(path)]
        return {path: self._hash(path) == self.sums.hashes[path] for path in rest}

    def _placed(self, entry: ModelEntry) -> ModelEntry:
        """Single files may have a directory of their own."""
        inside = entry.below(entry.name)
        apart = not any("/" in path or self._is(path) for path in entry.needed)
        return inside if apart and any(map(self._is, inside.needed)) else entry

    def _verdict(self, path: str, known: str | None, size: int | None) -> bool | None:
        """Whether it is what it ought to be; None: nobody knows what that is."""
        if size is not None and (self._directory / path).stat().st_size != size:
            return False
        wanted = {each for each in (known, self.sums.hashes.get(path)) if each}
        return wanted == {self._hash(path)} if wanted else None

    def _hash(self, path: str) -> str:
        if path not in self._found:
            with (self._directory / path).open("rb") as file:
                self._found[path] = hashlib.file_digest(file, "sha256").hexdigest()
        return self._found[path]

    def _is(self, path: str) -> bool:
        return (self._directory / path).is_file()

    def _matching(self, pattern: str) -> list[str]:
        found = self._directory.glob(pattern)
        return [path.relative_to(self._directory).as_posix() for path in found if path.is_file()]


def read_sums(file: Path) -> Sums:
    """As ``sha256sum`` writes it. Empty where there is none. Names that lead out of the directory count as unread."""
    hashes: dict[str, str] = {}
    unread: list[int] = []
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        path = PurePosixPath(match[2]) if match else PurePosixPath("/")
        if match is None or path.is_absolute() or ".." in path.parts:
            unread.append(number)
        else:
            hashes[path.as_posix()] = match[1].lower()
    return Sums(hashes, tuple(unread))
