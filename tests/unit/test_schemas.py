"""Answers in fewer words, and the schema of those."""

from __future__ import annotations

from typing import Any, Literal

import jsonschema
import pytest
from pydantic import BaseModel, Field

from mcp_servers.catalogue import servers
from mcp_servers.schemas import answer_json, answer_schema


class Leaf(BaseModel):
    """A leaf."""

    title: str
    colour: Literal["red", "green"] | None = None
    size: int | None = Field(default=None, ge=0, description="Its size.")


class Tree(BaseModel):
    """Uses itself, and another twice."""

    leaves: list[Leaf]
    best: Leaf | None = None
    children: list[Tree] = []
    notes: dict[str, Leaf] = {}


RIGHT: list[Any] = [
    {"leaves": []},
    {"leaves": [{"title": "a", "colour": "red", "size": 1}], "best": None, "children": [{"leaves": []}]},
    {"leaves": [{"title": "a", "colour": None, "size": None}], "best": {"title": "b"}, "notes": {"x": {"title": "c"}}},
]
WRONG: list[Any] = [
    {},
    {"leaves": [{"title": 1}]},
    {"leaves": [{"title": "a", "colour": "blue"}]},
    {"leaves": [{"title": "a", "size": -1}]},
    {"leaves": [], "children": [{"leaves": [{}]}]},
    {"leaves": [], "best": {}},
    {"leaves": [], "notes": {"x": None}},
]


@pytest.mark.parametrize("data", RIGHT)
def test_an_answer_fits_its_schema(data: Any) -> None:
    tree = Tree.model_validate(data)
    text, told = answer_json(tree)
    jsonschema.validate(told, answer_schema(Tree.model_json_schema()))
    assert "null" not in text
    assert Tree.model_validate_json(text) == Tree.model_validate(told) == tree


@pytest.mark.parametrize("data", WRONG)
def test_what_was_wrong_still_is(data: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, Tree.model_json_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, answer_schema(Tree.model_json_schema()))


def test_fewer_words() -> None:
    assert answer_schema(Leaf.model_json_schema()) == {
        "description": "A leaf.",
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "colour": {"type": "string", "enum": ["red", "green"]},
            "size": {"type": "integer", "minimum": 0, "description": "Its size."},
        },
        "required": ["title"],
    }


def test_what_every_tool_answers_is_a_schema() -> None:
    tools = [tool for tools in servers().values() for tool in tools]
    assert len(tools) >= 60
    for tool in tools:
        assert tool.output_schema
        jsonschema.Draft202012Validator.check_schema(tool.output_schema)
