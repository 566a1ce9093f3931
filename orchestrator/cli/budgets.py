"""``--budget tokens=2000000 --budget usd=5 --budget wall_clock=2h`` of the command line."""

from __future__ import annotations

from collections.abc import Iterable

from state.errors import InputError

_HINT = "Write tokens=2000000, usd=5 or wall_clock=2h."


def read_budget(texts: Iterable[str]) -> dict[str, float | int | str]:
    """By name: a whole number of ``tokens``, an amount of ``usd``, a duration for ``wall_clock``, read with the
    rest of the budget. `InputError`."""
    found: dict[str, float | int | str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"--budget {text}: does not say of what", _HINT)
        if name == "wall_clock":
            found[name] = value
            continue
        try:
            amount: float | int = int(value.replace("_", "")) if name == "tokens" else float(value)
        except ValueError:
            raise InputError(f"--budget {text}: {value!r} is no number", _HINT) from None
        if name not in ("tokens", "usd"):
            raise InputError(f"--budget {text}: there is no budget of {name!r}", _HINT)
        if not 0 < amount <= 10**15 or amount != amount:
            raise InputError(f"--budget {text}: must be more than nothing", _HINT)
        found[name] = amount
    return found
