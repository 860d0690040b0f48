"""Anthropic Messages: what goes out. What comes in is checked in ``messages_input``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from harness.schema.candidate import Api
from harness.testing.model_server import messages_input
from harness.testing.model_server.asked import Asked, Frame, Reply, Tokens, chunks, compact, text_digest
from harness.testing.model_server.refused import Refused
from harness.testing.model_server.seal import Seal
from harness.testing.players import Player

Json = dict[str, JsonValue]

_STOPS = {"end": "end_turn", "tools": "tool_use", "length": "max_tokens", "refusal": "refusal"}


class MessagesDialect:
    """``POST /v1/messages``."""

    api: Api = "anthropic-messages"

    def read(self, body: Mapping[str, JsonValue], headers: Mapping[str, str], player: Player, seal: Seal) -> Asked:
        """Check a request."""
        return messages_input.read(body, headers, player, seal)

    def overflow(self, asked: Asked, window: int) -> Refused:
        """Refuse a prompt that is too long."""
        return Refused(400, f"prompt is too long: {asked.input_tokens} tokens > {window} maximum")

    def seal_reasoning(self, asked: Asked, reply: Reply, seal: Seal) -> str:
        """Sign the thinking and bind it to everything before it."""
        return seal.close(
            "thinking", text_digest(_thinking(reply, asked)), asked.prefix, text_digest(reply.reasoning)
        )

    def frames(self, reply: Reply, asked: Asked) -> list[Frame]:
        """Return the events of a streamed reply."""
        return [Frame(event=str(event["type"]), data=compact(event)) for event in self._events(reply, asked)]

    def terminal_frames(self, reply: Reply, asked: Asked) -> int:
        """Two: ``message_delta`` with the stop reason, and ``message_stop``."""
        return 2

    def error_frames(self, reply: Reply, asked: Asked, *, bare: bool) -> list[Frame]:
        """Return a stream that fails after it began."""
        error: Json = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
        return [*self.frames(reply, asked)[:3], Frame(event="error", data=compact(error))]

    def body(self, reply: Reply, asked: Asked) -> Json:
        """Return a reply that is not streamed."""
        message = _message(reply, asked) | {
            "content": list(_blocks(reply, asked)),
            "stop_reason": _STOPS[reply.stop],
        }
        return message | {"stop_details": _stop_details(reply), "usage": _usage(reply.tokens)}

    def _events(self, reply: Reply, asked: Asked) -> Iterator[Json]:
        started = _usage(reply.tokens) | {"output_tokens": 1 if reply.tokens else 0}
        started.pop("output_tokens_details", None)
        yield {"type": "message_start", "message": _message(reply, asked) | {"usage": started}}
        for index, block in enumerate(_blocks(reply, asked)):
            yield from _block_events(block, index, reply)
            if index == 0:
                yield {"type": "ping"}
        delta: Json = {
            "stop_reason": _STOPS[reply.stop],
            "stop_sequence": None,
            "stop_details": _stop_details(reply),
            "container": None,
        }
        yield {"type": "message_delta", "delta": delta, "usage": _delta_usage(reply.tokens)}
        yield {"type": "message_stop"}


def _message(reply: Reply, asked: Asked) -> Json:
    message: Json = {
        "model": reply.model,
        "id": reply.id("msg"),
        "type": "message",
        "role": "assistant",
        "content": [],
        "container": None,
        "stop_reason": None,
        "stop_sequence": None,
        "stop_details": None,
    }
    dropped = asked.notes.get("input_transformations")
    return message | ({"input_transformations": dropped} if dropped is not None else {})


def _thinking(reply: Reply, asked: Asked) -> str:
    return reply.reasoning if asked.shows_reasoning else ""


def _blocks(reply: Reply, asked: Asked) -> Iterator[Json]:
    if reply.reasoning:
        yield {"type": "thinking", "thinking": _thinking(reply, asked), "signature": reply.sealed}
    if reply.text:
        yield {"type": "text", "text": reply.text}
    for index, call in enumerate(reply.calls):
        caller: Json = {"type": "direct"}
        yield {
            "type": "tool_use",
            "id": reply.call("toolu", index),
            "name": call.name,
            "input": messages_input.parsed_arguments(call.arguments),
            "caller": caller,
        }


def _block_events(block: Json, index: int, reply: Reply) -> Iterator[Json]:
    def start(empty: Json) -> Json:
        return {"type": "content_block_start", "index": index, "content_block": block | empty}

    def delta(value: Json) -> Json:
        return {"type": "content_block_delta", "index": index, "delta": value}

    match block["type"]:
        case "thinking":
            yield start({"thinking": "", "signature": ""})
            for piece in chunks(str(block["thinking"])):
                yield delta({"type": "thinking_delta", "thinking": piece})
            yield delta({"type": "signature_delta", "signature": block["signature"]})
        case "text":
            yield start({"text": ""})
            for piece in chunks(str(block["text"])):
                yield delta({"type": "text_delta", "text": piece})
        case _:
            yield start({"input": {}})
            yield delta({"type": "input_json_delta", "partial_json": ""})
            call = reply.calls[
                [reply.call("toolu", number) for number in range(len(reply.calls))].index(str(block["id"]))
            ]
            for piece in chunks(call.arguments if call.arguments != "{}" else ""):
                yield delta({"type": "input_json_delta", "partial_json": piece})
    yield {"type": "content_block_stop", "index": index}


def _stop_details(reply: Reply) -> JsonValue:
    if reply.stop != "refusal":
        return None
    return {"type": "refusal", "category": None, "explanation": None}


def _usage(tokens: Tokens | None) -> Json:
    if tokens is None:
        return {"input_tokens": 0, "output_tokens": 0}
    return {
        "input_tokens": tokens.fresh,
        "cache_creation_input_tokens": tokens.written,
        "cache_read_input_tokens": tokens.cached,
        "cache_creation": {"ephemeral_5m_input_tokens": tokens.written, "ephemeral_1h_input_tokens": 0},
        "output_tokens": tokens.output,
        "output_tokens_details": {"thinking_tokens": tokens.reasoning},
        "service_tier": "standard",
    }


def _delta_usage(tokens: Tokens | None) -> Json:
    usage = _usage(tokens)
    return {key: value for key, value in usage.items() if key not in {"cache_creation", "service_tier"}}
