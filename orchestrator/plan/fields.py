"""The types of keys in documents: a checking function from `values` or `locations`, and its face in the JSON Schema."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, NamedTuple

from pydantic import Field, PlainSerializer, PlainValidator, ValidatorFunctionWrapHandler, WithJsonSchema, WrapValidator

from orchestrator.plan import locations, values
from orchestrator.plan.problems import described
from state import limits

Json = dict[str, object]


class Need(NamedTuple):
    """A TODO that comes first, and the answer wanted of it when it is an `ask`."""

    todo: str
    answer: str | None = None


def need(value: object) -> Need:
    """``id`` or ``{id: answer}``."""
    if isinstance(value, Need):
        return value
    if not isinstance(value, dict):
        return Need(values.key(value))
    pairs: list[tuple[object, object]] = list(value.items())  # pyright: ignore[reportUnknownArgumentType]
    if len(pairs) != 1:
        raise ValueError("must be an id, or one {id: answer}")
    todo, answer = pairs[0]
    if not isinstance(answer, str):
        raise ValueError(f"the answer must be text, not {described(answer)}; put it in quotes")
    return Need(values.key(todo), answer)


def _written(value: Need) -> str | dict[str, str]:
    return value.todo if value.answer is None else {value.todo: value.answer}


def _distinct(value: object, handler: ValidatorFunctionWrapHandler) -> dict[str, str]:
    paths: dict[str, str] = handler(value)
    if isinstance(value, dict) and len(paths) < len(value):  # pyright: ignore[reportUnknownArgumentType]
        raise ValueError("two of these paths are the same")
    return paths


def _text(pattern: str | None = None, longest: int = limits.TITLE_CHARACTERS) -> Json:
    schema: Json = {"type": "string", "minLength": 1, "maxLength": longest}
    return {**schema, "pattern": pattern} if pattern else schema


def _as(check: Callable[[object], object], schema: Json) -> tuple[PlainValidator, WithJsonSchema]:
    return PlainValidator(check), WithJsonSchema(schema)


def _mapping(keys: Json, entries: Json, most: int) -> WithJsonSchema:
    return WithJsonSchema(
        {"type": "object", "propertyNames": keys, "additionalProperties": entries, "maxProperties": most}
    )


_ID: Json = _text(values.ID_PATTERN, limits.KEY_CHARACTERS)
_DURATION: Json = {"type": "string", "pattern": values.DURATION_PATTERN}
_SECONDS: Json = {"type": "number", "maximum": limits.DURATION_SECONDS}
_ARGUMENT: Json = {"type": "string", "maxLength": limits.TEXT_CHARACTERS}
_ARGV: Json = {"type": "array", "items": _ARGUMENT, "minItems": 1, "maxItems": limits.PATHS}
_SHELL: Json = {"type": "string", "pattern": r"\S", "maxLength": limits.TEXT_CHARACTERS}
_INTERNAL: Json = _text(r"^(?!~)(?!(.*/)?\.\.(/|$))(?!/*(\./*)*$)(?!/+(proc|sys|dev)(/|$))", 4096)
_TOUCHED: Json = _text(r"^(?![~/])(?!(.*/)?\.\.(/|$))(?!(\./*)*$)", 4096)
_REMOTE: Json = _text(locations.REMOTE_PATTERN, 4096)
_NEED: Json = {
    "anyOf": [
        _ID,
        {
            "type": "object",
            "propertyNames": _ID,
            "additionalProperties": _text(),
            "minProperties": 1,
            "maxProperties": 1,
        },
    ]
}

Version = Annotated[int, *_as(values.version, {"const": 1})]
Key = Annotated[str, *_as(values.key, _ID)]
Line = Annotated[str, *_as(values.line, _text(r"\S"))]
Prose = Annotated[str, *_as(values.prose, _text(r"\S", limits.TEXT_CHARACTERS))]
Argument = Annotated[str, *_as(values.argument, _ARGUMENT)]
Command = Annotated[str | list[str], *_as(values.command, {"anyOf": [_SHELL, _ARGV]})]
Argv = Annotated[list[str], *_as(values.argv, _ARGV)]
Duration = Annotated[float, *_as(values.duration, {"anyOf": [_DURATION, {**_SECONDS, "minimum": 0}]})]
Timeout = Annotated[float, *_as(values.timeout, {"anyOf": [_DURATION, {**_SECONDS, "exclusiveMinimum": 0}]})]
Memory = Annotated[
    int,
    *_as(
        values.memory,
        {"anyOf": [{"type": "string", "pattern": values.SIZE_PATTERN}, {"type": "integer", "minimum": 6 << 20}]},
    ),
]
SecretName = Annotated[str, *_as(values.secret_name, _text(values.SECRET_PATTERN))]
EnvName = Annotated[str, *_as(values.env_name, _text(values.ENV_PATTERN))]
Image = Annotated[str, *_as(values.image, _text(values.IMAGE_PATTERN))]
ModelName = Annotated[str, *_as(values.model, _text(values.MODEL_PATTERN))]
Internal = Annotated[str, *_as(locations.internal, _INTERNAL)]
Touched = Annotated[str, *_as(locations.touched, _TOUCHED)]
Remote = Annotated[str, *_as(locations.remote, _REMOTE)]
Traceparent = Annotated[str, *_as(values.traceparent, _text(values.TRACEPARENT_PATTERN))]

NeedItem = Annotated[Need, *_as(need, _NEED), PlainSerializer(_written)]
Inputs = Annotated[dict[Remote, Internal], Field(max_length=limits.PATHS), _mapping(_REMOTE, _INTERNAL, limits.PATHS)]
Outputs = Annotated[
    dict[Internal, Remote],
    Field(max_length=limits.PATHS),
    WrapValidator(_distinct),
    _mapping(_INTERNAL, _REMOTE, limits.PATHS),
]
Env = Annotated[
    dict[EnvName, Argument],
    Field(max_length=limits.ENV_VARIABLES),
    _mapping(_text(values.ENV_PATTERN), _ARGUMENT, limits.ENV_VARIABLES),
]
