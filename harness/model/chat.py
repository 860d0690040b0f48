"""OpenAI Chat Completions, and every server that follows it.

Servers differ in names of fields and in how they cut a stream into deltas. Names are options; deltas are
merged so that every field of the message survives, known or not, empty or not, and is sent back.
Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import JsonValue

from harness.errors import SettingsError
from harness.model.deltas import MessageDeltas
from harness.model.faults import Fault, ProviderFault, fault_of_object
from harness.model.options import ChatOptions, read_options
from harness.model.reading import (
    Object,
    as_count,
    as_object,
    as_objects,
    as_text,
    mended,
    merged,
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
    ToolSpec,
    Usage,
    UserItem,
    View,
    ViewItem,
)

_REASONING_FIELDS = ("reasoning_content", "reasoning", "reasoning_details")
_STOPS: dict[str, StopReason] = {
    "stop": "end",
    "tool_calls": "tools",
    "function_call": "tools",
    "length": "length",
    "content_filter": "refusal",
    "model_context_window_exceeded": "context",
}
_FAILED = frozenset({"error", "insufficient_system_resource", "abort"})


class ChatWire:
    """Requests and replies of the Chat Completions protocol."""

    history_field = "messages"

    def __init__(self, settings: ModelSettings, cache_key: str) -> None:
        self._settings = settings
        self._options = read_options(ChatOptions, settings)
        self._made = ItemMemo(lambda item: list(self._messages(item)))
        self._fixed = _fixed_fields(settings, self._options, cache_key)
        with_extra({}, settings, reserved=("model", "messages", "stream", "tools"))

    def body(self, view: View) -> Object:
        """Return the request for a view."""
        messages: list[JsonValue] = [{"role": "system", "content": view.system}] if view.system else []
        messages.extend(message for made in self._made.of(view.items) for message in made)
        body: Object = {"model": self._settings.name, "messages": messages}
        if view.tools:
            body["tools"] = [_tool(spec) for spec in view.tools]
        return with_extra(merged(body, self._fixed), self._settings, reserved=())

    def fold(self) -> ChatFold:
        """Return a fresh fold."""
        return ChatFold()

    def _messages(self, item: ViewItem) -> Iterable[JsonValue]:
        match item:
            case UserItem():
                yield {"role": "user", "content": _content(item.parts)}
            case ReplyItem():
                yield from (self._replayed(native) for native in item.reply.native)
            case ResultsItem():
                yield from _results(item)

    def _replayed(self, native: JsonValue) -> JsonValue:
        if self._options.replay_reasoning or not isinstance(native, dict):
            return native
        return {key: value for key, value in native.items() if key not in _REASONING_FIELDS}


def _fixed_fields(settings: ModelSettings, options: ChatOptions, cache_key: str) -> Object:
    fixed: Object = {"stream": True}
    if options.stream_usage:
        fixed["stream_options"] = {"include_usage": True}
    if options.prompt_cache_key:
        fixed["prompt_cache_key"] = cache_key
    if settings.temperature is not None:
        fixed["temperature"] = settings.temperature
    if settings.max_output_tokens is not None:
        fixed[options.max_tokens_field] = settings.max_output_tokens
    if settings.effort is None:
        return fixed
    if not options.effort_field:
        raise SettingsError(
            f"effort is not settable for {settings.provider}/{settings.name}: it has no common field there.",
            hint="Set the server's own field with extra_body.NAME=VALUE.",
        )
    effort: JsonValue = settings.effort
    for name in reversed(options.effort_field.split(".")):
        effort = {name: effort}
    return merged(fixed, as_object(effort))


def _tool(spec: ToolSpec) -> JsonValue:
    function: Object = {"name": spec.name, "description": spec.description, "parameters": spec.parameters}
    return {"type": "function", "function": function}


def _content(parts: Sequence[Part]) -> JsonValue:
    """Return text alone as a string, which every server takes; with images, a list."""
    if all(part.kind == "text" for part in parts):
        return "\n".join(part.text for part in parts if part.kind == "text")
    return [_part(part) for part in parts]


def _part(part: Part) -> JsonValue:
    if part.kind == "text":
        return {"type": "text", "text": part.text}
    return {"type": "image_url", "image_url": {"url": f"data:{part.media_type};base64,{part.data_b64}"}}


def _results(item: ResultsItem) -> Iterable[JsonValue]:
    """Answer every call first; images follow in one user message, as tool messages take text only."""
    pictures: list[JsonValue] = []
    for result in item.results:
        images = [part for part in result.parts if part.kind == "image"]
        text = result.text or ("The image follows below." if images else "")
        yield {"role": "tool", "tool_call_id": result.call_id, "content": text}
        if images:
            pictures.append(
                {"type": "text", "text": f"Images from the result of {result.name} ({result.call_id}):"}
            )
            pictures.extend(_part(image) for image in images)
    if pictures:
        yield {"role": "user", "content": pictures}


class ChatFold:
    """Folds a Chat Completions stream. The terminal event is the chunk with a finish reason."""

    def __init__(self) -> None:
        self._message = MessageDeltas()
        self._finish = ""
        self._usage: Object = {}
        self._model = ""
        self._id = ""

    @property
    def complete(self) -> bool:
        """Whether a finish reason was seen."""
        return bool(self._finish)

    @property
    def closing(self) -> bool:
        """Whether the usage was seen, too."""
        return self.complete and bool(self._usage)

    def add(self, event: Object) -> None:
        """Take one chunk."""
        if event.get("error"):
            raise ProviderFault(fault_of_object(event["error"], ""))
        self._model = as_text(event.get("model")) or self._model
        self._id = as_text(event.get("id")) or self._id
        self._usage = as_object(event.get("usage")) or self._usage
        for choice in as_objects(event.get("choices"))[:1]:
            self._usage = as_object(choice.get("usage")) or self._usage
            self._message.add(as_object(choice.get("delta")))
            self._finish = as_text(choice.get("finish_reason")) or self._finish

    def reply(self) -> Reply:
        """Return the reply."""
        if self._finish in _FAILED:
            raise ProviderFault(
                Fault(message=f"the reply was given up by the server ({self._finish})", code="failed")
            )
        message = as_object(mended(self._message.message(self._id)))
        calls = tuple(_call(call) for call in as_objects(message.get("tool_calls")))
        refusal = as_text(message.get("refusal"))
        return Reply(
            text=_text(message.get("content")) or refusal,
            reasoning=_reasoning(message),
            calls=calls,
            stop=_stop(self._finish, refusal, calls),
            stop_detail=refusal or self._finish,
            native=(message,),
            usage=_usage(self._usage),
            served_model=self._model or None,
            response_id=self._id or None,
        )


def _reasoning(message: Object) -> str:
    """Return reasoning text, whichever field the server puts it in."""
    told = [as_text(message.get(name)) for name in _REASONING_FIELDS]
    return next(filter(None, told), "") or _text(message.get("reasoning_details"))


def _text(content: JsonValue) -> str:
    """Return a message's text; some servers send it in typed parts."""
    if isinstance(content, str):
        return content
    return "".join(as_text(part.get("text")) for part in as_objects(content))


