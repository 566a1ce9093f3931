"""What a tool answers, for tests: what is not there reads as None, as it was before it was left out."""

from __future__ import annotations

from typing import Any, cast


class Answer(dict[str, Any]):
    """A JSON object."""

    def __missing__(self, key: str) -> None:
        return None


def answer(data: object) -> Any:
    """`data` with all objects in it as `Answer`."""
    if isinstance(data, dict):
        return Answer({key: answer(value) for key, value in cast("dict[str, Any]", data).items()})
    return [answer(each) for each in cast("list[Any]", data)] if isinstance(data, list) else data
