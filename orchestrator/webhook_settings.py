"""``[webhooks.NAME]`` of atlas.toml: who is told by HTTP what happens."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import cast, get_args
from urllib.parse import urlsplit

from orchestrator.sinks.webhook import Webhook
from state.errors import SettingsError
from state.records import EventType

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_EVENTS: tuple[str, ...] = get_args(EventType)
_KEYS = ("url", "secret_variable", "secret_file", "events")


def read_webhooks(where: str, sections: object, environ: Mapping[str, str]) -> dict[str, Webhook]:
    """By name. `SettingsError` names the file `where` and the key."""
    tables = cast("dict[str, object]", sections) if isinstance(sections, dict) else {"": sections}
    return {name: _webhook(where, name, table, environ) for name, table in tables.items()}


def _webhook(where: str, name: str, table: object, environ: Mapping[str, str]) -> Webhook:
    place = f"webhooks.{name}".rstrip(".")
    if not isinstance(table, dict) or not _NAME.fullmatch(name):
        raise SettingsError(f"{where}: {place}: must be a section with a plain name", "Write [webhooks.team].")
    given = cast("dict[str, object]", table)
    for key in given:
        if key not in _KEYS:
            near = get_close_matches(key, _KEYS, n=1)
            hint = f'Did you mean "{near[0]}"?' if near else f"Known: {', '.join(_KEYS)}."
            raise SettingsError(f"{where}: {place}.{key}: unknown key", hint)
    url = given.get("url")
    if not isinstance(url, str) or urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise SettingsError(f"{where}: {place}.url: must be an http:// or https:// URL", "Say where events are sent.")
    events = _events(where, place, given.get("events"))
    secret = _secret(where, place, given, environ)
    return Webhook(name, url, secret, events) if events else Webhook(name, url, secret)


def _events(where: str, place: str, value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    patterns = cast("list[object]", value) if isinstance(value, list) else [value]
    for pattern in patterns:
        if not isinstance(pattern, str) or not Webhook("", "", None, (pattern,)).wants_any(_EVENTS):
            raise SettingsError(
                f"{where}: {place}.events: {pattern!r} is no event", f"There are: {', '.join(sorted(_EVENTS))}."
            )
    return tuple(cast("list[str]", patterns))


def _secret(where: str, place: str, given: Mapping[str, object], environ: Mapping[str, str]) -> str | None:
    variable, file = given.get("secret_variable"), given.get("secret_file")
    if variable is not None and file is not None:
        raise SettingsError(f"{where}: {place}: two secrets", "Give secret_variable or secret_file.")
    if variable is not None:
        secret = environ.get(str(variable), "")
        if not secret:
            raise SettingsError(f"{where}: {place}.secret_variable: {variable} is not set", f"Set {variable}.")
    elif file is not None:
        try:
            secret = Path(str(file)).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{where}: {place}.secret_file: {file} can't be read", str(error)) from None
    else:
        return None
    if secret.startswith("whsec_"):
        try:
            base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            raise SettingsError(
                f"{where}: {place}: the secret is not base64 after whsec_", "Copy it again, or use any other text."
            ) from None
    return secret
