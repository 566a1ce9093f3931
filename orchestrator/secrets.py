"""Secrets: who may name which, where their values are, and how they are kept out of everything that is stored.

Values go to `run:` commands only (design §3). No message and no repr has one in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from state.errors import InputError
from state.limits import SECRET_BYTES, SECRET_MINIMUM
from state.records import Provenance

_NAME = re.compile(r"[A-Z_][A-Z0-9_]*\Z")


class SecretUnavailable(InputError):
    """A secret that a TODO names is not allowed, not set, or can't be used. The message names it, never its value."""

    code = "secret"


@dataclass(frozen=True, slots=True)
class Secrets:
    """Where this worker finds secrets, and which of them the operator listed for plans that a person wrote."""

    allow: frozenset[str]
    environ: Mapping[str, str] = field(repr=False)
    directory: Path | None = None

    def resolve(self, names: Iterable[str], provenance: Provenance) -> dict[str, str]:
        """The values of these secrets, from the directory (a file per name), else the environment.

        Raises `SecretUnavailable`. Blocks on small files; call it in a thread.
        """
        return {name: self._one(name, provenance) for name in names}

    def _one(self, name: str, provenance: Provenance) -> str:
        if not _NAME.match(name):
            raise SecretUnavailable(f"{name!a} is not the name of a secret", "Use capitals, digits and '_'.")
        if provenance != "person":
            raise SecretUnavailable(
                f"the secret {name} may not be named by a {provenance} document",
                "Only plans that a person submits may name secrets.",
            )
        if name not in self.allow:
            raise SecretUnavailable(
                f"the secret {name} is not one that plans may name here",
                "The operator adds it to [secrets] allow in atlas.toml, or to ATLAS_SECRETS_ALLOW.",
            )
        value = self._from_directory(name)
        value = self.environ.get(name) if value is None else value
        if value is None:
            where = f"the file {self.directory / name}, or " if self.directory else ""
            raise SecretUnavailable(
                f"the secret {name} is not set on this worker", f"Provide {where}the variable {name}, to the worker."
            )
        return self._usable(name, value)

    def _from_directory(self, name: str) -> str | None:
        if self.directory is None:
            return None
        path = self.directory / name
        try:
            if path.exists() and not path.is_file():
                raise SecretUnavailable(f"the secret {name} is not a regular file", f"Correct {path}.")
            with path.open("rb") as file:
                data = file.read(SECRET_BYTES + 3)
            return data.decode("utf-8").removesuffix("\n").removesuffix("\r")
        except FileNotFoundError:
            return None
        except UnicodeDecodeError:
            raise SecretUnavailable(f"the secret {name} is not UTF-8 text", f"Correct {path}.") from None
        except OSError as error:
            raise SecretUnavailable(f"the secret {name} cannot be read: {error.strerror}", f"Correct {path}.") from None

    def _usable(self, name: str, value: str) -> str:
        if len(value) < SECRET_MINIMUM:
            raise SecretUnavailable(
                f"the secret {name} has fewer than {SECRET_MINIMUM} characters, too few to be hidden in output",
                "Use a longer one.",
            )
        if len(value.encode("utf-8", "surrogateescape")) > SECRET_BYTES or "\0" in value:
            raise SecretUnavailable(
                f"the secret {name} can't be put in a variable", f"Use at most {SECRET_BYTES:,} bytes without NUL."
            )
        return value


class Redactor:
    """Replaces secrets in a stream of bytes by ``[secret NAME]``, wherever the stream is cut into chunks.

    Every byte of every occurrence is hidden. Where occurrences overlap, all of it becomes the name of the one that
    begins first, the longest of those that begin there. What is held back is less than the longest secret.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._marks: dict[bytes, bytes] = {}
        for name, text in sorted(values.items()):
            if not text:
                raise ValueError(f"the secret {name} is empty")
            self._marks.setdefault(text.encode("utf-8", "surrogateescape"), f"[secret {name}]".encode())
        self._secrets = sorted(self._marks, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(map(re.escape, self._secrets)))
        self._tangled = any(_may_overlap(a, b) for a in self._secrets for b in self._secrets)
        self._held = b""
        self._covered = 0
        """How much of the beginning of `_held` is already hidden: kept only to see what overlaps it."""

    def feed(self, data: bytes) -> bytes:
        """Take the next chunk; returns what is certain by now."""
        if not self._secrets:
            return data
        buffer = self._held + data
        # Before the earliest beginning of a secret whose end has not come, everything is known.
        return self._take(buffer, min(_partial(buffer, secret) for secret in self._secrets))

    def flush(self) -> bytes:
        """The stream has ended: returns the rest."""
        return self._take(self._held, len(self._held))

    def _take(self, buffer: bytes, end: int) -> bytes:
        """Hide every secret that begins before `end`, hold back what comes after, return the rest."""
        covered = self._covered
        parts: list[bytes] = []
        # `in` is many times faster than the pattern, and nearly all chunks hold no secret.
        found = any(secret in buffer for secret in self._secrets)
        match = self._pattern.search(buffer) if found else None
        while match is not None and (start := match.start()) < end:
            if start >= covered:
                parts += (buffer[covered:start], self._marks[match.group()])
            covered = max(covered, match.end())
            match = self._pattern.search(buffer, start + 1 if self._tangled else covered)
        parts.append(buffer[covered:end])
        self._held = buffer[end:]
        self._covered = max(0, covered - end)
        return b"".join(parts)


def redactor(values: Mapping[str, str]) -> Callable[[bytes], bytes]:
    """Redaction of whole texts."""

    def redact(data: bytes) -> bytes:
        stream = Redactor(values)
        return stream.feed(data) + stream.flush()

    return redact


def _may_overlap(first: bytes, second: bytes) -> bool:
    """Whether an end of `first` can be a beginning of `second`, or `second` lie in it."""
    if first != second and second in first:
        return True
    return any(first.endswith(second[:length]) for length in range(1, min(len(first), len(second))))


def _partial(buffer: bytes, secret: bytes) -> int:
    """The first position from which the rest of the buffer is a beginning of the secret, and not all of it."""
    start = max(0, len(buffer) - len(secret) + 1)
    anchor = secret[: min(4, len(secret))]
    position = buffer.find(anchor, start)
    while position != -1:
        if secret.startswith(buffer[position:]):
            return position
        position = buffer.find(anchor, position + 1)
    for length in range(min(len(anchor) - 1, len(buffer) - start), 0, -1):
        if buffer.endswith(secret[:length]):
            return len(buffer) - length
    return len(buffer)
