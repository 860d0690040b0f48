"""Chat streams as different servers cut them, and what is sent back."""

from __future__ import annotations

import pytest
from pydantic import JsonValue

from harness.model.chat import ChatFold, ChatWire
from harness.model.options import ChatOptions
from harness.schema.candidate import ModelSettings
from harness.schema.event import EVENT, ModelReplied
from harness.schema.message import Reply, ReplyItem, StopReason, View


def fold(*deltas: dict[str, JsonValue], finish: str = "stop", usage: dict[str, JsonValue] | None = None) -> Reply:
    folding = ChatFold()
    for delta in deltas:
        folding.add({"id": "c1", "model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    assert not folding.complete
    folding.add({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
    if usage is not None:
        folding.add({"choices": [], "usage": usage})
    assert folding.complete
    return folding.reply()


def call(index: int | None, call_id: str | None, name: str | None, arguments: str, **more: JsonValue) -> JsonValue:
    function: dict[str, JsonValue] = {"arguments": arguments} | ({"name": name} if name is not None else {})
    entry: dict[str, JsonValue] = {"function": function, **more}
    if index is not None:
        entry["index"] = index
    if call_id is not None:
        entry["id"] = call_id
    return entry


def calls(reply: Reply) -> list[tuple[str, str, object]]:
    return [(made.call_id, made.name, made.arguments) for made in reply.calls]


TWO = [("a", "shell", {"x": 1}), ("b", "edit", {"y": 2})]


@pytest.mark.parametrize(
    "parts",
    [
        [call(0, "a", "shell", '{"x"'), call(0, None, None, ": 1}"), call(1, "b", "edit", '{"y": 2}')],
        [call(0, "a", "shell", '{"x"'), call(0, "a", "shell", ": 1}"), call(1, "b", "edit", '{"y": 2}')],
        [call(0, "a", "shell", '{"x": 1}'), call(0, "b", "edit", '{"y": 2}')],
        [call(None, "a", "shell", '{"x"'), call(None, None, None, ": 1}"), call(None, "b", "edit", '{"y": 2}')],
        [
            call(0, "a", "shell", ""),
            call(1, "b", "edit", ""),
            call(0, "", "", '{"x": 1}'),
            call(1, "", "", '{"y": 2}'),
        ],
    ],
    ids=["as openai", "names repeated", "one index for all", "no index", "interleaved"],
)
def test_parallel_calls_are_told_apart_however_they_are_numbered(parts: list[JsonValue]) -> None:
    assert calls(fold(*({"tool_calls": [part]} for part in parts), finish="tool_calls")) == TWO


def test_calls_without_ids_get_different_ones_that_go_back() -> None:
    reply = fold({"tool_calls": [call(0, None, "shell", "{}"), call(1, None, "shell", "{}")]}, finish="tool_calls")
    first, second = reply.calls
    assert first.call_id != second.call_id
    message = reply.native[0]
    assert isinstance(message, dict)
    assert [entry["id"] for entry in message["tool_calls"]] == [first.call_id, second.call_id]  # type: ignore[index, union-attr, call-overload]


def test_unknown_fields_of_message_and_calls_survive() -> None:
    signature: JsonValue = {"google": {"thought_signature": "AbC="}}
    reply = fold(
        {
            "role": "assistant",
            "content": None,
            "reasoning_details": [{"index": 0, "type": "reasoning.text", "text": "a"}],
        },
        {"reasoning_details": [{"index": 0, "type": "reasoning.text", "text": "b", "signature": "s"}]},
        {"reasoning_details": [{"index": 1, "type": "reasoning.encrypted", "data": "xyz", "id": "r1"}]},
        {"tool_calls": [call(0, "a", "shell", "{}", extra_content=signature)]},
        finish="tool_calls",
    )
    assert reply.reasoning == "ab"
    assert reply.native == (
        {
            "role": "assistant",
            "content": None,
            "reasoning_details": [
                {"index": 0, "type": "reasoning.text", "text": "ab", "signature": "s"},
                {"index": 1, "type": "reasoning.encrypted", "data": "xyz", "id": "r1"},
            ],
            "tool_calls": [
                {
                    "id": "a",
                    "type": "function",
                    "function": {"name": "shell", "arguments": "{}"},
                    "extra_content": signature,
                }
            ],
        },
    )


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_survives_also_when_it_is_empty(name: str) -> None:
    empty = fold({"role": "assistant", "content": None, name: ""}, {"content": "Hi"})
    assert empty.native == ({"role": "assistant", "content": "Hi", name: ""},)
    full = fold({name: "Hm"}, {name: ", yes."}, {"content": "Hi"})
    assert full.reasoning == "Hm, yes."
    assert full.native[0] == {"role": "assistant", name: "Hm, yes.", "content": "Hi"}


def test_reasoning_can_be_left_out_of_what_goes_back() -> None:
    reply = fold({"reasoning_content": "Hm"}, {"content": "Hi"})
    view = View(system="", tools=(), items=(ReplyItem(reply=reply),))
    base = {"provider": "p", "name": "m", "api": "openai-chat", "base_url": "http://x", "key_env": None}
    for on, expected in [(True, {"reasoning_content", "role", "content"}), (False, {"role", "content"})]:
        wire = ChatWire(ModelSettings.model_validate(base | {"options": {"replay_reasoning": on}}), "k")
        assert set(wire.body(view)["messages"][0]) == expected  # type: ignore[index, arg-type]


@pytest.mark.parametrize(
    ("finish", "stop"),
    [
        ("stop", "end"),
        ("length", "length"),
        ("content_filter", "refusal"),
        ("model_context_window_exceeded", "context"),
        ("eos", "other"),
        ("tool_calls", "other"),
    ],
)
def test_finish_reasons_are_mapped_and_kept(finish: str, stop: StopReason) -> None:
    reply = fold({"content": "x"}, finish=finish)
    assert (reply.stop, reply.stop_detail) == (stop, finish)


def test_calls_before_a_plain_stop_are_calls() -> None:
    assert fold({"tool_calls": [call(0, "a", "shell", "{}")]}).stop == "tools"


def test_a_refusal_is_a_refusal() -> None:
    reply = fold({"refusal": "I "}, {"refusal": "cannot."})
    assert (reply.stop, reply.text, reply.stop_detail) == ("refusal", "I cannot.", "I cannot.")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a": ', "Expecting value"),
        ('["a"]', "an array"),
        ("null", "null"),
        ('{"a": NaN}', "NaN is not JSON"),
        ('{"a": 1e999}', "1e999 is not JSON"),
        ('{"a": ' + "9" * 5_000 + "}", "integer"),
        ('{"a": ' + "[" * 150 + "]" * 150 + "}", "nested too deeply"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_arguments_that_are_no_json_object_say_why(text: str, problem: str) -> None:
    reply = fold({"tool_calls": [call(0, "a", "shell", text)]}, finish="tool_calls")
    assert reply.calls[0].arguments is None
    assert reply.calls[0].arguments_text == text
    assert problem in (reply.calls[0].problem or "")


def test_arguments_as_deep_as_allowed_can_be_recorded_and_read_again() -> None:
    text = '{"a": ' + "[" * 99 + "]" * 99 + "}"
    reply = fold({"tool_calls": [call(0, "a", "shell", text)]}, finish="tool_calls")
    assert reply.calls[0].arguments is not None
    event = ModelReplied(turn=1, reply=reply)
    assert EVENT.validate_json(event.to_line()) == event


def test_no_arguments_are_an_empty_object() -> None:
    assert fold({"tool_calls": [call(0, "a", "shell", "")]}).calls[0].arguments == {}


def test_usage_is_read_from_either_place() -> None:
    plain = fold(
        {"content": "x"},
        usage={
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "prompt_tokens_details": {"cached_tokens": 60},
            "completion_tokens_details": {"reasoning_tokens": 5},
        },
    ).usage
    assert (plain.input_tokens, plain.cached_tokens, plain.output_tokens, plain.reasoning_tokens) == (
        100,
        60,
        20,
        5,
    )
    deepseek = fold(
        {"content": "x"},
        usage={
            "prompt_tokens": 100,
            "completion_tokens": 20,
            "prompt_cache_hit_tokens": 64,
            "prompt_cache_miss_tokens": 36,
        },
    ).usage
    assert (deepseek.input_tokens, deepseek.cached_tokens, deepseek.cache_write_tokens) == (100, 64, None)


def test_content_in_typed_parts_is_text() -> None:
    reply = fold(
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}]}, {"content": "Hi"}
    )
    assert reply.text == "Hi"


def test_options_have_defaults_that_every_server_takes() -> None:
    assert ChatOptions().max_tokens_field == "max_tokens"
