"""The published JSON Schemas (draft 2020-12) of the documents people and programs write."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from orchestrator.plan.document import Plan
from orchestrator.plan.task import TaskDocument
from orchestrator.plan.todo_checks import KEYS_BY_KIND, KIND_KEYS

SchemaName = Literal["plan", "task"]
_MODELS: dict[SchemaName, type[BaseModel]] = {"plan": Plan, "task": TaskDocument}


def json_schema(name: SchemaName) -> dict[str, Any]:
    """The schema of a plan or a task document. It refuses nothing that Atlas accepts; what concerns several TODOs at
    once (needs, cycles, paths that overlap) only Atlas itself can tell."""
    schema = _MODELS[name].model_json_schema(by_alias=True, mode="validation")
    _tidy(schema)
    if name == "plan":
        schema["anyOf"] = [{"required": ["goal"]}, {"required": ["todos"], "properties": {"todos": {"minItems": 1}}}]
        schema["$defs"]["Todo"].update(_todo_rules())
        # A review stands beside a run or file, never alone.
        schema["$defs"]["Todo"]["properties"]["verify"]["not"] = {"minItems": 1, "items": {"required": ["review"]}}
        one_of = [{"required": [key]} for key in ("run", "file", "review")]
        schema["$defs"]["VerifyItem"]["oneOf"] = one_of
    return {"$schema": GenerateJsonSchema.schema_dialect, "title": f"Atlas {name} document", **schema}


def _todo_rules() -> dict[str, Any]:
    """Exactly one of the keys that make the kind, and only the keys that go with it."""
    kinds: list[dict[str, Any]] = []
    for kind, key in KIND_KEYS.items():
        required = [key, "prompt", "touches", "verify"] if kind == "agent" else [key]
        allowed = dict.fromkeys(sorted(KEYS_BY_KIND[kind]), True)
        kinds.append({"required": required, "properties": allowed, "additionalProperties": False})
    agent = {"touches": {"minItems": 1}, "verify": {"minItems": 1}}
    return {"oneOf": kinds, "if": {"required": ["role"]}, "then": {"properties": agent}}


def _tidy(schema: dict[str, Any]) -> None:
    """Take out what pydantic adds for Python's sake: nulls (no key takes one), their defaults, generated titles."""
    pending: list[Any] = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending.extend(node)  # pyright: ignore[reportUnknownArgumentType] JSON
        elif isinstance(node, dict):
            _tidy_node(node)  # pyright: ignore[reportUnknownArgumentType] JSON
            pending.extend(node.values())  # pyright: ignore[reportUnknownArgumentType] JSON


def _tidy_node(node: dict[str, Any]) -> None:
    if isinstance(node.get("title"), str):
        del node["title"]
    if "default" in node and node["default"] is None:
        del node["default"]
    choices = node.get("anyOf")
    if isinstance(choices, list):
        kept: list[Any] = [item for item in choices if item != {"type": "null"}]  # pyright: ignore[reportUnknownVariableType]
        node["anyOf"] = kept
        if len(kept) == 1:
            del node["anyOf"]
            node.update(kept[0])
