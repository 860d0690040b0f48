"""Anthropic Messages: what comes in, checked as strictly as the service does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from pydantic import JsonValue

from harness.testing.model_server.asked import Asked, Prompt, joined, text_digest
from harness.testing.model_server.images import MEDIA_TYPES, picture_problem
from harness.testing.model_server.node import AnthropicWording, Node, words
from harness.testing.model_server.refused import Refused
from harness.testing.model_server.seal import Seal, Stamp
from harness.testing.model_server.tool_schema import name_is_fine, schema_problem
from harness.testing.players import Player

_FIELDS = words(
    "cache_control container diagnostics inference_geo metadata output_config service_tier speed stop_sequences "
    "stream system thinking tool_choice tools user_profile_id"
)
_SAMPLING = frozenset({"temperature", "top_p", "top_k"})
_BETA_FIELDS = words(
    "billing_policy compaction context_management fallback_credit_token fallbacks mcp_servers thread"
)
_VERSIONS = ("2023-01-01", "2023-06-01", "2026-10-21")
_BINDING_BETA = "thinking-binding-controls-2026-08-01"
_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_CACHE = ("cache_control",)
_MAX_MARKS = 4
_MAX_IMAGE_B64 = 5 * 1024 * 1024
_CLIENT_TOOLS = ("bash_20250124", "text_editor_20250124", "text_editor_20250429", "text_editor_20250728")


@dataclass(kw_only=True)
class _History:
    seal: Seal
    prompt: Prompt
    drops: bool
    thinks_manually: bool
    instruction: str | None = None
    last_result: str | None = None
    replies: list[Stamp | None] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    calls: set[str] = field(default_factory=set)
    role: str = ""
    marks: int = 0
    without_thinking: str = ""
    transformed: list[JsonValue] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def parsed_arguments(text: str) -> JsonValue:
    """Return a call's arguments as an object; what is none becomes an empty one, as ``input`` must be."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def read(body: Mapping[str, JsonValue], headers: Mapping[str, str], player: Player, seal: Seal) -> Asked:
    """Check a request; raise ``Refused``."""
    version = headers.get("anthropic-version", "")
    betas = {name.strip() for name in headers.get("anthropic-beta", "").split(",")}
    if not version:
        raise Refused(400, "anthropic-version: header is required")
    if version not in _VERSIONS:
        raise Refused(400, f'anthropic-version: "{version}" is not a valid version')
    top = Node(body, AnthropicWording())
    top.closed(("model", "max_tokens", "messages"), _known_fields(player, version, betas))
    _check_settings(top)
    thinking = top.child_or_none("thinking")
    history = _History(
        seal=seal,
        prompt=Prompt(),
        drops=_drops_blocks(thinking, betas),
        thinks_manually=thinking is not None and thinking.get("type") == "enabled",
    )
    _take_tools(history, top)
    _take_system(history, top)
    _take_messages(history, top)
    automatic = top.get("cache_control") is not None
    if history.marks + automatic > _MAX_MARKS:
        found = history.marks + automatic
        text = f"A maximum of {_MAX_MARKS} blocks with cache_control may be provided. Found {found}."
        raise Refused(400, text)
    return _asked(top, history, thinking, automatic)


def _asked(top: Node, history: _History, thinking: Node | None, automatic: bool) -> Asked:
    units = history.prompt.units
    if automatic:
        units = (*units[:-1], replace(units[-1], marked=True))
    metadata = top.child_or_none("metadata")
    return Asked(
        model=top.text("model"),
        stream=top.truth("stream", False),
        instruction=history.instruction or "",
        replies=tuple(history.replies),
        last_result=history.last_result,
        units=units,
        request=top,
        max_output=top.whole_or_none("max_tokens"),
        hint=(metadata.text_or_none("user_id") if metadata else None) or "",
        reasons=thinking is None or thinking.get("type") != "disabled",
        shows_reasoning=thinking is None or thinking.get("display") != "omitted",
        marks_caches=True,
        remarks=tuple(history.remarks),
        notes={"input_transformations": history.transformed} if history.drops else {},
    )


