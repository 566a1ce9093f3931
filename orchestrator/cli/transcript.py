"""A TODO's transcript as lines for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.cli.wording import checked, duration
from orchestrator.transcript import AttemptStory, Call, Entry, Proof, Told, Words
from orchestrator.views import EvidenceView, moment

_WORDS, _BRIEF, _RESULT, _OUTPUT = 12, 2, 3, 6
"""Lines of what a role says, of what it is told, of a tool's result, of a failed check's output; without ``--full``."""
_MARKS = {"done": "·", "failed": "✗", "unknown": "?", "intent": "▸"}
_NO_RESULT = {"intent": "(it runs)", "unknown": "(its outcome is not known: it was interrupted)"}
_TEXT, _MORE = " " * 12, " " * 14


@dataclass(frozen=True, slots=True)
class Line:
    """`style` is for terminals."""

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Telling:
    """`width`: of a line, of which the rest is left out; `full`: nothing is left out."""

    width: int
    full: bool = False

    def told(self, story: AttemptStory) -> Iterator[Line]:
        """One attempt, its heading first."""
        yield self._heading(story)
        speaker = ""
        for entry in story.entries:
            who = _who(entry)
            if who != speaker:
                yield Line(f"{_clock(entry.at)}  {who}", "bold")
                speaker = who
            yield from self._entry(entry)
        if story.detail and story.state not in (None, "completed"):
            yield Line(f"{story.state} ({story.reason}):", "bold")
            yield from self._lines(story.detail, _TEXT, _WORDS)

    def _heading(self, story: AttemptStory) -> Line:
        again = f", again ({story.epoch})" if story.epoch else ""
        claims = ", ".join(str(fence) for fence in story.fences)
        other = f" (--attempt {claims})" if claims != str(story.number) else ""
        reason = f" ({story.reason})" if story.reason else ""
        took = f" in {duration(story.seconds)}" if story.seconds is not None else ""
        how = f"{story.state or 'in progress'}{reason}{took}"
        return self._cut(f"── attempt {story.number}{again}{other}: {how} ──", "bold cyan")

    def _entry(self, entry: Entry) -> Iterator[Line]:
        match entry:
            case Words(speaker="atlas"):
                yield from self._lines(entry.text, _TEXT, _BRIEF if entry.opens else _WORDS, "dim")
            case Words():
                yield from self._lines(entry.text, _TEXT, _WORDS)
            case Call():
                yield from self._call(entry)
            case Told():
                yield from self._lines(entry.text, _TEXT, _WORDS, "yellow")
            case Proof():
                yield from self._proof(entry.item)

    def _call(self, call: Call) -> Iterator[Line]:
        yield self._cut(f"{_TEXT[:-2]}{_MARKS[call.state]} {call.name} {call.about}".rstrip(), "cyan")
        if self.full and call.arguments:
            yield from self._lines(_arguments(call.arguments), _MORE, _WORDS)
        result = call.result or _NO_RESULT.get(call.state, "")
        if " " in result or self.full:  # one word only says that it was taken
            yield from self._lines(result, _MORE, _RESULT, "dim")

    def _proof(self, item: EvidenceView) -> Iterator[Line]:
        mark, style = ("✓", "green") if item.passed else ("✗", "red")
        code = f"exit code {item.exit_code}, " if item.command else ""
        took = f"({code}{duration(item.seconds)}, by {item.verifier})"
        yield self._cut(f"{_TEXT[:-2]}{mark} {checked(item)}  {took}", style)
        if not item.passed or self.full or not item.command:
            yield from self._lines(item.output_tail, _MORE, _OUTPUT, "dim", last=bool(item.command))

    def _lines(self, text: str, indent: str, most: int, style: str = "", *, last: bool = False) -> Iterator[Line]:
        """The first lines of a text (or the `last`), and how many were left out."""
        lines = [line for line in text.splitlines() if self.full or line.strip()]
        shown: Sequence[str] = lines if self.full else (lines[-most:] if last else lines[:most])
        left = len(lines) - len(shown)
        more = Line(f"{indent}… {left} more line{'' if left == 1 else 's'}", "dim")
        if left and last:
            yield more
        for line in shown:
            yield self._cut(indent + line, style)
        if left and not last:
            yield more

    def _cut(self, text: str, style: str = "") -> Line:
        shown = "".join(each if each.isprintable() or each == "\t" else "\N{REPLACEMENT CHARACTER}" for each in text)
        return Line(shown if self.full or len(shown) <= self.width else shown[: self.width - 1] + "…", style)


def _who(entry: Entry) -> str:
    match entry:
        case Words(speaker="atlas"):
            return f"atlas to {entry.duty.replace('_', ' ')}" if entry.opens else "atlas"
        case Words() | Call():
            return entry.speaker
        case Told():
            return entry.kind
        case Proof():
            return "verification"


def _arguments(arguments: Mapping[str, Any]) -> str:
    """One a line; what has several lines as it is."""
    lines: list[str] = []
    for name, value in arguments.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        lines.append(f"{name}: {text}" if "\n" not in text else f"{name}:\n{text}")
    return "\n".join(lines)


def _clock(at: float) -> str:
    return (moment(at) or "")[11:19]
