"""The gist of a tool call, in a line: what people see of it while it runs, and afterwards in the transcript."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Any

GIST_CHARACTERS = 160
_WHOLE_DOCUMENTS = frozenset(("submit_plan", "report"))


def gist(name: str, arguments: Mapping[str, Any]) -> str:
    """Its first argument that is a short text; of a verdict, what it is."""
    if name == "verdict":
        findings = arguments.get("findings")
        return "approves" if arguments.get("approve") is True else f"objects: {_counted(findings, 'finding')}"
    if name == "checklist":
        about = arguments.get("item") or _counted(arguments.get("items"), "item")
        return f"{arguments.get('action', '')} {about}".strip()[:GIST_CHARACTERS]
    if name == "notes":
        return _counted(arguments.get("notes"), "note")
    if name in _WHOLE_DOCUMENTS:
        return ""
    texts = (value for value in arguments.values() if isinstance(value, str) and value.strip())
    return " ".join(next(texts, "").split())[:GIST_CHARACTERS]


def _counted(things: object, name: str) -> str:
    count = len(things) if isinstance(things, Sized) and not isinstance(things, str) else 0
    return f"{count} {name}{'' if count == 1 else 's'}"
