"""What pydantic found wrong with a document, in words for the person who wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from types import GenericAlias, UnionType
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from orchestrator.plan.problems import Path, Problem, described, quoted

_TEMPLATES = {
    "string_type": "must be text, not {got}",
    "int_type": "must be a whole number, not {got}",
    "int_parsing_size": "is too large a number",
    "float_type": "must be a number, not {got}",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false, not {got}",
    "list_type": "must be a list, not {got}",
    "dict_type": "must be keys and values, not {got}",
    "model_type": "must be keys and values, not {got}",
    "greater_than": "must be more than {gt}, not {got}",
    "greater_than_equal": "must be at least {ge}, not {got}",
    "less_than": "must be less than {lt}, not {got}",
    "less_than_equal": "must be at most {le}, not {got}",
}


def worded(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """One problem per finding. `model` is what was validated; its keys are suggested for unknown ones."""
    found = error.errors(include_url=False)
    # A missing value is a problem of its own, said when the text was read.
    return [_problem(item, model) for item in found if item["input"] is not None]


def _problem(item: ErrorDetails, model: type[BaseModel]) -> Problem:
    location = tuple(part for part in item["loc"] if part != "[key]")
    if item["type"] == "extra_forbidden":
        return Problem(location, "unknown key", near=(str(location[-1]), _keys_at(model, location[:-1])))
    if item["type"] == "literal_error":
        words = str(item.get("ctx", {})["expected"]).replace("'", "").replace(" or ", ", ").split(", ")
        return _literal(location, words, item["input"])
    return Problem(location, _text(item))


def _text(item: ErrorDetails) -> str:
    kind, context, value = item["type"], item.get("ctx", {}), item["input"]
    match kind:
        case "value_error":
            return str(context["error"])
        case "missing":
            return "this key is required"
        case "too_long":
            return f"may have at most {context['max_length']:,} entries"
        case "too_short":
            return f"must have at least {context['min_length']:,} entry"
        case _:
            template = _TEMPLATES.get(kind)
            return template.format(got=described(value), **context) if template else item["msg"]


def _literal(location: Path, words: list[str], value: object) -> Problem:
    shown = " or ".join(words) if len(words) < 3 else f"one of {', '.join(words)}"
    if not isinstance(value, str):
        return Problem(location, f"must be {shown}, not {described(value)}")
    return Problem(location, f"must be {shown}, not {quoted(value)}", near=(value, words) if len(words) > 2 else None)


def _keys_at(model: type[BaseModel], location: Path) -> list[str]:
    """The keys that are known at a place of the document."""
    for part in location:
        if isinstance(part, str) and part in (fields := _fields(model)):
            model = _model_in(fields[part]) or model
    return list(_fields(model))


def _fields(model: type[BaseModel]) -> Mapping[str, object]:
    return {field.alias or name: field.annotation for name, field in model.model_fields.items()}


def _model_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 annotations have no common type
    todo: list[Any] = [annotation]
    while todo:
        item = todo.pop()
        if isinstance(item, type) and not isinstance(item, GenericAlias) and issubclass(item, BaseModel):
            return item
        if isinstance(item, UnionType) or get_args(item):
            todo.extend(get_args(item))
    return None
