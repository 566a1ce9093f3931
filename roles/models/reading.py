"""Reading the SDKs' objects. They are of any shape: a server's answer is not checked by them, and what was left out is
None where their types say otherwise."""

from __future__ import annotations

from typing import Annotated, Self, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict


class Read(BaseModel):
    """What is read of an SDK's object; `ValueError` if it makes no sense."""

    model_config = ConfigDict(from_attributes=True)

    @classmethod
    def of(cls, event: object) -> Self:
        """Of a piece of a stream. (Left to find attributes by itself, pydantic takes six times as long: it asks for all
        that are not there.)"""
        return cls.model_validate(_plain(event))


def _plain(value: object) -> object:
    """Objects as mappings of what they have."""
    if isinstance(value, BaseModel):
        return {name: _plain(each) for name, each in {**vars(value), **(value.__pydantic_extra__ or {})}.items()}
    if isinstance(value, list):
        return [_plain(each) for each in cast("list[object]", value)]
    return value


def _words(value: object) -> object:
    return "" if value is None else value


def _number(value: object) -> object:
    return 0 if value is None else value


def kind_of(event: object) -> str:
    """The type of an event; new ones are made all the time, and are no mistake."""
    kind: object = getattr(event, "type", None)
    if isinstance(event, dict):
        kind = cast(dict[str, object], event).get("type")
    return kind if isinstance(kind, str) else ""


Words = Annotated[str, BeforeValidator(_words)]
Number = Annotated[int, BeforeValidator(_number)]
