"""What models say to the tools of the house."""

from __future__ import annotations

import json

from roles.house_tools import HOUSE_TOOLS, read_arguments


def test_what_no_database_takes_is_replaced() -> None:
    """JSON may say NUL; the verdict of a review was lost over one."""
    given = json.loads('{"text": "splits on \\u0000", "choices": ["a\\u0000b", "c"]}')
    name = next(name for name in HOUSE_TOOLS if name.startswith("ask"))
    said = read_arguments(name, {"question": given["text"], "choices": given["choices"]})
    assert "\0" not in repr(said.model_dump()).replace("\\x00", "\0")
    assert "splits on \N{SYMBOL FOR NULL}" in str(said.model_dump())
