"""What a call cost: the candidate's own price, else the table of ``genai-prices``, else unknown.

The table is the one that the installed package carries; it is never fetched. Its version goes into the plan.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING

from harness.model.profiles import profiles
from harness.schema.candidate import ModelSettings, Price
from harness.schema.message import Usage

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, Provider

_MTOK = 1_000_000


@dataclass(frozen=True, kw_only=True)
class KnownModel:
    """What the table says of a model. ``context_window`` is ``None`` where it does not say."""

    id: str
    context_window: int | None


def prices_version() -> str:
    """Return the name and version of the price table."""
    return f"genai-prices {version('genai-prices')}"


def cost_usd(settings: ModelSettings, usage: Usage, *, at: datetime | None = None) -> float | None:
    """Return the cost of one call in USD, ``None`` when the price or the number of tokens is unknown.

    Input includes what was read from and written to a cache; each kind is charged at its own price where it
    has one, else as plain input. ``at`` is the time of the call, as prices change; without one it is now.
    """
    if not settings.priced or usage.input_tokens is None or usage.output_tokens is None:
        return None
    cached = min(usage.cached_tokens or 0, usage.input_tokens)
    written = min(usage.cache_write_tokens or 0, usage.input_tokens - cached)
    if settings.price is not None:
        return _own_cost(settings.price, usage.input_tokens, cached, written, usage.output_tokens)
    found = _found(settings.provider, settings.name)
    if found is None:
        return None
    from genai_prices import Usage as TableUsage

    provider, model = found
    counts = TableUsage(
        input_tokens=usage.input_tokens,
        cache_read_tokens=cached,
        cache_write_tokens=written,
        output_tokens=usage.output_tokens,
    )
    price = model.calc_price(counts, provider, genai_request_timestamp=at or datetime.now(UTC))
    return float(price.total_price)


def _own_cost(price: Price, total: int, cached: int, written: int, output: int) -> float:
    cached_mtok = price.input_mtok if price.cached_mtok is None else price.cached_mtok
    write_mtok = price.input_mtok if price.cache_write_mtok is None else price.cache_write_mtok
    plain = total - cached - written
    usd = plain * price.input_mtok + cached * cached_mtok + written * write_mtok + output * price.output_mtok
    return usd / _MTOK


def known_model(provider: str, name: str) -> KnownModel | None:
    """Return what the table says of a model, ``None`` when it does not know it."""
    found = _found(provider, name)
    return None if found is None else KnownModel(id=found[1].id, context_window=found[1].context_window)


def near_models(provider: str, name: str) -> list[str]:
    """Return up to three names in the table that look like this one."""
    table = _provider(provider)
    names = [] if table is None else [model.id for model in table.models]
    return difflib.get_close_matches(name, names, n=3, cutoff=0.6)


@cache
def _provider(provider: str) -> Provider | None:
    profile = profiles().get(provider)
    if profile is None or not profile.prices:
        return None
    from genai_prices.data_snapshot import get_snapshot

    return get_snapshot().find_provider(None, profile.prices, None)


@cache
def _found(provider: str, name: str) -> tuple[Provider, ModelInfo] | None:
    table = _provider(provider)
    model = None if table is None else table.find_model(name)
    if table is None or model is None or not model.prices:
        return None
    return table, model
