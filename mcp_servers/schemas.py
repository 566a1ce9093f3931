"""JSON Schemas as clients get them: pydantic's, without the titles that it makes up. Clients read these into contexts,
where a title that repeats a name is only words."""

from __future__ import annotations

from typing import Any, cast

Schema = dict[str, Any]
_DATA = frozenset(("default", "const", "enum", "examples"))
"""What stands there is no schema."""
_MAPS = frozenset(("properties", "patternProperties", "$defs"))
"""What stands there has names of its own, and a schema for each."""


def untitled(schema: Schema) -> Schema:
    """The same without titles."""
    return {
        key: value if key in _DATA else _within(key, value)
        for key, value in schema.items()
        if key != "title" or not isinstance(value, str)
    }


def _within(key: str, value: object) -> object:
    if isinstance(value, list):
        return [_within("", each) for each in cast("list[object]", value)]
    if not isinstance(value, dict):
        return value
    fields = cast("Schema", value)
    return {name: untitled(each) for name, each in fields.items()} if key in _MAPS else untitled(fields)
