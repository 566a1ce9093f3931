"""``[providers.NAME]`` of atlas.toml: whose models there are besides those that need no settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, cast, get_args

from roles.models.connect import PROVIDERS, Kind, Provider, Style
from state.errors import SettingsError
from state.limits import CONCURRENCY

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_KEYS: Mapping[str, tuple[str, ...]] = {
    "kind": get_args(Kind), "style": get_args(Style), "base_url": (), "key_variable": (), "token_variable": (),
    "concurrency": (),
}  # fmt: skip
"""What may be said, and what may be chosen from."""


def read_providers(where: str, sections: object) -> dict[str, Provider]:
    """By name. `SettingsError` names the file `where` and the key."""
    tables = cast("dict[str, object]", sections) if isinstance(sections, dict) else {"": sections}
    return {name: _provider(where, name, table) for name, table in tables.items()}


def _provider(where: str, name: str, table: object) -> Provider:
    place = f"providers.{name}".rstrip(".")
    if not isinstance(table, dict):
        raise SettingsError(f"{where}: {place}: must be a section", "Write [providers.local], with keys below it.")
    if not _NAME.fullmatch(name):
        raise SettingsError(f"{where}: {place}: is no name", "Use lower case letters, digits, - and _.")
    given = cast("dict[str, object]", table)
    for key, value in given.items():
        _check(where, f"{place}.{key}", key, value)
    if "kind" not in given and name in PROVIDERS:
        return replace(PROVIDERS[name], **cast("dict[str, Any]", given))
    if "kind" not in given:
        raise SettingsError(f"{where}: {place}.kind: is missing", 'Say whose language it speaks: kind = "openai".')
    return Provider(**cast("dict[str, Any]", given))


def _check(where: str, place: str, key: str, value: object) -> None:
    choices = _KEYS.get(key)
    if choices is None:
        near = get_close_matches(key, _KEYS, n=1)
        raise SettingsError(
            f"{where}: {place}: unknown key", f'Did you mean "{near[0]}"?' if near else f"Known: {', '.join(_KEYS)}."
        )
    if key == "concurrency":
        if type(value) is not int or not 1 <= value <= CONCURRENCY:
            raise SettingsError(
                f"{where}: {place}: must be a whole number from 1 to {CONCURRENCY}", f"Correct {place} in {where}."
            )
        return
    if not isinstance(value, str) or not value or (choices and value not in choices):
        expected = f"must be one of {', '.join(choices)}" if choices else "must be text"
        raise SettingsError(f"{where}: {place}: {expected}", f"Correct {place} in {where}.")
