"""A candidate: a model behind an agent, with fixed settings; and the limits that a trial works under."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from harness.schema.base import Record

Api = Literal["openai-responses", "openai-chat", "anthropic-messages"]


class Price(Record):
    """Prices in USD for a million tokens. A kind without a price of its own is charged as plain input."""

    input_mtok: float
    output_mtok: float
    cached_mtok: float | None = None
    cache_write_mtok: float | None = None


class ModelSettings(Record):
    """Everything that decides how a model is called, except the key itself.

    ``provider`` and ``name`` are what the user wrote before and after the slash. ``base_url`` ``None`` is
    decided when the run starts (a loopback server). ``key_env`` is the name of the variable that holds the
    key, ``None`` for servers without one. ``price`` ``None`` with ``priced`` false is an unknown price: cost
    is then ``None``. ``fingerprint`` distinguishes settings that the other fields cannot show, such as the
    digest of a scripted player's script.
    """

    provider: str
    name: str
    api: Api
    base_url: str | None
    key_env: str | None
    effort: str | None = None
    temperature: float | None = None
    max_output_tokens: int | None = None
    context_window: int | None = None
    headers: dict[str, str] = Field(default_factory=dict)
    extra_body: dict[str, JsonValue] = Field(default_factory=dict)
    options: dict[str, JsonValue] = Field(default_factory=dict)
    price: Price | None = None
    priced: bool = True
    fingerprint: str = ""


class Candidate(Record):
    """What is measured: an agent, its model if it has one, and their settings.

    ``name`` is unique in a run and what readers see; ``note`` is shown beside it ("scripted player").
    Controls are the agents that say whether a task is sound (oracle, nop); they never compete.
    """

    name: str
    agent: str
    role: Literal["candidate", "control"] = "candidate"
    model: ModelSettings | None = None
    settings: dict[str, JsonValue] = Field(default_factory=dict)
    note: str = ""


class Limits(Record):
    """What one trial may use; ``None`` is without limit. ``time_s`` caps the task's own agent timeout."""

    turns: int | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    cost_usd: float | None = None
    time_s: float | None = None
