"""OpenAI Responses: stateless requests, output items sent back as they came.

Source: https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import JsonValue

from harness.model.faults import Fault, ProviderFault, fault_of_object
from harness.model.options import ResponsesOptions, read_options
from harness.model.reading import (
    Object,
    as_count,
    as_object,
    as_objects,
    as_text,
    joined,
    mended,
    parse_arguments,
    without_nulls,
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
    ToolSpec,
    Usage,
    UserItem,
    View,
    ViewItem,
)


class ResponsesWire:
    """Requests and replies of the Responses protocol."""

    history_field = "input"

    def __init__(self, settings: ModelSettings, cache_key: str) -> None:
        self._settings = settings
        self._entries = ItemMemo(lambda item: list(_input(item)))
        self._fixed = self._fixed_fields(settings, cache_key)
        with_extra({}, settings, reserved=("model", "input", "stream", "tools", "instructions", "store"))

    @staticmethod
    def _fixed_fields(settings: ModelSettings, cache_key: str) -> Object:
        options = read_options(ResponsesOptions, settings)
        fixed: Object = {"stream": True, "store": False, "truncation": "disabled"}
        if options.encrypted_reasoning:
            fixed["include"] = ["reasoning.encrypted_content"]
        if options.prompt_cache_key:
            fixed["prompt_cache_key"] = cache_key
        reasoning: Object = {}
        if settings.effort is not None:
            reasoning["effort"] = settings.effort
        if options.reasoning_summary:
            reasoning["summary"] = options.reasoning_summary
        if reasoning:
            fixed["reasoning"] = reasoning
        if settings.temperature is not None:
            fixed["temperature"] = settings.temperature
        if settings.max_output_tokens is not None:
            fixed["max_output_tokens"] = settings.max_output_tokens
        return fixed

    def body(self, view: View) -> Object:
        """Return the request for a view."""
        body: Object = {"model": self._settings.name}
        if view.system:
            body["instructions"] = view.system
        body["input"] = [entry for entries in self._entries.of(view.items) for entry in entries]
        if view.tools:
            body |= {"tools": [_tool(spec) for spec in view.tools], "parallel_tool_calls": True}
        return with_extra(body | self._fixed, self._settings, reserved=())

    def fold(self) -> ResponsesFold:
        """Return a fresh fold."""
        return ResponsesFold()


def _tool(spec: ToolSpec) -> JsonValue:
    return {
        "type": "function",
        "name": spec.name,
        "description": spec.description,
        "parameters": spec.parameters,
        "strict": False,
    }


def _input(item: ViewItem) -> Iterable[JsonValue]:
    match item:
        case UserItem():
            yield {"type": "message", "role": "user", "content": _content(item.parts)}
        case ReplyItem():
            # The service answers with nulls in fields where it takes no nulls.
            yield from (without_nulls(native) for native in _followed(item.reply.native))
        case ResultsItem():
            yield from (_result(result) for result in item.results)


def _followed(native: Sequence[JsonValue]) -> Sequence[JsonValue]:
    """Leave out reasoning that nothing follows: the service refuses to take it back without what it led to."""
    end = len(native)
    while end and as_object(native[end - 1]).get("type") == "reasoning":
        end -= 1
    return native[:end]


def _result(result: ToolResult) -> JsonValue:
    only_text = all(part.kind == "text" for part in result.parts)
    output: JsonValue = result.text if only_text else _content(result.parts)
    return {"type": "function_call_output", "call_id": result.call_id, "output": output}


def _content(parts: Sequence[Part]) -> JsonValue:
    content: list[JsonValue] = []
    for part in parts:
        if part.kind == "text":
            content.append({"type": "input_text", "text": part.text})
        else:
            url = f"data:{part.media_type};base64,{part.data_b64}"
            content.append({"type": "input_image", "image_url": url, "detail": "auto"})
    return content


class ResponsesFold:
    """Folds a Responses stream. The terminal event is one that carries the finished response."""

    def __init__(self) -> None:
        self._done: dict[int, Object] = {}
        self._response: Object | None = None

    @property
    def complete(self) -> bool:
        """Whether the finished response was seen."""
        return self._response is not None

    @property
    def closing(self) -> bool:
        """Whether nothing follows."""
        return self.complete

    def add(self, event: Object) -> None:
        """Take one event."""
        match event.get("type"):
            case "response.output_item.done":
                self._done[as_count(event.get("output_index")) or 0] = as_object(event.get("item"))
            case "response.completed" | "response.incomplete":
                self._response = as_object(event.get("response"))
            case "response.failed" | "response.cancelled":
                raise ProviderFault(_failure(as_object(event.get("response"))))
            case "error":
                raise ProviderFault(fault_of_object(event.get("error") or event, ""))
            case None if event.get("error"):
                raise ProviderFault(fault_of_object(event.get("error"), ""))
            case _:
                pass

    def reply(self) -> Reply:
        """Return the reply."""
        response = self._response or {}
        native = self._items(as_objects(response.get("output")))
        calls = tuple(_call(item) for item in native if item.get("type") == "function_call")
        stop, detail = _stop(response, native, calls)
        return Reply(
            text=joined(_texts(native, "message", "content", "output_text", "refusal")),
            reasoning=joined(_texts(native, "reasoning", "summary", "summary_text"))
            or joined(_texts(native, "reasoning", "content", "reasoning_text")),
            calls=calls,
            stop=stop,
            stop_detail=detail,
            native=tuple(native),
            usage=_usage(as_object(response.get("usage"))),
            served_model=as_text(response.get("model")) or None,
            response_id=as_text(response.get("id")) or None,
        )

    def _items(self, listed: list[Object]) -> list[Object]:
        """Prefer the items' own events (some servers list none at the end), unless some are missing."""
        done = [self._done[index] for index in sorted(self._done)]
        return [as_object(mended(item)) for item in (done if len(done) >= len(listed) else listed)]


