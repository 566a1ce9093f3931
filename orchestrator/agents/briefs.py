"""The first message of each conversation: what to do, what is known, what counts. What others wrote in it is framed.

What stays the same comes first, so that makers can reuse it; what nobody of the house wrote comes as data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.plan.agent_spec import AgentSpec
from orchestrator.plan.spec import VerifySpec
from orchestrator.replanning import Revision
from roles.untrusted import as_data

_NOTES = 40
_NOTE_CHARACTERS = 600
_TAIL = 3_000


@dataclass(frozen=True, slots=True)
class Situation:
    """What a brief is made of. `goal` is the run's; `notes` are (kind, text) of this run; `failed` are evidence items
    that did not pass in the attempt before, as (what, output); `diff` is what was changed so far. `before` is (base,
    snapshot) of the attempt before; if that ended in a `conflict`, `theirs` is what others changed since. `revision`:
    there was a plan already."""

    goal: str = ""
    key: str = ""
    title: str = ""
    spec: AgentSpec | None = None
    notes: Sequence[tuple[str, str]] = ()
    failed: Sequence[tuple[str, str]] = ()
    reason: str = ""
    conflict: bool = False
    before: tuple[str, str] | None = None
    diff: str = ""
    theirs: str = ""
    revision: Revision | None = None
    outcome: dict[str, Any] = field(default_factory=dict[str, Any])
    attempt: int = 0
    findings: Sequence[str] = ()
    plan: str = ""
    records: str = ""
    schema: str = ""


def plan_brief(now: Situation) -> str:
    """For Prometheus."""
    return _joined(
        f"# Make a plan for this goal\n\n{now.goal or _NO_GOAL}",
        "A plan is YAML with `atlas: 1` and `todos:`. Of a TODO: `id`, `title`, and exactly one of `run` (a command), "
        "`role: hephaestus` (with `prompt`, `touches`, `verify`), `ask` (a question to a person, with `choices`). "
        "`needs` is a list of ids. `verify` is a list of `run: COMMAND` or `file: PATH` items. Example:",
        "```yaml\n" + _EXAMPLE + "```",
        "Say nothing of repo, budget, models or sandbox: they are settled. `push` is for people to write.",
        *_revision(now),
        _notes(now),
    )


_NO_GOAL = "(None was given; the plan that there was says what is wanted.)"


def _revision(now: Situation) -> Iterator[str]:
    """What there is already, and why it does not do."""
    if not (known := now.revision):
        return
    yield f"There was a plan, and {known.by} wants another one for what is left:\n\n{known.why}"
    yield as_data("the plan so far", known.plan)
    yield as_data("what came of it", now.records)
    yield (
        "What is completed or in progress stays as it is: your plan has only what is to be done besides. Its TODOs "
        f"may need these: {_listed(known.needable)}. Ids that are taken: {_listed(known.taken)}."
    )
    if known.waiting:
        yield f"These stay, and come after all that you plan: {_listed(known.waiting)}. Your TODOs can't need them."


def _listed(keys: Iterable[str]) -> str:
    return ", ".join(sorted(keys)) or "none"


_EXAMPLE = """\
atlas: 1
todos:
  - id: fix-parser
    title: The parser takes nested lists
    role: hephaestus
    prompt: |
      parse() in src/parser.py fails on nested lists: it counts brackets, but resets the count at each comma.
    touches: ["src/parser.py"]
    verify:
      - run: python -m pytest -q tests/test_parser.py
