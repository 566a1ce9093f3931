"""What tokens cost. The table is data (`prices.toml`): what is not in it has no known price."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from roles.models.port import Usage
from state.errors import SettingsError

_TABLE = Path(__file__).with_name("prices.toml")
_MILLION = 1_000_000


class Rates(BaseModel):
    """USD per million tokens, of each kind in `Usage`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    input: Annotated[Decimal, Field(ge=0)]
    cached: Annotated[Decimal, Field(ge=0)]
    written: Annotated[Decimal, Field(ge=0)]
    output: Annotated[Decimal, Field(ge=0)]


class Price(Rates):
    """`long`: the rates of a whole request whose input has more tokens than `above`."""

    above: int | None = None
    long: Rates | None = None

    @model_validator(mode="after")
    def _complete(self) -> Price:
        if (self.above is None) != (self.long is None):
            raise ValueError("above and long are given together")
        return self

    def cost(self, usage: Usage) -> Decimal:
        """In USD, of one call."""
        size = usage.input + usage.cached + usage.written
        rates = self.long if self.long and self.above is not None and size > self.above else self
        tokens = usage.input * rates.input + usage.cached * rates.cached + usage.written * rates.written
        return (tokens + usage.output * rates.output) / _MILLION

    def most(self, input_tokens: int, output_tokens: int) -> Decimal:
        """What a call that is no larger can cost at most, in USD, whatever is cached or written."""
        bands = (self, self.long) if self.long else (self,)
        return max(
            input_tokens * max(rates.input, rates.cached, rates.written) + output_tokens * rates.output
            for rates in bands
        ) / _MILLION  # fmt: skip


@dataclass(frozen=True, slots=True)
class PriceTable:
    """Prices by patterns of ``provider/model``; the first that fits is taken."""

    prices: Sequence[tuple[str, Price]]

    def of(self, name: str) -> Price | None:
        """None: unknown, so that it may cost anything."""
        return next((price for pattern, price in self.prices if fnmatchcase(name, pattern)), None)


def load_prices(path: Path = _TABLE) -> PriceTable:
    """Atlas's table, or another. `SettingsError` naming the file and what is wrong in it."""
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
        found = TypeAdapter(Mapping[str, Price]).validate_python(tree)
    except (OSError, ValueError) as error:
        shown = _first(error) if isinstance(error, ValidationError) else str(error)
        raise SettingsError(f"{path}: {shown}", "Give input, cached, written and output for each pattern.") from None
    return PriceTable(tuple(found.items()))


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(str(each) for each in first['loc'])}: {first['msg']}"
