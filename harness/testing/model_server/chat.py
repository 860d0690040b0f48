"""OpenAI Chat Completions, as OpenAI and the compatible servers speak it: what goes out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import JsonValue

from harness.schema.candidate import Api
from harness.testing.model_server import chat_input
from harness.testing.model_server.asked import Asked, Frame, Reply, Tokens, chunks, compact
from harness.testing.model_server.refused import Refused
from harness.testing.model_server.seal import Seal
from harness.testing.players import Player

Json = dict[str, JsonValue]

_FINISH = {"end": "stop", "tools": "tool_calls", "length": "length", "refusal": "content_filter"}
_FINGERPRINT = "fp_scripted"


class ChatDialect:
    """``POST /v1/chat/completions``."""

    api: Api = "openai-chat"

    def read(self, body: Mapping[str, JsonValue], headers: Mapping[str, str], player: Player, seal: Seal) -> Asked:
        """Check a request."""
        return chat_input.read(body, player, seal)

    def overflow(self, asked: Asked, window: int) -> Refused:
        """Refuse a prompt that is too long."""
        text = (
            f"This model's maximum context length is {window} tokens. However, your messages resulted in "
            f"{asked.input_tokens} tokens. Please reduce the length of the messages."
        )
        return Refused(400, text, param="messages", code="context_length_exceeded")

    def seal_reasoning(self, asked: Asked, reply: Reply, seal: Seal) -> str:
        """Nothing is sealed over Chat."""
        return ""

    def frames(self, reply: Reply, asked: Asked) -> list[Frame]:
        """Return the chunks of a streamed reply and ``[DONE]``."""
        frames = [Frame(data=compact(chunk)) for chunk in self._chunks(reply, asked)]
        return [*frames, Frame(data="[DONE]")]

    def terminal_frames(self, reply: Reply, asked: Asked) -> int:
        """Count the chunk with the finish reason, the usage chunk if it was asked for, and ``[DONE]``."""
        return 3 if _wants_usage(asked) and reply.tokens else 2

    def error_frames(self, reply: Reply, asked: Asked, *, bare: bool) -> list[Frame]:
        """Return a stream that fails after it began."""
        text = "The server had an error while processing your request. Sorry about that!"
        error: Json = {"message": text, "type": "server_error", "param": None, "code": None}
        return [*self.frames(reply, asked)[:2], Frame(data=compact({"error": error}))]

    def body(self, reply: Reply, asked: Asked) -> Json:
        """Return a reply that is not streamed."""
        calls: list[JsonValue] = [_call(reply, index) for index in range(len(reply.calls))]
        refused = reply.stop == "refusal"
        message: Json = {
            "role": "assistant",
            "content": None if refused else reply.text or (None if calls else ""),
            "refusal": reply.text if refused else None,
        }
        message |= _reasoning(reply, asked, reply.reasoning)
        message |= {"tool_calls": calls} if calls else {}
        choice: Json = {"index": 0, "message": message, "logprobs": None, "finish_reason": _FINISH[reply.stop]}
        usage = _usage(reply.tokens)
        return (
            _head(reply, "chat.completion")
            | {"choices": [choice], "service_tier": "default"}
            | ({"usage": usage} if usage else {})
        )

    def _chunks(self, reply: Reply, asked: Asked) -> Iterator[Json]:
        more: Json = {"usage": None} if _wants_usage(asked) else {}
        head = _head(reply, "chat.completion.chunk") | {"service_tier": "default"}
        for delta in _deltas(reply, asked):
            choice: Json = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
            yield head | {"choices": [choice]} | more
        last: Json = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": _FINISH[reply.stop]}
        yield head | {"choices": [last]} | more
        if _wants_usage(asked) and reply.tokens:
            yield head | {"choices": [], "usage": _usage(reply.tokens)}


def _wants_usage(asked: Asked) -> bool:
    options = asked.request.child_or_none("stream_options")
    return options is not None and options.truth("include_usage", False)


def _head(reply: Reply, kind: str) -> Json:
    return {
        "id": reply.id("chatcmpl").replace("_", "-"),
        "object": kind,
        "created": reply.created,
        "model": reply.model,
        "system_fingerprint": _FINGERPRINT,
    }


def _reasoning(reply: Reply, asked: Asked, text: str) -> Json:
    field = asked.notes.get("reasoning_field")
    wanted = reply.reasoning or (asked.notes.get("must_return_reasoning") and reply.calls)
    return {str(field): text} if field and wanted else {}


def _deltas(reply: Reply, asked: Asked) -> Iterator[Json]:
    refused = reply.stop == "refusal"
    plain = reply.text and not refused
    first: Json = {"role": "assistant", "content": "" if plain or not reply.calls else None, "refusal": None}
    yield first | _reasoning(reply, asked, "")
    for piece in chunks(reply.reasoning):
        if delta := _reasoning(reply, asked, piece):
            yield delta
    for piece in chunks(reply.text):
        yield {"refusal" if refused else "content": piece}
    for index, call in enumerate(reply.calls):
        function: Json = {"name": call.name, "arguments": ""}
        begun: Json = {"index": index, "id": reply.call("call", index), "type": "function", "function": function}
        yield {"tool_calls": [begun]}
        for piece in chunks(call.arguments):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _call(reply: Reply, index: int) -> Json:
    call = reply.calls[index]
    return {
        "id": reply.call("call", index),
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }


def _usage(tokens: Tokens | None) -> Json | None:
    if tokens is None:
        return None
    return {
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input + tokens.output,
        "prompt_tokens_details": {"cached_tokens": tokens.cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": tokens.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
