"""Secrets in files: NAME_FILE names a file that holds what the variable NAME would.

An environment is seen by whoever may inspect a container or look into ``/proc``; a file need not be. Whitespace around
the content is not part of it: editors and ``echo`` end files with a new line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from state.errors import SettingsError

SUFFIX = "_FILE"
_LARGEST = 64 << 10


def with_files(environ: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """The environment in which each of `names` has its value, wherever it was given. `SettingsError` names the
    variables, and never repeats a value."""
    found = dict(environ)
    for name in names:
        if path := environ.get(name + SUFFIX):
            if environ.get(name):
                raise SettingsError(f"{name} and {name}{SUFFIX} are both set", "Unset one of them.")
            found[name] = _content(name + SUFFIX, Path(path))
    return found


def _content(variable: str, path: Path) -> str:
    hint = "It must name a file that this user can read, with the value and nothing else."
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
        text = data.decode().strip()
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or "it is not text"
        raise SettingsError(f"{variable}: cannot read {path}: {why}", hint) from None
    if len(data) > _LARGEST or not text or not text.isprintable():
        why = "is empty" if not text else "is too long" if len(data) > _LARGEST else "holds more than one line of text"
        raise SettingsError(f"{variable}: {path} {why}", hint)
    return text