def _known_fields(player: Player, version: str, betas: set[str]) -> frozenset[str]:
    known = _FIELDS | frozenset(player.extra_params)
    if version < "2026-10-21":
        known |= _SAMPLING
    return known | _BETA_FIELDS if betas - {""} else known


def _check_settings(top: Node) -> None:
    top.text("model")
    limit = top.whole_or_none("max_tokens")
    if limit is None:
        raise top.wording.wrong_type(("max_tokens",), "integer", None)
    if limit < 1:
        raise Refused(400, "max_tokens: must be greater than or equal to 1")
    if config := top.child_or_none("output_config"):
        config.closed((), ("effort", "format", "task_budget"))
        if config.get("effort") is not None:
            config.choice("effort", _EFFORTS)
    thinking = top.child_or_none("thinking")
    if thinking is None:
        return
    kind = thinking.choice("type", ("adaptive", "enabled", "disabled", "between_tools"))
    if kind == "enabled":
        thinking.closed(("type", "budget_tokens"), ("display", "block_binding"))
        budget = thinking.whole_or_none("budget_tokens") or 0
        if budget < 1024:
            raise Refused(400, "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if budget >= limit:
            raise Refused(400, "`max_tokens` must be greater than `thinking.budget_tokens`.")
    else:
        thinking.closed(("type",), ("display", "block_binding"))


def _drops_blocks(thinking: Node | None, betas: set[str]) -> bool:
    binding = thinking.child_or_none("block_binding") if thinking else None
    if binding is None:
        return False
    if _BINDING_BETA not in betas:
        raise binding.wording.unknown(binding.path)
    binding.closed((), ("prefix_mismatch_behavior",))
    if binding.get("prefix_mismatch_behavior") is None:
        return False
    return binding.choice("prefix_mismatch_behavior", ("error", "drop_block")) == "drop_block"


def _take_tools(history: _History, top: Node) -> None:
    names: set[str] = set()
    for tool in top.children("tools"):
        kind = tool.text_or_none("type") or "custom"
        name = tool.text("name")
        if name in names:
            raise Refused(400, "tools: Tool names must be unique.")
        names.add(name)
        if kind == "custom":
            _check_tool(tool, name)
        elif kind not in _CLIENT_TOOLS:
            raise tool.wording.wrong_value(tool.at("type"), kind, ("custom", *_CLIENT_TOOLS))
        marked = _mark(history, tool)
        history.prompt.add(dict(tool.value), without=_CACHE, marked=marked)


def _check_tool(tool: Node, name: str) -> None:
    place = AnthropicWording.name((*tool.path, "custom"))
    tool.closed(
        ("name", "input_schema"),
        (
            "type",
            "description",
            "cache_control",
            "strict",
            "eager_input_streaming",
            "defer_loading",
            "input_examples",
            "allowed_callers",
        ),
    )
    if not name_is_fine(name):
        raise Refused(400, f"{place}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
    if problem := schema_problem(tool.get("input_schema")):
        raise Refused(400, f"{place}.input_schema: JSON schema is invalid: {problem}")


def _take_system(history: _History, top: Node) -> None:
    value = top.get("system")
    if isinstance(value, str):
        history.prompt.add([{"type": "text", "text": value}])
        return
    for block in top.children("system"):
        block.choice("type", ("text",))
        _check_text(block)
        marked = _mark(history, block)
        history.prompt.add([dict(block.value)], without=_CACHE, marked=marked)


def _mark(history: _History, block: Node) -> bool:
    control = block.child_or_none("cache_control")
    if control is None:
        return False
    control.closed(("type",), ("ttl",))
    control.choice("type", ("ephemeral",))
    if control.get("ttl") is not None:
        control.choice("ttl", ("5m", "1h"))
    history.marks += 1
    return True


def _check_text(block: Node) -> None:
    block.closed(("type", "text"), ("cache_control", "citations"))
    if not block.text("text"):
        raise Refused(400, f"{AnthropicWording.name(block.path)}: text content blocks must be non-empty")
    if not block.text("text").strip():
        raise Refused(
            400, f"{AnthropicWording.name(block.path)}: text content blocks must contain non-whitespace text"
        )


def _take_messages(history: _History, top: Node) -> None:
    messages = top.children("messages")
    if not messages:
        raise Refused(400, "messages: at least one message is required")
    for number, message in enumerate(messages):
        message.closed(("role", "content"))
        role = message.choice("role", ("user", "assistant", "system"))
        if number == 0 and role != "user":
            raise Refused(400, 'messages: first message must use the "user" role')
        _check_waiting(history, message, role, number)
        blocks = _blocks(message)
        if not blocks:
            raise Refused(400, f"messages.{number}: all messages must have non-empty content")
        match role:
            case "user":
                _take_user(history, message, blocks)
            case "assistant":
                _take_assistant(history, message, blocks)
            case _:
                _take_notice(history, blocks)
    _check_waiting(history, None, "", len(messages))
    if history.role == "assistant":
        text = (
            "This model does not support assistant message prefill. The conversation must end with a user message."
        )
        raise Refused(400, text)
    if history.without_thinking and history.thinks_manually:
        raise Refused(400, history.without_thinking)
    if history.without_thinking:
        history.remarks.append(history.without_thinking)


def _blocks(message: Node) -> list[Node]:
    value = message.get("content")
    if isinstance(value, str):
        if not value:
            raise Refused(400, f"{AnthropicWording.name(message.path)}: all messages must have non-empty content")
        block: Mapping[str, JsonValue] = {"type": "text", "text": value}
        return [Node(block, message.wording, (*message.at("content"), 0))]
    return message.children("content")


def _check_waiting(history: _History, message: Node | None, role: str, number: int) -> None:
    """Every ``tool_use`` is answered in the very next message, which is the user's."""
    if not history.waiting:
        return
    given: set[JsonValue] = set()
    if message is not None and role == "user" and isinstance(message.get("content"), list):
        results = [block for block in message.children("content") if block.get("type") == "tool_result"]
        given = {block.text("tool_use_id") for block in results}
    missing = [call for call in history.waiting if call not in given]
    if missing:
        text = (
            f"messages.{number - 1}: `tool_use` ids were found without `tool_result` blocks immediately after: "
            f"{', '.join(missing)}. Each `tool_use` block must have a corresponding `tool_result` block in the "
            "next message."
        )
        raise Refused(400, text)


def _take_user(history: _History, message: Node, blocks: list[Node]) -> None:
    texts: list[str] = []
    others = False
    answered: set[str] = set()
    for block in blocks:
        kind = block.choice("type", ("text", "image", "document", "tool_result"))
        if kind == "tool_result":
            if others:
                text = "`tool_result` blocks must come first in the message, before any other content."
                raise Refused(400, f"{AnthropicWording.name(block.path)}: {text}")
            _take_result(history, block, answered)
        else:
            others = True
            texts.append(_piece(block, kind))
        _add(history, "user", block)
    history.waiting = []
    if history.instruction is None:
        history.instruction = joined(texts)


def _take_notice(history: _History, blocks: list[Node]) -> None:
    """Take a system message in the middle of a conversation."""
    for block in blocks:
        block.choice("type", ("text",))
        _check_text(block)
        _add(history, "system", block)


def _take_result(history: _History, block: Node, answered: set[str]) -> None:
    block.closed(("type", "tool_use_id"), ("content", "is_error", "cache_control", "toolset_name"))
    block.truth("is_error", False)
    call_id = block.text("tool_use_id")
    place = AnthropicWording.name(block.path)
    if call_id in answered:
        text = f"each tool_use must have a single result. Found multiple `tool_result` blocks with id: {call_id}"
        raise Refused(400, f"{place}: {text}")
    if call_id not in history.waiting:
        text = (
            f"{place}: unexpected `tool_use_id` found in `tool_result` blocks: {call_id}. "
            "Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
        )
        raise Refused(400, text)
    answered.add(call_id)
    content = block.get("content")
    if content is None or isinstance(content, str):
        history.last_result = content or ""
        return
    parts = block.children("content")
    texts = [_piece(part, part.choice("type", ("text", "image", "document"))) for part in parts]
    history.last_result = joined(texts)
    for part in parts:
        _mark(history, part)


def _piece(block: Node, kind: str) -> str:
    if kind == "text":
        _check_text(block)
        return block.text("text")
    if kind == "image":
        block.closed(("type", "source"), ("cache_control", "transformations"))
        _check_image(block.child("source"))
    return ""


def _check_image(source: Node) -> None:
    place = AnthropicWording.name((*source.path, "base64"))
    if source.choice("type", ("base64", "url", "file")) != "base64":
        raise Refused(400, f"{AnthropicWording.name(source.path)}: unable to download the file")
    source.closed(("type", "media_type", "data"))
    media_type = source.choice("media_type", MEDIA_TYPES)
    data = source.text("data")
    if len(data) > _MAX_IMAGE_B64:
        text = f"image exceeds 5 MB maximum: {len(data)} bytes > {_MAX_IMAGE_B64} bytes"
        raise Refused(400, f"{place}.data: {text}")
    if problem := picture_problem(data, media_type):
        raise Refused(400, f"{place}: {problem}")


def _take_assistant(history: _History, message: Node, blocks: list[Node]) -> None:
    stamps: list[Stamp | None] = []
    has_thinking = False
    for block in blocks:
        match block.choice("type", ("text", "tool_use", "thinking", "redacted_thinking")):
            case "text":
                _check_text(block)
            case "tool_use":
                stamps.append(_take_call(history, block))
            case "thinking":
                has_thinking = _check_thinking(history, block) or has_thinking
            case _:
                text = f"{AnthropicWording.name(block.path)}: Invalid `data` in `redacted_thinking` block"
                raise Refused(400, text)
        _add(history, "assistant", block)
    history.replies.append(next((stamp for stamp in stamps if stamp), None))
    reasoned = any(stamp and stamp.reasoned for stamp in stamps)
    history.without_thinking = ""
    if (reasoned or history.thinks_manually) and stamps and not has_thinking:
        history.without_thinking = (
            f"{AnthropicWording.name(blocks[0].path)}.type: Expected `thinking` or `redacted_thinking`, but found "
            f"`{blocks[0].text('type')}`. When `thinking` is enabled, a final `assistant` message must start with "
            "a thinking block (preceeding the lastmost set of `tool_use` and `tool_result` blocks)."
        )


def _take_call(history: _History, block: Node) -> Stamp | None:
    block.closed(("type", "id", "name", "input"), ("cache_control", "caller", "toolset_name"))
    call_id = block.text("id")
    block.text("name")
    block.child("input")
    if call_id in history.calls:
        raise Refused(400, f"{AnthropicWording.name(block.path)}: `tool_use` ids must be unique")
    history.calls.add(call_id)
    history.waiting.append(call_id)
    return history.seal.read(call_id)


def _check_thinking(history: _History, block: Node) -> bool:
    """Verify a thinking block; return whether the model sees it."""
    block.closed(("type", "thinking", "signature"))
    fields = history.seal.open(block.text("signature"))
    place = AnthropicWording.name(block.path)
    if fields is None or fields[0] != "thinking":
        raise Refused(400, f"{place}: Invalid `signature` in `thinking` block")
    if fields[1] != text_digest(block.text("thinking")):
        text = (
            f"{place}: `thinking` or `redacted_thinking` blocks in an assistant message cannot be modified. "
            "These blocks must remain as they were in the original response."
        )
        raise Refused(400, text)
    if fields[2] == history.prompt.digest:
        return True
    if not history.drops:
        text = (
            f"{place}: this `thinking` block is bound to a different conversation: the system prompt, the tools or "
            "an earlier message changed after it was created."
        )
        raise Refused(400, text)
    dropped: dict[str, JsonValue] = {"type": "thinking_dropped", "path": place, "reason": "prefix_binding_mismatch"}
    history.transformed.append(dropped)
    return False


def _add(history: _History, role: str, block: Node) -> None:
    """Add a block to the prompt; consecutive messages of one role count as one, as the service has it."""
    marked = _mark(history, block)
    changed = role if role != history.role else ""
    history.role = role
    history.prompt.add([changed, dict(block.value)], without=_CACHE, marked=marked)
