"""What tools answer, as clients get it: JSON in as few words as it takes, and the schema of that.

Clients put both into contexts, and check each answer with the schema. So there are no titles, which repeat names, and
what is None is left out: no ``anyOf`` with null for it, which not every client can read, and no null in the answer.
"""

from __future__ import annotations

from typing import Any, cast

from pydantic import BaseModel

Schema = dict[str, Any]
_DATA = frozenset(("default", "const", "enum", "examples"))
"""What stands there is no schema."""
_MAPS = frozenset(("properties", "patternProperties", "$defs"))
"""What stands there has names of its own, and a schema for each."""
_NULL: Schema = {"type": "null"}


class Worded(BaseModel):
    """An answer that reads better in words than as JSON: files, and what commands say. Clients get both."""

    def words(self) -> str:
        """The answer for a reader, complete."""
        raise NotImplementedError


def answer_json(answer: BaseModel) -> tuple[str, dict[str, Any]]:
    """(as text, as data)"""
    worded = isinstance(answer, Worded)
    text = answer.words() if worded else answer.model_dump_json(by_alias=True, exclude_none=True)
    return text, answer.model_dump(mode="json", by_alias=True, exclude_none=True)


def answer_schema(schema: Schema) -> Schema:
    """Of what `answer_json` makes of a model with this schema."""
    found = {
        key: value if key in _DATA else _within(key, value)
        for key, value in schema.items()
        if key != "title" or not isinstance(value, str)
    }
    if isinstance(properties := found.get("properties"), dict):
        _leave_out(found, cast("dict[str, Schema]", properties))
    return found


def _within(key: str, value: object) -> object:
    if isinstance(value, list):
        return [_within("", each) for each in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    fields = cast("Schema", value)
    return {name: answer_schema(each) for name, each in fields.items()} if key in _MAPS else answer_schema(fields)


def _leave_out(schema: Schema, properties: dict[str, Schema]) -> None:
    """What may be None need not be there, and is then not null."""
    for name, field in properties.items():
        if _NULL not in field.get("anyOf", ()):
            continue
        others = [each for each in field.pop("anyOf") if each != _NULL]
        if field.get("default", ...) is None:
            del field["default"]
        properties[name] = {**others[0], **field} if len(others) == 1 else {"anyOf": others, **field}
        if needed := [each for each in schema.pop("required", ()) if each != name]:
            schema["required"] = needed