"""


def review_plan_brief(now: Situation) -> str:
    """For Metis."""
    return _joined(
        f"# Review this plan against its goal\n\nThe goal:\n\n{now.goal or _NO_GOAL}",
        *_revision(now),
        as_data("the plan to review", now.plan),
        "Answer with `verdict`.",
    )


def work_brief(now: Situation) -> str:
    """For Hephaestus."""
    spec = now.spec
    assert spec is not None, "work has a spec"  # noqa: S101
    parts = [
        f"# Do this: {now.title}\n\n{spec.prompt}",
        f"It is part of this goal:\n\n{now.goal}" if now.goal else "",
        f"You may change only files that match: {', '.join(spec.touches)}",
        f"It is verified, in a fresh checkout without network, by:\n{_verify(spec.verify)}",
        _notes(now),
    ]
    if now.attempt:
        parts.append(f"This is attempt {now.attempt + 1}. The one before failed.")
        parts.append(as_data("why it failed", now.reason))
        parts += [as_data(f"failed: {what}", text[-_TAIL:]) for what, text in now.failed]
    if now.outcome.get("diagnosis"):
        words = f"Cause: {now.outcome['diagnosis']}\nNext: {now.outcome.get('approach')}"
        parts.append(as_data("Oracle's advice", words))
    if now.attempt:
        over = now.conflict or now.outcome.get("start_over")
        where = "a clean checkout of the run's branch" if over else "the files as the attempt before left them"
        parts.append(f"You start from {where}.")
    if now.conflict:
        parts.append("It has what others changed meanwhile. What you had changed is not in it: bring it in again.")
        parts.append(as_data("what you had changed", now.diff))
    return _joined(*parts)


def diagnose_brief(now: Situation) -> str:
    """For Oracle, before a retry or when nothing moves."""
    spec = now.spec
    assert spec is not None, "work has a spec"  # noqa: S101
    return _joined(
        f"# Find out why this does not succeed: {now.title}\n\nWhat was to be done:\n\n{spec.prompt}",
        f"Only these files may be changed: {', '.join(spec.touches)}. It is verified by:\n{_verify(spec.verify)}",
        as_data("what happened", now.reason) if now.reason else "Its work stopped moving.",
        *(as_data(f"failed: {what}", text[-_TAIL:]) for what, text in now.failed),
        as_data("the changes so far", now.diff or "(none)"),
        as_data("what others changed meanwhile, on the run's branch", now.theirs) if now.conflict else "",
        _notes(now),
        "The files as they were left are in your workspace. Answer with `diagnosis`.",
    )


def review_brief(now: Situation) -> str:
    """For whoever reviews a change."""
    spec = now.spec
    assert spec is not None, "work has a spec"  # noqa: S101
    return _joined(
        f"# Review this change: {now.title}\n\nWhat was to be done:\n\n{spec.prompt}",
        f"Its commands have passed: {_verify(spec.verify)}",
        as_data("the change", now.diff or "(none)"),
        "The files with it are in your workspace. Answer with `verdict`.",
    )


def distil_brief(now: Situation) -> str:
    """For the Librarian, when a TODO was done."""
    return _joined(
        f"# Take notes: {now.title}\n\nSomebody has done this TODO. Others of the same run come after it.",
        as_data("what was said and done", now.records),
        as_data("the change", now.diff or "(none)"),
        _notes(now),
        "Answer with `notes`.",
    )


def known_brief(now: Situation) -> str:
    """For whoever is consulted, besides the question."""
    return _notes(now)


def report_brief(now: Situation) -> str:
    """For the Librarian, at the end."""
    return _joined(
        f"# Write the report of this run\n\nIts goal:\n\n{now.goal or '(none was given; see the TODOs)'}",
        as_data("the records of the run", now.records),
        "Cite evidence as the records name it, such as [evidence fix-parser/2/0]. Answer with `report`.",
    )


def _verify(items: Sequence[VerifySpec]) -> str:
    lines = (
        f"- a review by {item.review}" if item.review
        else f"- the file {item.file} is there" if item.file else f"- `{item.command}`"
        for item in items
    )  # fmt: skip
    return "\n".join(lines)


def _notes(now: Situation) -> str:
    if not now.notes:
        return ""
    lines = "\n".join(f"- {kind}: {text[:_NOTE_CHARACTERS]}" for kind, text in now.notes[-_NOTES:])
    return as_data("notes of this run", lines)


def _joined(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)
