"""Builds the plain tree of a document from a stream of events, whatever its spelling, and remembers where things stood.

No recursion: nesting is a list, so that a hostile document meets our bounds and not the interpreter's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn

from orchestrator.plan.problems import Path, Place, Problem, document_error, quoted, shown_line
from state.errors import LimitExceeded
from state.limits import DOCUMENT_BYTES, DOCUMENT_DEPTH, DOCUMENT_NODES

Scalar = str | int | float | bool | None
Node = Scalar | list["Node"] | dict[str, "Node"]
"""What a document holds. Aliased parts are one object, so nobody may change it."""
Marks = dict[int, dict[str, Place] | list[Place]]
"""Of each container (by `id`): where its keys or items stand."""

_DIGITS = 100


@dataclass(slots=True)
class _Open:
    """A container whose end has not come yet, and what was counted before it."""

    value: list[Node] | dict[str, Node]
    marks: dict[str, Place] | list[Place]
    place: Place
    anchor: str | None
    nodes: int
    text: int
    key: str | None = None
    height: int = 0
    dropped: bool = False


@dataclass(slots=True)
class _Anchored:
    """What an alias stands for, and how much it adds each time."""

    value: Node
    nodes: int
    text: int
    height: int


@dataclass(slots=True)
class TreeBuilder:
    """Takes events in order; `root` is the tree once the last container is closed.

    Problems that leave the rest readable (a key given twice, a value that is missing) are collected in `problems`;
    others raise `DocumentError`, bounds raise `LimitExceeded`.
    """

    name: str
    root: Node = None
    documents: bool = False
    marks: Marks = field(default_factory=dict[int, "dict[str, Place] | list[Place]"])
    problems: list[Problem] = field(default_factory=list[Problem])
    _stack: list[_Open] = field(default_factory=list[_Open])
    _anchors: dict[str, _Anchored | None] = field(default_factory=dict[str, "_Anchored | None"])
    _nodes: int = 0
    _text: int = 0

    @property
    def wants_key(self) -> bool:
        """Whether the next scalar is a key."""
        top = self._stack[-1] if self._stack else None
        return top is not None and top.key is None and isinstance(top.value, dict)

    def open(self, value: list[Node] | dict[str, Node], place: Place, anchor: str | None = None) -> None:
        """A list or mapping begins."""
        if len(self._stack) >= DOCUMENT_DEPTH:
            self._too_deep(place)
        if self.wants_key:
            self.refuse(place, "a key must be text, not a list or a mapping")
        self._count(1, 0, place)
        if anchor is not None:
            self._anchors[anchor] = None
        marks: dict[str, Place] | list[Place] = [] if isinstance(value, list) else {}
        self._stack.append(_Open(value, marks, place, anchor, self._nodes - 1, self._text))

    def close(self) -> None:
        """The innermost list or mapping ends."""
        top = self._stack.pop()
        self.marks[id(top.value)] = top.marks
        if top.anchor is not None:
            self._anchors[top.anchor] = _Anchored(
                top.value, self._nodes - top.nodes, self._text - top.text, top.height + 1
            )
        self._put(top.value, top.place, top.height + 1)

    def scalar(self, value: Scalar, place: Place, anchor: str | None = None) -> None:
        """A key, or a value that is no container."""
        size = 0
        if isinstance(value, str):
            size = len(value)
            if "\0" in value:
                self.refuse(place, "the text contains a NUL character (\\0)")
        self._count(1, size, place)
        if anchor is not None:
            self._anchors[anchor] = _Anchored(value, 1, size, 0)
        if self.wants_key:
            self._key(value, place)
        else:
            self._put(value, place, 0)

    def alias(self, anchor: str, place: Place) -> None:
        """What stood at this anchor, once more; it counts as if it were written out."""
        if anchor not in self._anchors:
            self.refuse(place, f"no anchor &{anchor} before this alias")
        target = self._anchors[anchor]
        if target is None:
            self.refuse(place, f"the alias *{anchor} stands inside what it names")
        if len(self._stack) + target.height > DOCUMENT_DEPTH:
            self._too_deep(place)
        self._count(target.nodes, target.text, place)
        if not self.wants_key:
            self._put(target.value, place, target.height)
        elif isinstance(target.value, (list, dict)):
            self.refuse(place, "a key must be text, not a list or a mapping")
        else:
            self._key(target.value, place)

    def integer(self, text: str, place: Place, base: int = 10) -> int:
        """An integer of a bounded number of digits (reading one takes quadratic time)."""
        if len(text) > _DIGITS:
            self.refuse(place, f"a number of {len(text)} digits")
        return int(text, base)

    def refuse(self, place: Place, text: str) -> NoReturn:
        """Nothing after this place can be read."""
        raise document_error([shown_line(self.name, place, self._path(), text)])

    def _key(self, value: Scalar, place: Place) -> None:
        top = self._stack[-1]
        if not isinstance(value, str):
            self.refuse(place, f"a key must be text: write {quoted('null' if value is None else str(value).lower())}")
        top.key = value
        top.dropped = value in top.marks
        if top.dropped and isinstance(top.marks, dict):
            line = top.marks[value][0]
            text = f"this key is given twice, first in line {line}"
            self.problems.append(Problem(self._path(), text, place))
        elif isinstance(top.marks, dict):
            top.marks[value] = place

    def _put(self, value: Node, place: Place, height: int) -> None:
        if not self._stack:
            self.root = value
            return
        top = self._stack[-1]
        top.height = max(top.height, height)
        if isinstance(top.value, list):
            if value is None:
                self.problems.append(Problem(self._path(), "has no value", place))
            top.value.append(value)
            if isinstance(top.marks, list):
                top.marks.append(place)
        elif top.key is not None:
            if value is None:
                text = "has no value: give it one, or remove the key"
                self.problems.append(Problem(self._path(), text, place))
            if not top.dropped:
                top.value[top.key] = value
            top.key = None

    def _path(self) -> Path:
        parts: list[str | int] = []
        for level in self._stack:
            if isinstance(level.value, list):
                parts.append(len(level.value))
            elif level.key is not None:
                parts.append(level.key)
        return tuple(parts)

    def _count(self, nodes: int, text: int, place: Place) -> None:
        self._nodes += nodes
        self._text += text
        if self._nodes > DOCUMENT_NODES:
            self._too_large(place, f"more than {DOCUMENT_NODES:,} values")
        if self._text > DOCUMENT_BYTES:
            self._too_large(place, f"more than {DOCUMENT_BYTES:,} characters")

    def _too_large(self, place: Place, what: str) -> NoReturn:
        line = shown_line(self.name, place, (), f"{what}, aliases written out")
        raise LimitExceeded(line, "Use fewer aliases, or split the plan.")

    def _too_deep(self, place: Place) -> NoReturn:
        raise LimitExceeded(shown_line(self.name, place, (), f"nested more than {DOCUMENT_DEPTH} levels deep"))
