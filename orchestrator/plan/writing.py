"""A plan as a file that people read and change: keys in the order in which one reads them, texts as they are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

_PLAN = ("atlas", "name", "goal", "repo", "base", "budget", "concurrency", "sandbox", "defaults", "models", "todos")
_TODO = ("id", "title", "run", "role", "ask", "push", "prompt", "needs", "touches", "verify")
_WIDTH = 110


def plan_yaml(document: Mapping[str, Any], head: Iterable[str] = ()) -> str:
    """A document as canonical JSON has it; `head` are lines of comment before it."""
    import yaml

    tree = _ordered(document, _PLAN)
    tree["todos"] = [_ordered(todo, _TODO) for todo in document["todos"]]

    class Dumper(yaml.SafeDumper):
        """Indents lists below their key."""

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            super().increase_indent(flow, False)

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = "|" if "\n" in value.strip() or len(value) > _WIDTH else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)  # pyright: ignore[reportUnknownMemberType]

    Dumper.add_representer(str, text)
    body = yaml.dump(tree, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH)
    return "".join(f"# {line}\n" for line in head) + body


def without(document: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """The document without what was for its making only."""
    return {key: value for key, value in document.items() if key not in keys}


def beside(repo: str, directory: Path) -> str:
    """The repository as a plan in `directory` calls it: relative if one is inside the other."""
    if "://" in repo or not os.path.isabs(repo):  # noqa: PTH117  what is no path here is left alone
        return repo
    path, here = Path(repo).resolve(), directory.resolve()
    if path.is_relative_to(here) or here.is_relative_to(path):
        return os.path.relpath(path, here)
    return repo


def _ordered(tree: Mapping[str, Any], order: tuple[str, ...]) -> dict[str, Any]:
    known = {key: tree[key] for key in order if key in tree}
    return {**known, **{key: value for key, value in tree.items() if key not in known}}
