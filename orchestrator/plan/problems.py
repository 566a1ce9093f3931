"""What is wrong with a document: problems with their places, said in plain words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from state.errors import DocumentError

Path = tuple[str | int, ...]
"""The keys and list positions that lead to a value."""
Place = tuple[int, int]
"""Line and column, both from 1."""

_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong at `path`. `place` is known while the text is read; later it is looked up.

    `near` is a word that nobody knows and the words that are known: the search for the nearest one takes its time, and
    is made only for problems that are shown.
    """

    path: Path
    text: str
    place: Place | None = None
    near: tuple[str, Iterable[str]] | None = None

    def told(self) -> str:
        """The text, with the nearest known word."""
        return self.text + (did_you_mean(*self.near) if self.near else "")


def shown_path(path: Path) -> str:
    """``('todos', 1, 'needs')`` as ``todos[1].needs``."""
    parts: list[str] = []
    for part in path:
        if isinstance(part, int):
            parts.append(f"[{part}]")
        else:
            name = part if part.replace("_", "").replace("-", "").isalnum() else quoted(part)
            parts.append(f".{name}" if parts else name)
    return "".join(parts)


def shown_line(name: str, place: Place, path: Path, text: str) -> str:
    """``plan.yaml:12:5: todos[1].needs: text``."""
    where = shown_path(path)
    return f"{name}:{place[0]}:{place[1]}: {where}: {text}" if where else f"{name}:{place[0]}:{place[1]}: {text}"


def quoted(text: str) -> str:
    """The text in double quotes, shortened, its control characters escaped: safe to print to a terminal."""
    short = text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
    return '"' + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in short) + '"'


def described(value: object) -> str:
    """A value as a person would call it: ``the number 5``, ``a list``."""
    match value:
        case None:
            return "nothing"
        case bool():
            return f"the value {str(value).lower()}"
        case int() | float():
            return f"the number {quoted(str(value))[1:-1]}"
        case str():
            return f"the text {quoted(value)}"
        case list():
            return "a list"
        case _:
            return "keys and values"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``; did you mean "data"?``, or nothing when no known word is near."""
    close = get_close_matches(word[:_SHOWN], known, n=1, cutoff=0.6)
    return f"; did you mean {quoted(close[0])}?" if close else ""


def document_error(lines: list[str], total: int | None = None) -> DocumentError:
    """The error that carries these lines, and how many more there are."""
    more = (total or len(lines)) - len(lines)
    return DocumentError("\n".join([*lines, f"and {more} more"] if more else lines))
