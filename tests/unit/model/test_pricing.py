"""Costs worked out by hand against the price table and against a candidate's own price."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from harness.model import cost_usd, prices_version
from harness.schema.candidate import ModelSettings, Price
from harness.schema.message import Usage

AT = datetime(2026, 11, 1, tzinfo=UTC)
USED = Usage(
    input_tokens=10_000, cached_tokens=4_000, cache_write_tokens=1_000, output_tokens=500, reasoning_tokens=200
)


def settings(provider: str = "openai", name: str = "gpt-5.2", **fields: object) -> ModelSettings:
    base = {"provider": provider, "name": name, "api": "openai-chat", "base_url": "https://x", "key_env": None}
    return ModelSettings.model_validate(base | fields)


def test_a_model_without_a_price_for_writing_pays_it_as_plain_input() -> None:
    # gpt-5.2: 1.75 input, 0.175 cached, 14 output; 5,000 plain and 1,000 written at 1.75.
    assert cost_usd(settings(), USED, at=AT) == pytest.approx((6_000 * 1.75 + 4_000 * 0.175 + 500 * 14) / 1e6)


def test_cached_and_written_input_have_their_own_prices() -> None:
    # claude-sonnet-4-5: 3 input, 0.30 cached, 3.75 written, 15 output, below its tier at 200,000.
    sonnet = settings("anthropic", "claude-sonnet-4-5-20250929")
    expected = (5_000 * 3 + 4_000 * 0.3 + 1_000 * 3.75 + 500 * 15) / 1e6
    assert cost_usd(sonnet, USED, at=AT) == pytest.approx(expected)


def test_a_long_prompt_pays_the_higher_tier() -> None:
    # gpt-5.6-sol from 272,000 tokens on: 8 input, 30 output since 21 August 2026; 10 and 45 before.
    long = Usage(input_tokens=300_000, output_tokens=1_000)
    sol = settings(name="gpt-5.6-sol")
    assert cost_usd(sol, long, at=AT) == pytest.approx(300_000 * 8 / 1e6 + 1_000 * 30 / 1e6)
    before = datetime(2026, 8, 1, tzinfo=UTC)
    assert cost_usd(sol, long, at=before) == pytest.approx(300_000 * 10 / 1e6 + 1_000 * 45 / 1e6)


def test_a_price_of_ones_own_goes_before_the_table() -> None:
    own = Price(input_mtok=2, output_mtok=10, cached_mtok=0.5)
    expected = (6_000 * 2 + 4_000 * 0.5 + 500 * 10) / 1e6
    assert cost_usd(settings(price=own), USED) == pytest.approx(expected)
    written = own.model_copy(update={"cache_write_mtok": 2.5})
    assert cost_usd(settings(price=written), USED) == pytest.approx(expected + 1_000 * 0.5 / 1e6)


def test_a_free_server_costs_nothing_which_is_not_unknown() -> None:
    assert cost_usd(settings(price=Price(input_mtok=0, output_mtok=0)), USED) == 0


@pytest.mark.parametrize(
    ("made", "usage"),
    [
        (settings(priced=False), USED),
        (settings(name="gpt-0-never"), USED),
        (settings("compatible", "gpt-5.2"), USED),
        (settings(), Usage(output_tokens=5)),
        (settings(), Usage(input_tokens=5)),
    ],
)
def test_an_unknown_price_or_number_of_tokens_is_an_unknown_cost(made: ModelSettings, usage: Usage) -> None:
    assert cost_usd(made, usage) is None


def test_more_cached_than_sent_cannot_make_a_cost_negative() -> None:
    odd = Usage(input_tokens=10, cached_tokens=50, cache_write_tokens=50, output_tokens=0)
    own = settings(price=Price(input_mtok=1, output_mtok=1, cached_mtok=0.5))
    assert cost_usd(own, odd) == pytest.approx(5e-6)


def test_the_tables_version_is_named() -> None:
    name, _, number = prices_version().partition(" ")
    assert name == "genai-prices"
    assert number[0].isdigit()
