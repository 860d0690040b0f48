"""Anthropic Messages: content blocks sent back as they came, all results of a reply in one message.

Source: https://docs.anthropic.com/en/api/messages and /messages-streaming
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import JsonValue

from harness.errors import SettingsError
from harness.model.faults import Fault, ProviderFault, fault_of_object
from harness.model.options import MessagesOptions, read_options
from harness.model.reading import (
    Object,
    as_count,
    as_object,
    as_objects,
    as_text,
    joined,
    mended,
    parse_arguments,
)
from harness.model.wire import ItemMemo, with_extra
from harness.schema.candidate import ModelSettings
from harness.schema.message import (
    Part,
    Reply,
    ReplyItem,
    ResultsItem,
    StopReason,
    ToolCall,
    ToolResult,
    Usage,
    UserItem,
    View,
    ViewItem,
)

DEFAULT_MAX_TOKENS = 32_000
_SAMPLING_VERSION = "2023-06-01"
_MARK: JsonValue = {"type": "ephemeral"}
_STOPS: dict[str, StopReason] = {
    "end_turn": "end",
    "stop_sequence": "end",
    "tool_use": "tools",
    "max_tokens": "length",
    "refusal": "refusal",
    "pause_turn": "pause",
    "model_context_window_exceeded": "context",
}


class MessagesWire:
    """Requests and replies of the Messages protocol."""

    history_field = "messages"

    def __init__(self, settings: ModelSettings) -> None:
        self._settings = settings
        self._blocks = ItemMemo(_blocks)
        self._cache = read_options(MessagesOptions, settings).cache
        self._fixed = _fixed_fields(settings, cache=self._cache)
        with_extra({}, settings, reserved=("model", "messages", "stream", "tools", "system"))

    def body(self, view: View) -> Object:
        """Return the request for a view."""
        messages = _messages(view.items, self._blocks.of(view.items))
        body: Object = {"model": self._settings.name, "messages": messages}
        if view.system:
            system: Object = {"type": "text", "text": view.system}
            body["system"] = [system | {"cache_control": _MARK} if self._cache else system]
        if view.tools:
            body["tools"] = [
                {"name": spec.name, "description": spec.description, "input_schema": spec.parameters}
                for spec in view.tools
            ]
        return with_extra(body | self._fixed, self._settings, reserved=())

    def fold(self) -> MessagesFold:
        """Return a fresh fold."""
        return MessagesFold()


def _fixed_fields(settings: ModelSettings, *, cache: bool) -> Object:
    fixed: Object = {"stream": True, "max_tokens": settings.max_output_tokens or DEFAULT_MAX_TOKENS}
    if cache:
        # Marks the last block of each request; the system prompt has a mark of its own, so that it is found
        # again also when a turn holds more blocks than the service looks back over.
        fixed["cache_control"] = _MARK
    if settings.effort is not None:
        fixed["thinking"] = {"type": "adaptive"}
        fixed["output_config"] = {"effort": settings.effort}
    if settings.temperature is not None:
        pinned = {name.lower(): value for name, value in settings.headers.items()}.get("anthropic-version")
        if pinned != _SAMPLING_VERSION:
            raise SettingsError(
                f"temperature is not settable for {settings.provider}/{settings.name}: "
                "the current Messages protocol refuses it.",
                hint=f"Leave it out, or pin the older protocol with header.anthropic-version={_SAMPLING_VERSION}.",
            )
        fixed["temperature"] = settings.temperature
    return fixed


def _messages(items: Sequence[ViewItem], made: Sequence[list[JsonValue]]) -> list[JsonValue]:
    """Return messages with alternating roles: what follows one another from one side becomes one message."""
    messages: list[JsonValue] = []
    role = ""
    blocks: list[JsonValue] = []
    for item, more in zip(items, made, strict=True):
        side = "assistant" if item.kind == "reply" else "user"
        if not more:
            continue
        if side != role:
            role, blocks = side, []
            messages.append({"role": role, "content": blocks})
        blocks.extend(more)
    return messages


def _blocks(item: ViewItem) -> list[JsonValue]:
    match item:
        case UserItem():
            return _content(item.parts)
        case ResultsItem():
            return [_result(result) for result in item.results]
        case ReplyItem():
            return [block for block in item.reply.native if not _is_empty_text(block)]


def _is_empty_text(block: JsonValue) -> bool:
    """Tell the text blocks that the service sends now and then and does not take back."""
    return isinstance(block, dict) and block.get("type") == "text" and not block.get("text")


def _result(result: ToolResult) -> JsonValue:
    block: Object = {"type": "tool_result", "tool_use_id": result.call_id}
    content = _content(result.parts)
    if content:
        block["content"] = content
    if result.is_error:
        block["is_error"] = True
    return block


def _content(parts: Sequence[Part]) -> list[JsonValue]:
    content: list[JsonValue] = []
    for part in parts:
        if part.kind == "image":
            source: JsonValue = {"type": "base64", "media_type": part.media_type, "data": part.data_b64}
            content.append({"type": "image", "source": source})
        elif part.text:
            content.append({"type": "text", "text": part.text})
    return content


class MessagesFold:
    """Folds a Messages stream. The terminal event is ``message_stop`` after a stop reason."""

    def __init__(self) -> None:
        self._blocks: dict[int, _Block] = {}
        self._message: Object = {}
        self._usage: Object = {}
        self._end: Object = {}
        self._stopped = False

    @property
    def complete(self) -> bool:
        """Whether the message was ended with a reason."""
        return self._stopped and bool(self._end.get("stop_reason"))

    @property
    def closing(self) -> bool:
        """Whether nothing follows."""
        return self.complete

    def add(self, event: Object) -> None:
        """Take one event."""
        index = as_count(event.get("index")) or 0
        match event.get("type"):
            case "message_start":
                self._message = as_object(event.get("message"))
                self._use(as_object(self._message.get("usage")) | {"output_tokens": None})
            case "content_block_start":
                self._blocks[index] = _Block(as_object(event.get("content_block")))
            case "content_block_delta":
                if index not in self._blocks:
                    raise ProviderFault(Fault(message=f"a delta came for block {index}, which never started"))
                self._blocks[index].add(as_object(event.get("delta")))
            case "message_delta":
                self._end |= {key: value for key, value in as_object(event.get("delta")).items() if value}
                self._use(as_object(event.get("usage")))
            case "message_stop":
                self._stopped = True
            case "error":
                raise ProviderFault(fault_of_object(event.get("error"), ""))
            case _:
                pass

    def reply(self) -> Reply:
        """Return the reply."""
        blocks = [self._blocks[index] for index in sorted(self._blocks)]
        native = [block.native() for block in blocks]
        calls = tuple(block.call() for block in blocks if block.is_call)
        reason = as_text(self._end.get("stop_reason"))
        stop = _STOPS.get(reason, "other")
        return Reply(
            text=_texts(native, "text", "text"),
            reasoning=_texts(native, "thinking", "thinking"),
            calls=calls,
            stop="tools" if stop == "end" and calls else "other" if stop == "tools" and not calls else stop,
            stop_detail=_stop_detail(reason, as_object(self._end.get("stop_details"))),
            native=tuple(native),
            usage=_usage(self._usage),
            served_model=as_text(self._message.get("model")) or None,
            response_id=as_text(self._message.get("id")) or None,
        )

    def _use(self, usage: Object) -> None:
        """Lay newer numbers over older ones: every report is the sum so far, but may leave fields out."""
        self._usage |= {key: value for key, value in usage.items() if value is not None}


class _Block:
    """A content block as it grows."""

    def __init__(self, start: Object) -> None:
        self._start = start
        self._texts: dict[str, list[str]] = {}
        self._lists: dict[str, list[JsonValue]] = {}
        self._json: list[str] = []

    @property
    def is_call(self) -> bool:
        """Whether it asks for one of our tools."""
        return self._start.get("type") == "tool_use"

    def add(self, delta: Object) -> None:
        """Take one delta. Texts grow, whatever their name; citations are collected."""
        for name, value in delta.items():
            match name, value:
                case "type", _:
                    pass
                case "partial_json", str():
                    self._json.append(value)
                case "citation", _:
                    self._lists.setdefault("citations", []).append(value)
                case _, str():
                    self._texts.setdefault(name, []).append(value)
                case _:
                    self._start = self._start | {name: value}

    def native(self) -> Object:
        """Return the block as it would have come without a stream, to be sent back."""
        block = dict(self._start)
        for name, pieces in self._texts.items():
            block[name] = as_text(block.get(name)) + joined(pieces)
        for name, entries in self._lists.items():
            block[name] = [*as_objects(block.get(name)), *entries]
        if self._json:
            arguments, _ = parse_arguments(joined(self._json))
            # Broken JSON cannot be sent back as it came: the protocol takes objects only.
            block["input"] = {"INVALID_JSON": joined(self._json)} if arguments is None else arguments
        return as_object(mended(block))

    def call(self) -> ToolCall:
        """Return the call that the block asks for."""
        text = joined(self._json)
        arguments, problem = parse_arguments(text) if text else (as_object(self._start.get("input")), None)
        return ToolCall(
            call_id=as_text(self._start.get("id")),
            name=as_text(self._start.get("name")),
            arguments=arguments,
            arguments_text=text,
            problem=problem,
        )


def _texts(native: Sequence[Object], kind: str, name: str) -> str:
    between = "" if kind == "text" else "\n\n"
    return between.join(as_text(block.get(name)) for block in native if block.get("type") == kind)


def _stop_detail(reason: str, details: Object) -> str:
    said = ": ".join(filter(None, (as_text(details.get("category")), as_text(details.get("explanation")))))
    return f"{reason} ({said})" if said else reason


def _usage(usage: Object) -> Usage:
    """Return usage in which input includes what was read from and written to the cache, unlike Anthropic's."""
    plain = as_count(usage.get("input_tokens"))
    cached, written = (
        as_count(usage.get("cache_read_input_tokens")),
        as_count(usage.get("cache_creation_input_tokens")),
    )
    total = (plain or 0) + (cached or 0) + (written or 0)
    return Usage(
        input_tokens=total or None,
        cached_tokens=cached,
        cache_write_tokens=written,
        output_tokens=as_count(usage.get("output_tokens")),
        reasoning_tokens=as_count(as_object(usage.get("output_tokens_details")).get("thinking_tokens")),
    )
