"""OpenAI Responses: what goes out. What comes in is checked in ``responses_input``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from harness.schema.candidate import Api
from harness.testing.model_server import responses_input
from harness.testing.model_server.asked import Asked, Frame, Reply, Tokens, chunks, compact, text_digest
from harness.testing.model_server.node import Node
from harness.testing.model_server.refused import Refused
from harness.testing.model_server.seal import Seal
from harness.testing.players import Player

Json = dict[str, JsonValue]


class ResponsesDialect:
    """``POST /v1/responses``."""

    api: Api = "openai-responses"

    def read(self, body: Mapping[str, JsonValue], headers: Mapping[str, str], player: Player, seal: Seal) -> Asked:
        """Check a request."""
        return responses_input.read(body, player, seal)

    def overflow(self, asked: Asked, window: int) -> Refused:
        """Refuse a prompt that is too long."""
        text = "Your input exceeds the context window of this model. Please adjust your input and try again."
        return Refused(400, text, param="input", code="context_length_exceeded")

    def seal_reasoning(self, asked: Asked, reply: Reply, seal: Seal) -> str:
        """Seal the reasoning item's id and summary."""
        summary = reply.reasoning if asked.shows_reasoning else ""
        return seal.close("reasoning", reply.item("rs", 0), text_digest(summary), text_digest(reply.reasoning))

    def frames(self, reply: Reply, asked: Asked) -> list[Frame]:
        """Return the events of a streamed reply."""
        return _numbered(self._events(reply, asked))

    def terminal_frames(self, reply: Reply, asked: Asked) -> int:
        """One: ``response.completed`` or ``response.incomplete``."""
        return 1

    def error_frames(self, reply: Reply, asked: Asked, *, bare: bool) -> list[Frame]:
        """Return a stream that fails after it began."""
        text = "The server had an error while processing your request. Sorry about that!"
        started = list(self._events(reply, asked))[:4]
        if bare:
            failed: Json = {"type": "error", "code": "server_error", "message": text, "param": None}
        else:
            response = response_body(reply, asked, [], "failed")
            response |= {"error": {"code": "server_error", "message": text}, "usage": None}
            failed = {"type": "response.failed", "response": response}
        return _numbered([*started, failed])

    def body(self, reply: Reply, asked: Asked) -> Json:
        """Return a reply that is not streamed."""
        return response_body(reply, asked, _items(reply, asked), _status(reply))

    def _events(self, reply: Reply, asked: Asked) -> Iterator[Json]:
        started = response_body(reply, asked, [], "in_progress") | {"usage": None}
        yield {"type": "response.created", "response": started}
        yield {"type": "response.in_progress", "response": started}
        items = _items(reply, asked)
        for index, item in enumerate(items):
            yield from _item_events(item, index)
        status = _status(reply)
        yield {"type": f"response.{status}", "response": response_body(reply, asked, items, status)}


def _numbered(events: Iterator[Json] | list[Json]) -> list[Frame]:
    return [
        Frame(event=str(event["type"]), data=compact(event | {"sequence_number": number}))
        for number, event in enumerate(events)
    ]


def _status(reply: Reply) -> str:
    return "incomplete" if reply.stop == "length" else "completed"


