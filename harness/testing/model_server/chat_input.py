"""OpenAI Chat Completions: what comes in, checked as strictly as the service does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from harness.testing.model_server.asked import Asked, Prompt, joined
from harness.testing.model_server.images import check_data_url
from harness.testing.model_server.node import Node, OpenAIWording, words
from harness.testing.model_server.openai_tools import check_function
from harness.testing.model_server.refused import Refused
from harness.testing.model_server.seal import Seal, Stamp
from harness.testing.players import Player

_FIELDS = words(
    "messages audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens "
    "metadata modalities model moderation n parallel_tool_calls prediction presence_penalty prompt_cache_key "
    "prompt_cache_options prompt_cache_retention reasoning_effort response_format safety_identifier seed "
    "service_tier stop store stream stream_options temperature tool_choice tools top_logprobs top_p user verbosity "
    "web_search_options"
)
_ROLES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "system": (("role", "content"), ("name",)),
    "developer": (("role", "content"), ("name",)),
    "user": (("role", "content"), ("name",)),
    "assistant": (
        ("role",),
        ("content", "name", "refusal", "audio", "tool_calls", "function_call", "annotations"),
    ),
    "tool": (("role", "content", "tool_call_id"), ()),
}
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


@dataclass(kw_only=True)
class _History:
    player: Player
    seal: Seal
    prompt: Prompt
    instruction: str | None = None
    last_result: str | None = None
    replies: list[Stamp | None] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)


def read(body: Mapping[str, JsonValue], player: Player, seal: Seal) -> Asked:
    """Check a request; raise ``Refused``."""
    top = Node(body, OpenAIWording())
    top.closed(("model", "messages"), _FIELDS | set(player.extra_params))
    _check_settings(top)
    messages = top.children("messages")
    if not messages:
        text = "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array."
        raise Refused(400, text, param="messages", code="empty_array")
    history = _History(player=player, seal=seal, prompt=Prompt())
    history.prompt.add(top.get("tools"))
    for message in messages:
        _take(history, message)
    _all_answered(history)
    return Asked(
        model=top.text("model"),
        stream=top.truth("stream", False),
        instruction=history.instruction or "",
        replies=tuple(history.replies),
        last_result=history.last_result,
        units=history.prompt.units,
        request=top,
        max_output=top.whole_or_none("max_completion_tokens") or top.whole_or_none("max_tokens"),
        hint=top.text_or_none("prompt_cache_key") or top.text_or_none("user") or "",
        reasons=top.get("reasoning_effort") != "none",
        notes={
            "reasoning_field": player.reasoning_field,
            "must_return_reasoning": player.must_return_reasoning,
        },
    )


def _check_settings(top: Node) -> None:
    top.text("model")
    if top.get("max_tokens") is not None and top.get("max_completion_tokens") is not None:
        text = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported."
        raise Refused(400, text, param="max_tokens", code="invalid_parameter_combination")
    if top.get("reasoning_effort") is not None:
        top.choice("reasoning_effort", _EFFORTS)
    if top.get("n") not in {None, 1}:
        raise Refused(400, "Invalid 'n': a scripted player gives one choice.", param="n", code="invalid_value")
    if top.get("stream_options") is not None and not top.truth("stream", False):
        text = "The 'stream_options' parameter is only allowed when 'stream' is enabled."
        raise Refused(400, text, param="stream_options")
    names: set[str] = set()
    for tool in top.children("tools"):
        tool.choice("type", ("function",))
        tool.closed(("type", "function"))
        function = tool.child("function")
        function.closed(("name",), ("description", "parameters", "strict"))
        check_function(function, names)
    if top.get("tools") == []:
        text = "Invalid 'tools': empty array. Expected an array with minimum length 1, but got an empty array."
        raise Refused(400, text, param="tools", code="empty_array")


def _take(history: _History, message: Node) -> None:
    role = message.choice("role", _ROLES)
    required, optional = _ROLES[role]
    own = history.player.reasoning_field
    message.closed(required, (*optional, own) if own and role == "assistant" else optional)
    history.prompt.add(dict(message.value))
    if role == "tool":
        _take_result(history, message)
        return
    _all_answered(history)
    match role:
        case "assistant":
            _take_reply(history, message)
        case "user":
            text = _content(message, ("text", "image_url"))
            history.instruction = text if history.instruction is None else history.instruction
        case _:
            _content(message, ("text",))


def _take_result(history: _History, message: Node) -> None:
    call_id = message.text("tool_call_id")
    if call_id not in history.waiting:
        name = OpenAIWording.name((*message.path[:1], message.path[1], "role"))
        if call_id in history.asked:
            text = f"Duplicate tool message for tool_call_id '{call_id}'."
        elif history.waiting:
            text = (
                f"Invalid parameter: 'tool_call_id' of '{call_id}' not found in 'tool_calls' of previous message."
            )
        else:
            text = (
                "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with "
                f"'tool_calls' (tool_call_id '{call_id}')."
            )
        raise Refused(400, text, param=name)
    history.waiting.remove(call_id)
    history.last_result = _content(message, ("text",))


def _all_answered(history: _History) -> None:
    if history.waiting:
        missing = ", ".join(history.waiting)
        text = (
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {missing}"
        )
        raise Refused(400, text, param="messages")


def _take_reply(history: _History, message: Node) -> None:
    calls = message.children("tool_calls")
    if message.get("tool_calls") == []:
        name = OpenAIWording.name(message.at("tool_calls"))
        text = f"Invalid '{name}': empty array. Expected an array with minimum length 1, but got an empty array."
        raise Refused(400, text, param=name, code="empty_array")
    if message.get("content") is not None:
        _content(message, ("text", "refusal"))
    elif not calls and message.get("refusal") is None:
        raise message.wording.wrong_type(message.at("content"), "string", None)
    stamps = [history.seal.read(_take_call(history, call)) for call in calls]
    history.replies.append(next((stamp for stamp in stamps if stamp), None))
    own = history.player.reasoning_field
    if own and calls and history.player.must_return_reasoning and not isinstance(message.get(own), str):
        text = (
            f"Missing `{own}` field in the assistant message at message index {message.path[1]}. "
            "Messages with tool calls must bring it back, also when it is empty."
        )
        raise Refused(400, text, param=OpenAIWording.name(message.at(own)))


def _take_call(history: _History, call: Node) -> str:
    call.closed(("id", "type", "function"), ("index",))
    call.choice("type", ("function",))
    function = call.child("function")
    function.closed(("name", "arguments"))
    function.text("name")
    function.text("arguments")
    call_id = call.text("id")
    if call_id in history.waiting:
        raise Refused(400, f"Duplicate value for 'tool_call_id' of '{call_id}' in message.", param="messages")
    history.asked.add(call_id)
    history.waiting.append(call_id)
    return call_id


def _content(message: Node, kinds: tuple[str, ...]) -> str:
    value = message.get("content")
    if not isinstance(value, list):
        return message.text("content")
    texts = []
    for part in message.children("content"):
        match part.choice("type", kinds):
            case "text":
                part.closed(("type", "text"), ("prompt_cache_breakpoint",))
                texts.append(part.text("text"))
            case "refusal":
                part.closed(("type", "refusal"))
            case "image_url":
                part.closed(("type", "image_url"))
                picture = part.child("image_url")
                picture.closed(("url",), ("detail",))
                check_data_url(picture.text("url"), OpenAIWording.name(picture.at("url")))
    return joined(texts)
