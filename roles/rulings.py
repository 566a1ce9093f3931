"""What the house says to calls of its own tools: each is checked, carried out on the attempt's records, and told."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, cast

from roles import house_tools as tools
from roles.checklist import Items, change
from roles.desk import Desk
from roles.models.port import ToolCall
from roles.position import Exit, Position, Step, turn_to
from roles.role import DUTIES, Duty
from roles.toolbox import bounded
from roles.untrusted import as_data
from state.agent_commands import Noted, Standing
from state.errors import EngineAway, SandboxError
from state.stored import stored

ROUNDS = 3
"""Of review, of one plan."""
DEPTH = 3
"""Of consultations in each other."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """`text` is what the role is told. `exit` ends its turn: the update of the position is made from `stop`. `pending`:
    the call is not over, and nothing is recorded of it. `news` is what was measured; `standing`, `notes` and `events`
    go into the records with it."""

    text: str
    failed: bool = False
    unknown: bool = False
    exit: str = ""
    stop: dict[str, Any] = field(default_factory=dict[str, Any])
    pending: Literal["", "ask", "consult"] = ""
    news: Mapping[str, int] = field(default_factory=dict[str, int])
    standing: Mapping[str, object] = field(default_factory=dict[str, object])
    notes: Sequence[Noted] = ()
    events: Sequence[tuple[str, str]] = ()

    def to_json(self) -> str:
        """What a takeover needs of it; ASCII."""
        kept = {"text": self.text, "failed": self.failed, "exit": self.exit, "stop": self.stop, "news": dict(self.news)}
        return json.dumps(kept)

    @classmethod
    @stored("a tool call of this attempt")
    def from_json(cls, text: str) -> Ruling:
        """What `to_json` wrote."""
        return cls(**json.loads(text))

    def told(self, words: str) -> Ruling:
        """With more to tell."""
        return replace(self, text=f"{self.text}\n{words}") if words else self

    def framed(self, text: str) -> Ruling:
        """Told in a frame."""
        return replace(self, text=text)

    def news_of(self, kind: str) -> Ruling:
        """Something of this kind is new."""
        return replace(self, news={**self.news, kind: self.news.get(kind, 0) + 1})

    def position(self, now: Position) -> Step:
        """Where it leads."""
        if self.exit == "end":
            return {"exit": "end", "stop": self.stop}
        if self.exit == "enforce":
            return {"exit": "enforce", "ended": "claims_done", "stop": self.stop}
        duty = DUTIES[self.stop["duty"]]
        return {**turn_to(now, duty.name, duty.role, self.stop.get("say", "")), "exit": cast(Exit, duty.role)}


def no_sandbox(error: SandboxError) -> Ruling:
    """No command can be run: that is for people, and nothing to tell a model."""
    return Ruling(
        str(error), failed=True, exit="end", stop={"kind": "blocked", "reason": error.blocks, "detail": str(error)}
    )


def _no(text: str) -> Ruling:
    return Ruling(text, failed=True)


@dataclass(slots=True)
class Houseman:
    """Answers calls of house tools."""

    desk: Desk

    async def rule(self, duty: Duty, call: ToolCall, key: str, now: Standing) -> Ruling:  # noqa: C901, PLR0911, PLR0912  one flat table
        """`key` names this call for good."""
        try:
            asked = tools.read_arguments(call.name, call.arguments)
        except tools.BadArguments as error:
            return _no(str(error))
        match asked:
            case tools.Checklist():
                return _checklist(asked, now)
            case tools.Check():
                return await self._check(now)
            case tools.Consult():
                return Ruling("", pending="consult", stop={"duty": f"consult_{asked.role}", "question": asked.question})
            case tools.AskPerson():
                return await self._ask(asked, key)
            case tools.TakeNote():
                return _noted([asked], duty, "kept")
            case tools.Done():
                return Ruling("it will be merged and verified", exit="enforce", stop={"summary": asked.summary})
            case tools.Blocked():
                stop = {"kind": "blocked", "reason": "stuck", "detail": asked.because}
                return Ruling("understood", exit="end", stop=stop)
            case tools.SubmitPlan():
                return await self._plan(asked, now)
            case tools.Verdict():
                return _verdict(asked, duty, now)
            case tools.Diagnosis():
                return _diagnosis(asked, now)
            case tools.Notes():
                ruling = _noted(asked.notes, duty, "kept")
                return replace(ruling, exit="end", stop={"kind": "distilled"})
            case tools.Report():
                return Ruling("kept", exit="end", stop={"kind": "report", "markdown": asked.markdown})
            case _:
                return _no(f"{call.name} is not for this duty")

    async def _check(self, now: Standing) -> Ruling:
        known = outcome_of(now)
        try:
            checked = await self.desk.check()
        except EngineAway:
            raise
        except SandboxError as error:
            return no_sandbox(error)
        fresh = sorted(checked.passing - set(known.get("passed", ())))
        kept = {**known, "passed": sorted(checked.passing | set(known.get("passed", ())))}
        text = as_data("the verification", bounded(checked.text))
        return Ruling(text, news={"verified": len(fresh)}, standing={"outcome": json.dumps(kept)})

    async def _ask(self, asked: tools.AskPerson, key: str) -> Ruling:
        answer = await self.desk.answered(key)
        if answer is None:
            stop = {"kind": "ask", "key": key, "text": asked.question, "choices": list(asked.choices)}
            return Ruling("", pending="ask", stop=stop)
        return Ruling(f"{answer.by} answers: {answer.answer}")

    async def _plan(self, asked: tools.SubmitPlan, now: Standing) -> Ruling:
        judged = await self.desk.judge_plan(asked.plan)
        if judged.problems:
            return _no(f"it is not a plan yet:\n{judged.problems}")
        known = outcome_of(now)
        kept: dict[str, Any] = {**known, "plan": judged.plan, "hash": judged.hash, "findings": []}
        stop = {"duty": "review_plan", "say": f"{_AGAIN}\n\n{as_data('the plan to review', judged.plan)}"}
        return Ruling(
            f"it is a plan; Metis reviews it (sha256 {judged.hash[:12]})", exit="metis", stop=stop,
            standing={"outcome": json.dumps(kept)},
        )  # fmt: skip


AWAY = "away"
"""In the outcome so far: how often the object store was, since something of the attempt was stored."""
_AGAIN = "Prometheus has submitted another plan. Answer with `verdict` on this one."


def outcome_of(now: Standing) -> dict[str, Any]:
    """What the attempt has come to so far."""
    return json.loads(now.outcome) if now.outcome else {}


def _checklist(asked: tools.Checklist, now: Standing) -> Ruling:
    changed = change(Items.from_json(now.checklist), asked, now.turns)
    if changed.failed:
        return _no(changed.said)
    items = [[item.state, item.text] for item in changed.items.items]
    return Ruling(
        changed.said,
        news={"items": int(changed.progress)},
        standing={"checklist": changed.items.to_json()},
        events=[("role.checklist", json.dumps({"items": items}))],
    )


def _noted(notes: Sequence[tools.TakeNote | tools.Note], duty: Duty, text: str) -> Ruling:
    kept = [Noted(note.kind, bounded(note.text), duty.role) for note in notes]
    events = [("role.note", json.dumps({"kind": note.kind, "text": note.text[:500]})) for note in notes]
    return Ruling(text, notes=kept, events=events)


def _verdict(asked: tools.Verdict, duty: Duty, now: Standing) -> Ruling:
    findings = [finding.model_dump() for finding in asked.findings]
    if not asked.approve and not findings:
        return _no("say what is wrong: findings are missing")
    known = outcome_of(now)
    if duty.name == "review":
        return Ruling("taken", exit="end", stop={"kind": "reviewed", "approve": asked.approve, "findings": findings})
    rounds = int(known.get("rounds", 0)) + 1
    kept = {**known, "rounds": rounds, "findings": findings, "approved": asked.approve}
    standing = {"outcome": json.dumps(kept)}
    if asked.approve or rounds >= ROUNDS:
        return Ruling("taken", exit="end", stop={"kind": "planned"}, standing=standing)
    words = "\n".join(f"- {each['where']}: {each['what']} Remedy: {each['remedy']}" for each in findings)
    say = f"Metis found gaps in the plan. Mend them and submit the whole plan again.\n{as_data('findings', words)}"
    return Ruling("taken", exit="prometheus", stop={"duty": "plan", "say": say}, standing=standing)


def _diagnosis(asked: tools.Diagnosis, now: Standing) -> Ruling:
    if not asked.approach and not asked.blocked_by:
        return _no("give an approach, or what it is blocked by")
    kept = outcome_of(now) | {
        "diagnosis": asked.cause, "approach": asked.approach, "start_over": asked.start_over and not asked.blocked_by,
    }  # fmt: skip
    standing = {"outcome": json.dumps(kept)}
    risk = ("todo.risk", json.dumps({"text": f"Oracle: {asked.cause[:400]}"}))
    if asked.blocked_by:
        stop = {"kind": "blocked", "reason": "stuck", "detail": f"{asked.blocked_by} (cause: {asked.cause})"}
        return Ruling("taken", exit="end", stop=stop, standing=standing, events=[risk])
    words = as_data("diagnosis", f"Cause: {asked.cause}\nNext: {asked.approach}")
    say = f"Oracle has looked at it.\n{words}"
    return Ruling("taken", exit="hephaestus", stop={"duty": "work", "say": say}, standing=standing, events=[risk])
