"""From settings to a model that can be called. The vendors' packages are imported here, on use."""

from __future__ import annotations

import uuid

from harness.errors import SettingsError
from harness.model.wire import Wire
from harness.ports import Model
from harness.schema.candidate import ModelSettings


def build_model(
    settings: ModelSettings, *, api_key: str | None, idle_timeout_s: float = 300, cache_key: str | None = None
) -> Model:
    """Return a model for these settings. Close it after use.

    ``api_key`` ``None`` sends no key. ``idle_timeout_s`` bounds the silence between two pieces of an answer.
    ``cache_key`` tells the provider which calls share a beginning (a trial's id); without one it is random.
    Raises ``SettingsError`` for settings that the protocol does not take.
    """
    from harness.model.call import StreamedModel
    from harness.model.clients import Access, AnthropicClient, OpenAIClient
    from harness.model.pricing import cost_usd
    from harness.schema.message import Usage

    if settings.base_url is None:
        raise SettingsError(f"{settings.provider}/{settings.name} has no address yet.")
    cost_usd(settings, Usage(input_tokens=1, output_tokens=1))  # loads the price table now, not in mid-call
    wire = build_wire(settings, cache_key=cache_key or uuid.uuid4().hex)
    access = Access(base_url=settings.base_url, api_key=api_key or None, idle_timeout_s=idle_timeout_s)
    make = AnthropicClient if settings.api == "anthropic-messages" else OpenAIClient
    return StreamedModel(settings, wire, make(settings, access), secret=api_key)


def build_wire(settings: ModelSettings, *, cache_key: str) -> Wire:
    """Return the protocol for these settings; raises ``SettingsError`` for what it does not take."""
    match settings.api:
        case "openai-responses":
            from harness.model.responses import ResponsesWire

            return ResponsesWire(settings, cache_key)
        case "openai-chat":
            from harness.model.chat import ChatWire

            return ChatWire(settings, cache_key)
        case "anthropic-messages":
            from harness.model.messages import MessagesWire

            return MessagesWire(settings)
