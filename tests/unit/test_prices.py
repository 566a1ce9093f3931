"""What calls cost."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roles.models.port import Usage
from roles.models.prices import Price, load_prices
from state.errors import SettingsError

PRICES = load_prices()
TOKENS = st.integers(0, 2_000_000)


def price(name: str) -> Price:
    found = PRICES.of(name)
    assert found is not None
    return found


def test_each_kind_of_token_has_its_price() -> None:
    opus = price("anthropic/claude-opus-5-5")
    million = 1_000_000
    costs = [opus.cost(Usage(input=million)), opus.cost(Usage(cached=million)), opus.cost(Usage(written=million))]
    assert [*costs, opus.cost(Usage(output=million))] == [Decimal(4), Decimal("0.2"), Decimal(5), Decimal(20)]
    assert opus.cost(Usage(input=1)) == Decimal("0.000004")


def test_long_requests_have_another_price() -> None:
    haiku = price("anthropic/claude-haiku-5-5")
    assert haiku.cost(Usage(input=40_000, cached=50_000, written=10_000)) == Decimal("0.00575")
    assert haiku.cost(Usage(input=40_000, cached=50_000, written=10_001)) > Decimal("0.028")


@pytest.mark.parametrize("name", ["openai/unheard-of", "local/claude-opus-5-5", "claude-opus-5-5", "", "scripted"])
def test_what_is_unknown_has_no_price(name: str) -> None:
    assert PRICES.of(name) is None


def test_versions_of_a_model_are_told_apart() -> None:
    assert price("anthropic/claude-sonnet-5").cached == 2 * price("anthropic/claude-sonnet-5-5").cached
    assert price("openai/gpt-6-sol").cached == 2 * price("openai/gpt-6.2-sol").cached
    assert PRICES.of("anthropic/claude-opus-5-9") is None


def test_a_script_costs_nothing() -> None:
    assert price("scripted/examples/demo.yaml").cost(Usage(10**6, 10**6, 10**6, 10**6)) == 0


@given(TOKENS, TOKENS, TOKENS, TOKENS, st.sampled_from([each for _, each in PRICES.prices]))
def test_no_call_costs_more_than_its_most(input: int, cached: int, written: int, output: int, price: Price) -> None:
    cost = price.cost(Usage(input, cached, written, output))
    assert 0 <= cost <= price.most(input + cached + written, output)


def test_the_table_is_sensible() -> None:
    for pattern, each in PRICES.prices:
        assert each.cached <= each.input <= each.written <= each.output, pattern
        assert (each.above is None) == (each.long is None), pattern
        assert "/" in pattern


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = ", "Invalid value"),
        ('["a/b"]\ninput = 1', "a/b.cached"),
        ('["a/b"]\ninput = "much"\ncached = 1\nwritten = 1\noutput = 1', "a/b.input"),
        ('["a/b"]\ninput = 1\ncached = 1\nwritten = 1\noutput = 1\nmodel = 1', "a/b.model"),
        ('["a/b"]\ninput = -1\ncached = 1\nwritten = 1\noutput = 1', "a/b.input"),
        ('["a/b"]\ninput = 1\ncached = 1\nwritten = 1\noutput = 1\nabove = 5', "above and long"),
        ('["a/b"]\ninput = nan\ncached = 1\nwritten = 1\noutput = 1', "a/b.input"),
    ],
)
def test_tables_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"prices\.toml") as caught:
        load_prices(path)
    assert message in caught.value.message


def test_another_table(tmp_path: Path) -> None:
    path = tmp_path / "prices.toml"
    path.write_text('["a/*"]\ninput = 1\ncached = 0.5\nwritten = 1\noutput = 2\n')
    assert load_prices(path).of("a/b") == Price(
        input=Decimal(1), cached=Decimal("0.5"), written=Decimal(1), output=Decimal(2)
    )
    with pytest.raises(SettingsError):
        load_prices(tmp_path / "nowhere.toml")
