"""plan.yaml in, `Plan` out, or one error with every problem in it (design §3)."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from orchestrator.plan.checks import ALONE, Around, not_available, plan_problems
from orchestrator.plan.document import Plan
from orchestrator.plan.source import UNPRINTABLE, read_bytes, read_source
from orchestrator.plan.tree import Node
from orchestrator.plan.values import line
from orchestrator.plan.wording import worded
from state.errors import NotAvailableYet

_CANONICAL = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def load_plan(path: Path) -> Plan:
    """Read the plan in a file. Raises what `read_plan` does, and `InputError` when the file can't be read."""
    return read_plan(path, read_bytes(path))


def read_plan(path: Path | None, data: bytes | str, around: Around = ALONE) -> Plan:
    """Read and check a plan. `path` names it in messages, and its directory is what ``file://x`` is relative to;
    `around` are the TODOs of the run that it is for.

    Raises `DocumentError` with one line per problem, `LimitExceeded` naming a bound, or `NotAvailableYet` for a plan
    that is right but needs what this version can't do.
    """
    source = read_source(data, str(path) if path else "plan")
    root: dict[str, Node] = source.root
    try:
        plan = Plan.model_validate({"name": _name(path), **root})
    except ValidationError as error:
        raise source.error([*source.problems, *worded(error, Plan)]) from None
    problems = [*source.problems, *plan_problems(plan, path.absolute().parent.resolve() if path else None, around)]
    if problems:
        raise source.error(problems)
    if missing := not_available(plan):
        raise NotAvailableYet(str(source.error(missing)), "This version of Atlas carries out run: and ask: TODOs.")
    return plan


def canonical(document: BaseModel) -> str:
    """The one way to write this document: compact JSON, keys sorted, durations in seconds, defaults left out.

    It can be read again, and is the same whether the document was YAML or JSON.
    """
    return canonical_tree(document.model_dump(mode="json", by_alias=True, exclude_defaults=True))


def canonical_tree(tree: Mapping[str, Any]) -> str:
    """The same for what has been read from such documents, and put together."""
    return UNPRINTABLE.sub(_escaped, _CANONICAL.encode(tree))


def canonical_hash(text: str) -> str:
    """The SHA-256 of canonical JSON, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def _escaped(found: re.Match[str]) -> str:
    """A character that may stand in a document as its escape only."""
    return f"\\u{ord(found.group()):04x}"


def _name(path: Path | None) -> str:
    try:
        return line(path.stem) if path else "plan"
    except ValueError:
        return "plan"
