"""OpenAI Responses: what comes in, checked as strictly as the service does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from harness.testing.model_server.asked import Asked, Prompt, joined, text_digest
from harness.testing.model_server.images import check_data_url
from harness.testing.model_server.node import Node, OpenAIWording, words
from harness.testing.model_server.openai_tools import check_function
from harness.testing.model_server.refused import Refused
from harness.testing.model_server.seal import Seal, Stamp, item_id
from harness.testing.players import Player

_FIELDS = words(
    "access_programs background context_management conversation image include input instructions "
    "max_output_tokens max_tool_calls metadata model moderation parallel_tool_calls previous_response_id prompt "
    "prompt_cache_key prompt_cache_options prompt_cache_retention reasoning safety_identifier service_tier store "
    "stream stream_options temperature text tool_choice tools top_logprobs top_p truncation user"
)
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_OTHER_TOOLS = ("custom", "shell", "apply_patch", "local_shell")
_ITEMS = {
    "message": (("role", "content"), ("type", "id", "status", "phase")),
    "reasoning": (("id", "summary"), ("type", "content", "encrypted_content", "status")),
    "function_call": (
        ("call_id", "name", "arguments"),
        ("type", "id", "status", "namespace", "caller", "async"),
    ),
    "function_call_output": (
        ("call_id", "output"),
        ("type", "id", "status", "name", "namespace", "caller"),
    ),
    "custom_tool_call": (
        ("call_id", "name", "input"),
        ("type", "id", "status", "namespace", "caller", "async"),
    ),
    "custom_tool_call_output": (("call_id", "output"), ("type", "id", "status", "name", "caller")),
    "shell_call": (("call_id", "action"), ("type", "id", "status", "environment", "caller")),
    "shell_call_output": (("call_id", "output"), ("type", "id", "status", "max_output_length", "caller")),
    "apply_patch_call": (("call_id", "operation", "status"), ("type", "id", "caller")),
    "apply_patch_call_output": (("call_id", "status"), ("type", "id", "output", "caller")),
    "compaction": (("encrypted_content",), ("type", "id")),
}
_KINDS_OF_ID = {"message": "msg", "reasoning": "rs", "function_call": "fc", "custom_tool_call": "ctc"}
_OF_REPLY = ("reasoning", "function_call", "custom_tool_call", "shell_call", "apply_patch_call")


@dataclass(kw_only=True)
class _History:
    """What has been seen of the input list so far."""

    seal: Seal
    prompt: Prompt
    instruction: str = ""
    last_result: str | None = None
    replies: list[Stamp | None] = field(default_factory=list)
    in_reply: bool = False
    calls: dict[str, str] = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)
    ids: set[str] = field(default_factory=set)
    reasoning: Node | None = None
    given_reasoning: set[str] = field(default_factory=set)


def read(body: Mapping[str, JsonValue], player: Player, seal: Seal) -> Asked:
    """Check a request; raise ``Refused``."""
    top = Node(body, OpenAIWording())
    top.closed(("model",), _FIELDS | set(player.extra_params))
    if top.get("input") is None:
        raise top.wording.missing(("input",))
    _check_settings(top, player)
    history = _History(seal=seal, prompt=Prompt())
    history.prompt.add([top.get("instructions"), top.get("tools")])
    if isinstance(top.get("input"), str):
        history.instruction = top.text("input")
        history.prompt.add(top.text("input"))
    else:
        for item in top.children("input"):
            _take(history, item)
        _finish(history)
    reasoning = top.child_or_none("reasoning")
    effort = reasoning.text_or_none("effort") if reasoning else None
    summary = (reasoning.get("summary") or reasoning.get("generate_summary")) if reasoning else None
    return Asked(
        model=top.text("model"),
        stream=top.truth("stream", False),
        instruction=history.instruction,
        replies=tuple(history.replies),
        last_result=history.last_result,
        units=history.prompt.units,
        request=top,
        max_output=top.whole_or_none("max_output_tokens"),
        hint=top.text_or_none("prompt_cache_key") or "",
        reasons=effort != "none",
        shows_reasoning=summary is not None,
    )


def _check_settings(top: Node, player: Player) -> None:
    top.text("model")
    if (previous := top.text_or_none("previous_response_id")) is not None:
        text = f"Previous response with id '{previous}' not found."
        raise Refused(400, text, param="previous_response_id", code="previous_response_not_found")
    if reasoning := top.child_or_none("reasoning"):
        reasoning.closed((), ("effort", "summary", "generate_summary", "context", "mode"))
        if reasoning.get("effort") is not None:
            reasoning.choice("effort", _EFFORTS)
        if reasoning.get("summary") is not None:
            reasoning.choice("summary", ("auto", "concise", "detailed"))
    limit = top.whole_or_none("max_output_tokens")
    if limit is not None and limit < 16:
        text = f"Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got {limit}."
        raise Refused(400, text, param="max_output_tokens", code="integer_below_min_value")
    for name in ("temperature", "top_p"):
        if top.get(name) is not None and name not in player.extra_params:
            text = f"Unsupported parameter: '{name}' is not supported with this model."
            raise Refused(400, text, param=name, code="unsupported_parameter")
    names: set[str] = set()
    for tool in top.children("tools"):
        if tool.choice("type", ("function", *_OTHER_TOOLS)) == "function":
            tool.closed(
                ("type", "name"),
                (
                    "description",
                    "parameters",
                    "strict",
                    "async",
                    "defer_loading",
                    "allowed_callers",
                    "output_schema",
                ),
            )
            check_function(tool, names)


def _take(history: _History, item: Node) -> None:
    kind = item.text_or_none("type") or ("message" if "role" in item.value else "")
    if not kind:
        raise item.wording.missing(item.at("type"))
    if kind == "item_reference":
        raise _not_stored(item.text("id"))
    if kind not in _ITEMS:
        raise item.wording.wrong_value(item.at("type"), kind, _ITEMS)
    item.closed(*_ITEMS[kind])
    _check_id(history, item, kind)
    history.prompt.add(dict(item.value))
    assistant = kind in _OF_REPLY or (kind == "message" and item.get("role") == "assistant")
    if assistant:
        _take_reply_item(history, item, kind)
        return
    _reasoning_is_followed(history, None)
    history.in_reply = False
    if kind == "message":
        _take_message(history, item)
    elif kind.endswith("_output"):
        _take_output(history, item, kind.removesuffix("_output"))


def _check_id(history: _History, item: Node, kind: str) -> None:
    own = item.text_or_none("id")
    if own is None:
        return
    prefix = _KINDS_OF_ID.get(kind)
    if prefix and not own.startswith(f"{prefix}_") and not (kind == "message" and item.get("role") != "assistant"):
        name = OpenAIWording.name(item.at("id"))
        text = f"Invalid '{name}': '{own}'. Expected an ID that begins with '{prefix}'."
        raise Refused(400, text, param=name, code="invalid_value")
    if own in history.ids:
        text = f"Duplicate item found with id {own}. Remove duplicate items from your input and try again."
        raise Refused(400, text, param="input")
    history.ids.add(own)


def _take_reply_item(history: _History, item: Node, kind: str) -> None:
    own = item.text_or_none("id") or ""
    known = item.text("call_id") if kind not in {"reasoning", "message"} else own
    stamp = history.seal.read(own) or history.seal.read(known)
    if not history.in_reply or (stamp and history.replies[-1] and stamp != history.replies[-1]):
        history.replies.append(stamp)
    elif stamp and history.replies[-1] is None:
        history.replies[-1] = stamp
    history.in_reply = True
    if kind == "reasoning":
        _reasoning_is_followed(history, None)
        _check_reasoning(history, item)
        return
    _reasoning_is_followed(history, stamp)
    if stamp and stamp.reasoned:
        needed = item_id("rs", history.seal.token(stamp), 0)
        if needed not in history.given_reasoning:
            name = own or known
            text = f"Item '{name}' of type '{kind}' was provided without its required 'reasoning' item: '{needed}'."
            raise Refused(400, text, param="input")
    if kind == "message":
        _check_answer(item)
    else:
        _take_call(history, item, kind)


def _check_reasoning(history: _History, item: Node) -> None:
    own = item.text("id")
    sealed = item.text_or_none("encrypted_content")
    if not sealed:
        raise _not_stored(own)
    fields = history.seal.open(sealed)
    summary = "".join(part.text("text") for part in item.children("summary"))
    if fields is None or fields[:2] != ["reasoning", own] or fields[2] != text_digest(summary):
        text = (
            f"The encrypted content for item {own} could not be verified. "
            "Reason: Encrypted content could not be decrypted or parsed."
        )
        raise Refused(400, text, code="invalid_encrypted_content")
    history.reasoning = item
    history.given_reasoning.add(own)


def _reasoning_is_followed(history: _History, stamp: Stamp | None) -> None:
    waiting = history.reasoning
    history.reasoning = None
    if waiting is None:
        return
    own = waiting.text("id")
    if stamp is None or history.seal.read(own) != stamp:
        text = f"Item '{own}' of type 'reasoning' was provided without its required following item."
        raise Refused(400, text, param="input")


def _not_stored(own: str) -> Refused:
    text = (
        f"Item with id '{own}' not found. Items are not persisted when `store` is set to false. "
        "Try again with `store` set to true, or remove this item from your input."
    )
    return Refused(404, text, param="input")


def _check_answer(item: Node) -> None:
    if isinstance(item.get("content"), str):
        return
    for part in item.children("content"):
        if part.choice("type", ("output_text", "refusal")) == "refusal":
            part.closed(("type", "refusal"))
        else:
            part.closed(("type", "text"), ("annotations", "logprobs"))
            part.text("text")


def _take_call(history: _History, item: Node, kind: str) -> None:
    call_id = item.text("call_id")
    if not call_id:
        raise Refused(
            400, f"Invalid '{OpenAIWording.name(item.at('call_id'))}': empty string.", code="empty_string"
        )
    if call_id in history.calls:
        raise Refused(400, f"Duplicate function call with call_id {call_id}.", param="input")
    if kind == "function_call":
        item.text("name")
        item.text("arguments")
    history.calls[call_id] = kind


def _take_output(history: _History, item: Node, kind: str) -> None:
    call_id = item.text("call_id")
    words = kind.replace("_", " ")
    if history.calls.get(call_id) != kind:
        raise Refused(400, f"No tool call found for {words} output with call_id {call_id}.", param="input")
    if call_id in history.answered:
        raise Refused(400, f"Duplicate {words} output for call_id {call_id}.", param="input")
    history.answered.add(call_id)
    if kind == "function_call":
        history.last_result = _content(item, "output", ("input_text", "input_image", "input_file"))


def _take_message(history: _History, item: Node) -> None:
    role = item.choice("role", ("user", "assistant", "system", "developer"))
    text = _content(item, "content", ("input_text", "input_image", "input_file"))
    if role == "user" and not history.instruction:
        history.instruction = text


def _content(item: Node, key: str, kinds: tuple[str, ...]) -> str:
    if isinstance(item.get(key), str):
        return item.text(key)
    if not isinstance(item.get(key), list):
        raise item.wording.wrong_type(item.at(key), "string", item.get(key))
    texts = []
    for part in item.children(key):
        match part.choice("type", kinds):
            case "input_text":
                part.closed(("type", "text"), ("prompt_cache_breakpoint",))
                texts.append(part.text("text"))
            case "input_image":
                part.closed(("type",), ("image_url", "detail", "file_id", "prompt_cache_breakpoint"))
                if part.get("detail") is not None:
                    part.choice("detail", ("low", "high", "auto", "original"))
                check_data_url(part.text("image_url"), OpenAIWording.name(part.at("image_url")))
    return joined(texts)


def _finish(history: _History) -> None:
    _reasoning_is_followed(history, None)
    open_calls = [call_id for call_id in history.calls if call_id not in history.answered]
    if open_calls:
        words = history.calls[open_calls[0]].replace("_", " ")
        raise Refused(400, f"No tool output found for {words} {open_calls[0]}.", param="input")