def response_body(reply: Reply, asked: Asked, items: list[Json], status: str) -> Json:
    """Return the response object; what the request set is echoed as the service echoes it."""
    request = asked.request
    reasoning: Json = {"effort": "medium", "summary": None}
    text: Json = {"format": {"type": "text"}, "verbosity": "medium"}
    return {
        "id": reply.id("resp"),
        "object": "response",
        "created_at": reply.created,
        "status": status,
        "background": False,
        "completed_at": reply.created if status == "completed" else None,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": request.get("instructions"),
        "max_output_tokens": request.get("max_output_tokens"),
        "max_tool_calls": request.get("max_tool_calls"),
        "metadata": request.get("metadata") or {},
        "model": reply.model,
        "output": list(items),
        "parallel_tool_calls": request.truth("parallel_tool_calls", True),
        "previous_response_id": None,
        "prompt_cache_key": request.get("prompt_cache_key"),
        "reasoning": reasoning | _given(request, "reasoning"),
        "safety_identifier": request.get("safety_identifier"),
        "service_tier": "default",
        "temperature": 1.0,
        "text": text | _given(request, "text"),
        "tool_choice": request.get("tool_choice") or "auto",
        "tools": request.get("tools") or [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": request.get("truncation") or "disabled",
        "usage": _usage(reply.tokens),
        "user": None,
    }


def _given(request: Node, key: str) -> Json:
    given = request.child_or_none(key)
    return dict(given.value) if given else {}


def _usage(tokens: Tokens | None) -> JsonValue:
    if tokens is None:
        return None
    return {
        "input_tokens": tokens.input,
        "input_tokens_details": {"cached_tokens": tokens.cached, "cache_write_tokens": 0},
        "output_tokens": tokens.output,
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.input + tokens.output,
    }


def _items(reply: Reply, asked: Asked) -> list[Json]:
    items: list[Json] = []
    done = _status(reply)
    if reply.reasoning:
        summary: list[JsonValue] = [{"type": "summary_text", "text": reply.reasoning}]
        items.append(
            {
                "id": reply.item("rs", 0),
                "type": "reasoning",
                "encrypted_content": reply.sealed,
                "summary": summary if asked.shows_reasoning else [],
            }
        )
    if reply.text:
        items.append(
            {
                "id": reply.item("msg", 1),
                "type": "message",
                "status": done if not reply.calls else "completed",
                "content": [_part(reply, reply.text)],
                "phase": "commentary" if reply.calls else "final_answer",
                "role": "assistant",
            }
        )
    for index, call in enumerate(reply.calls):
        last = index == len(reply.calls) - 1
        items.append(
            {
                "id": reply.call("fc", index),
                "type": "function_call",
                "status": done if last else "completed",
                "arguments": call.arguments,
                "call_id": reply.call("call", index),
                "name": call.name,
            }
        )
    return items


def _part(reply: Reply, text: str) -> Json:
    if reply.stop == "refusal":
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _item_events(item: Json, index: int) -> Iterator[Json]:
    place: Json = {"item_id": item["id"], "output_index": index}
    match item["type"]:
        case "reasoning":
            yield _added(item | {"encrypted_content": "", "summary": []}, index)
            yield from _summary_events(item, place)
        case "message":
            yield _added(item | {"status": "in_progress", "content": []}, index)
            yield from _part_events(item, place | {"content_index": 0})
        case _:
            yield _added(item | {"status": "in_progress", "arguments": ""}, index)
            text = str(item["arguments"])
            for piece in chunks(text):
                yield place | {"type": "response.function_call_arguments.delta", "delta": piece}
            yield place | {"type": "response.function_call_arguments.done", "arguments": text}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _added(item: Json, index: int) -> Json:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def _summary_events(item: Json, place: Json) -> Iterator[Json]:
    parts = item["summary"]
    assert isinstance(parts, list)
    for number, part in enumerate(parts):
        assert isinstance(part, dict)
        here = place | {"summary_index": number}
        yield here | {"type": "response.reasoning_summary_part.added", "part": part | {"text": ""}}
        for piece in chunks(str(part["text"])):
            yield here | {"type": "response.reasoning_summary_text.delta", "delta": piece}
        yield here | {"type": "response.reasoning_summary_text.done", "text": part["text"]}
        yield here | {"type": "response.reasoning_summary_part.done", "part": part}


def _part_events(item: Json, place: Json) -> Iterator[Json]:
    content = item["content"]
    assert isinstance(content, list)
    part = content[0]
    assert isinstance(part, dict)
    field, name = ("refusal", "refusal") if part["type"] == "refusal" else ("text", "output_text")
    more: Json = {} if field == "refusal" else {"logprobs": []}
    yield place | {"type": "response.content_part.added", "part": part | {field: ""}}
    for piece in chunks(str(part[field])):
        yield place | more | {"type": f"response.{name}.delta", "delta": piece}
    yield place | more | {"type": f"response.{name}.done", field: part[field]}
    yield place | {"type": "response.content_part.done", "part": part}