def _failure(response: Object) -> Fault:
    error = response.get("error")
    if error:
        return fault_of_object(error, "")
    return Fault(message=f"the response ended as {as_text(response.get('status')) or 'failed'}", code="failed")


def _call(item: Object) -> ToolCall:
    text = as_text(item.get("arguments"))
    arguments, problem = parse_arguments(text)
    return ToolCall(
        call_id=as_text(item.get("call_id")),
        name=as_text(item.get("name")),
        arguments=arguments,
        arguments_text=text,
        problem=problem,
    )


def _texts(native: list[Object], kind: str, field: str, *types: str) -> list[str]:
    """Return the texts in items of a kind, with an empty line between one item and the next."""
    texts: list[str] = []
    for item in native:
        if item.get("type") != kind:
            continue
        pieces = [part for part in as_objects(item.get(field)) if part.get("type") in types]
        between = "" if kind == "message" else "\n\n"
        texts.append(between.join(as_text(part.get("text")) or as_text(part.get("refusal")) for part in pieces))
    return ["\n\n".join(filter(None, texts))]


def _stop(response: Object, native: list[Object], calls: Sequence[ToolCall]) -> tuple[StopReason, str]:
    if response.get("status") == "incomplete":
        reason = as_text(as_object(response.get("incomplete_details")).get("reason"))
        known: dict[str, StopReason] = {"max_output_tokens": "length", "content_filter": "refusal"}
        return known.get(reason, "other"), reason
    if calls:
        return "tools", ""
    for item in native:
        for part in as_objects(item.get("content")):
            if part.get("type") == "refusal":
                return "refusal", as_text(part.get("refusal"))
    return "end", ""


def _usage(usage: Object) -> Usage:
    given = as_object(usage.get("input_tokens_details"))
    return Usage(
        input_tokens=as_count(usage.get("input_tokens")) or None,
        cached_tokens=as_count(given.get("cached_tokens")),
        cache_write_tokens=as_count(given.get("cache_write_tokens")),
        output_tokens=as_count(usage.get("output_tokens")),
        reasoning_tokens=as_count(as_object(usage.get("output_tokens_details")).get("reasoning_tokens")),
    )
