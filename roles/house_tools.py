"""The house's own tools: how a role sets its checklist, ends its conversation, asks. They are no MCP tools, since what
they touch is Atlas itself; each is a pydantic model of its arguments, and its docstring what the model is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mcp_servers.schemas import answer_schema
from roles.models.port import ToolSpec
from state.agent_commands import NoteKind
from state.limits import CHOICES, TEXT_CHARACTERS

ITEMS = 20
"""Of a checklist, or of findings or notes at once."""
Words = Annotated[str, Field(min_length=1, max_length=4_000)]
Line = Annotated[str, Field(min_length=1, max_length=500)]


class HouseTool(BaseModel):
    """Arguments of one call."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Checklist(HouseTool):
    """Keep the checklist of this TODO. `set` it first (items: one checkable outcome each); soon after it is frozen.
    Then `complete` an item when it has come true, `split` it into smaller ones, or `drop` it with a reason."""

    action: Literal["set", "complete", "split", "drop"]
    items: Annotated[list[Line], Field(max_length=ITEMS)] = []
    item: Annotated[int, Field(ge=1, le=10 * ITEMS)] | None = None
    reason: Line | None = None


class Check(HouseTool):
    """Run the verification of this TODO on your files as they are now, in a fresh copy, and see what it says. The house
    does so again when you are done; this is for you to know where you stand."""


class Consult(HouseTool):
    """Ask another role: oracle for why something is so, librarian for what is known. It sees your files, not your
    conversation: put into the question what it must know."""

    role: Literal["oracle", "librarian"]
    question: Words


class AskPerson(HouseTool):
    """Ask the person who started the run, and wait until they answer, which may take long. Only for what nobody else
    may decide. With `choices`, they choose one of them."""

    question: Words
    choices: Annotated[list[Line], Field(max_length=CHOICES)] = []


class TakeNote(HouseTool):
    """Keep something for those who work on later TODOs of this run: what they would else have to find out again."""

    kind: NoteKind
    text: Words


class Done(HouseTool):
    """The work is done: all of the checklist is. The house now merges your files and verifies them."""

    summary: Words


class Blocked(HouseTool):
    """It can't be done as asked, until somebody changes something: what, exactly."""

    because: Words


class SubmitPlan(HouseTool):
    """Submit the whole plan, as YAML. Its problems come back if it has any."""

    plan: Annotated[str, Field(min_length=1, max_length=TEXT_CHARACTERS)]


class Finding(HouseTool):
    """One thing that is wrong: where, what, and what would mend it."""

    where: Line
    what: Words
    remedy: Words


class Verdict(HouseTool):
    """Approve, or say what is wrong."""

    approve: bool
    findings: Annotated[list[Finding], Field(max_length=ITEMS)] = []


class Diagnosis(HouseTool):
    """The cause and the next approach; or, if nothing that is allowed leads to the goal, what it is blocked by."""

    cause: Words
    approach: Words | None = None
    start_over: bool = False
    blocked_by: Words | None = None


class Note(HouseTool):
    """Something worth keeping."""

    kind: NoteKind
    text: Words


class Notes(HouseTool):
    """Hand in the notes; none if there is nothing worth it."""

    notes: Annotated[list[Note], Field(max_length=ITEMS)] = []


class Report(HouseTool):
    """Hand in the report, in Markdown."""

    markdown: Annotated[str, Field(min_length=1, max_length=TEXT_CHARACTERS)]


HOUSE_TOOLS: Mapping[str, type[HouseTool]] = {
    "ask_person": AskPerson,
    "blocked": Blocked,
    "check": Check,
    "checklist": Checklist,
    "consult": Consult,
    "diagnosis": Diagnosis,
    "done": Done,
    "notes": Notes,
    "report": Report,
    "submit_plan": SubmitPlan,
    "take_note": TakeNote,
    "verdict": Verdict,
}


class BadArguments(ValueError):
    """What is wrong with them, for the model."""


def house_specs(names: Iterable[str]) -> tuple[ToolSpec, ...]:
    """What a model is told of these tools."""
    return tuple(_spec(name) for name in sorted(names))


def read_arguments(name: str, arguments: Mapping[str, Any]) -> HouseTool:
    """The call's arguments; `BadArguments`."""
    try:
        return HOUSE_TOOLS[name].model_validate(_storable(dict(arguments)))
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        words = "; ".join(f"{'.'.join(map(str, each['loc'])) or name}: {each['msg']}" for each in problems[:5])
        raise BadArguments(words) from None


def _storable(value: object) -> object:
    """Text without NUL, which no database takes."""
    match value:
        case str():
            return value.replace("\0", "\N{SYMBOL FOR NULL}")
        case Mapping():
            return {key: _storable(each) for key, each in cast("Mapping[object, object]", value).items()}
        case list():
            return [_storable(each) for each in cast("list[object]", value)]
        case _:
            return value


@cache
def _spec(name: str) -> ToolSpec:
    model = HOUSE_TOOLS[name]
    schema = answer_schema(model.model_json_schema())
    schema.pop("description", None)
    return ToolSpec(name, " ".join((model.__doc__ or "").split()), schema)