def _call(call: Object) -> ToolCall:
    function = as_object(call.get("function"))
    given = function.get("arguments")
    text = as_text(given)
    arguments, problem = (given, None) if isinstance(given, dict) else parse_arguments(text)
    return ToolCall(
        call_id=as_text(call.get("id")),
        name=as_text(function.get("name")),
        arguments=arguments,
        arguments_text=text,
        problem=problem,
    )


def _stop(finish: str, refusal: str, calls: Sequence[ToolCall]) -> StopReason:
    stop = _STOPS.get(finish, "other")
    if stop == "end" and calls:
        return "tools"
    if stop == "tools" and not calls:
        return "other"
    return "refusal" if stop == "end" and refusal else stop


def _usage(usage: Object) -> Usage:
    given, made = as_object(usage.get("prompt_tokens_details")), as_object(usage.get("completion_tokens_details"))
    cached = as_count(given.get("cached_tokens"))
    return Usage(
        input_tokens=as_count(usage.get("prompt_tokens")) or None,
        cached_tokens=cached if cached is not None else as_count(usage.get("prompt_cache_hit_tokens")),
        cache_write_tokens=as_count(given.get("cache_write_tokens")),
        output_tokens=as_count(usage.get("completion_tokens")),
        reasoning_tokens=as_count(made.get("reasoning_tokens")),
    )
