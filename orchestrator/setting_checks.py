"""What a setting's value has to be: each check returns it as `Settings` has it, or raises `ValueError` that says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

from state.limits import CONCURRENCY

_MINIMUM_CACHE = 1 << 20
_MOST_CORES = 1024


def text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be text")
    return value


def flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def concurrency(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= CONCURRENCY:
        raise ValueError(f"must be a whole number from 1 to {CONCURRENCY}")
    return value


def size(value: object) -> int:
    from orchestrator.plan.values import byte_size

    if (size := byte_size(value)) < _MINIMUM_CACHE:
        raise ValueError("must be at least 1m")
    return size


def cores(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0.01 <= value <= _MOST_CORES:
        raise ValueError(f"must be a number from 0.01 to {_MOST_CORES}")
    return float(value)


def memory_size(value: object) -> int:
    from orchestrator.plan.values import memory

    return memory(value)


def seconds(value: object) -> float:
    from orchestrator.plan.values import duration

    return duration(value)


def one_of(*words: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        if value not in words:
            raise ValueError(f"must be {', '.join(words[:-1])} or {words[-1]}")
        return str(value)

    return check


def url(*schemes: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        # The value may hold a password: it is not repeated.
        if not text(value).startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ValueError(f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return str(value)

    return check


def database(value: object) -> str:
    scheme = text(value).partition("://")[0]
    if "://" not in str(value) or scheme.partition("+")[0] not in ("sqlite", "postgresql", "postgres"):
        raise ValueError("must begin with sqlite:/// or postgresql://")
    return str(value)


def directory(value: object) -> Path:
    return Path(text(value)).expanduser().absolute()


def texts(value: object, check: Callable[[object], str]) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError("must be a list of texts")
    return tuple(check(item) for item in cast(list[object], value))


def secret_names(value: object) -> tuple[str, ...]:
    from orchestrator.plan.values import secret_name

    return texts(value, secret_name)


def labels(value: object) -> tuple[str, ...]:
    from orchestrator.plan.values import key

    return texts(value, key)


def prefixes(value: object) -> tuple[str, ...]:
    def prefix(item: object) -> str:
        said = text(item)
        if not said.startswith(("s3://", "file:///")) or not said.endswith("/"):
            raise ValueError(f"{said} must begin with s3:// or file:///, and end with a slash")
        return said

    return texts(value, prefix)


def places(value: object) -> tuple[str, ...]:
    def place(item: object) -> str:
        said = text(item)
        if not said.startswith("/") and "://" not in said and "@" not in said:
            raise ValueError(f"{said} must be an absolute path, or the beginning of a URL")
        return said

    return texts(value, place)


def ice_servers(value: object) -> tuple[str, ...]:
    def server(item: object) -> str:
        said = text(item)
        if not said.startswith(("stun:", "stuns:")):  # of TURN servers browsers want a name and a password
            raise ValueError(f"{said} must begin with stun:")
        return said

    return texts(value, server)


def urls(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise ValueError('must be a table of URLs, such as {openai = "http://localhost:8000/v1"}')
    check = url("http", "https", "ws", "wss")
    found: dict[str, str] = {}
    for name, item in cast(dict[object, object], value).items():
        try:
            found[str(name)] = check(item)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return found


def plans(value: object) -> Mapping[str, Path]:
    if not isinstance(value, dict):
        raise ValueError('must be a table of plan files, such as {nightly = "/srv/plans/nightly.yaml"}')
    found = {str(name): Path(text(path)).expanduser() for name, path in cast(dict[object, object], value).items()}
    for name, path in found.items():
        if not name.strip() or not path.is_absolute():
            raise ValueError(f"{name or 'a plan without a name'}: {path} must be an absolute path")
    return found


def models(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError('must be a list of models, such as ["anthropic/claude-sonnet-5-5"]')
    names = cast(list[object], value)
    for name in names:
        if not isinstance(name, str) or "/" not in name.strip("/"):
            raise ValueError(f"{name!r} is no model; models are named provider/model")
    return tuple(cast(list[str], names))
