"""What each protocol sends for the same view, and what it makes of streams that only it knows."""

from __future__ import annotations

import pytest
from pydantic import JsonValue

from harness.model.build import build_wire
from harness.model.messages import MessagesFold
from harness.model.responses import ResponsesFold
from harness.schema.candidate import Api, ModelSettings
from harness.schema.message import (
    ImagePart,
    Reply,
    ReplyItem,
    ResultsItem,
    TextPart,
    ToolResult,
    ToolSpec,
    UserItem,
    View,
)

IMAGE = ImagePart(media_type="image/png", data_b64="AAAA")
SPEC = ToolSpec(name="shell", description="Run.", parameters={"type": "object", "properties": {}})
RESULTS = ResultsItem(
    results=(
        ToolResult(call_id="a", name="look", parts=(TextPart(text="Seen."), IMAGE)),
        ToolResult(call_id="b", name="shell", parts=(TextPart(text="one"), TextPart(text="two")), is_error=True),
        ToolResult(call_id="c", name="look", parts=(IMAGE,)),
    )
)


def request(api: Api, *items: UserItem | ReplyItem | ResultsItem, **fields: object) -> dict[str, JsonValue]:
    base = {"provider": "p", "name": "m", "api": api, "base_url": "http://x", "key_env": None}
    wire = build_wire(ModelSettings.model_validate(base | fields), cache_key="trial-1")
    return wire.body(View(system="Be brief.", tools=(SPEC,), items=items))


def said(*parts: TextPart | ImagePart) -> UserItem:
    return UserItem(parts=parts)


def test_responses_sends_everything_statelessly_and_explicitly() -> None:
    body = request("openai-responses", said(TextPart(text="Go."), IMAGE), effort="low", temperature=0.5)
    content = [
        {"type": "input_text", "text": "Go."},
        {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"},
    ]
    assert body == {
        "model": "m",
        "instructions": "Be brief.",
        "input": [{"type": "message", "role": "user", "content": content}],
        "tools": [
            {
                "type": "function",
                "name": "shell",
                "description": "Run.",
                "parameters": {"type": "object", "properties": {}},
                "strict": False,
            }
        ],
        "parallel_tool_calls": True,
        "stream": True,
        "store": False,
        "truncation": "disabled",
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "trial-1",
        "reasoning": {"effort": "low"},
        "temperature": 0.5,
    }


def test_responses_takes_images_in_results() -> None:
    sent = request("openai-responses", RESULTS)["input"]
    picture = {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto"}
    assert sent == [
        {
            "type": "function_call_output",
            "call_id": "a",
            "output": [{"type": "input_text", "text": "Seen."}, picture],
        },
        {"type": "function_call_output", "call_id": "b", "output": "one\ntwo"},
        {"type": "function_call_output", "call_id": "c", "output": [picture]},
    ]


def test_chat_answers_every_call_before_it_shows_images() -> None:
    sent = request("openai-chat", RESULTS)["messages"]
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    assert sent == [
        {"role": "system", "content": "Be brief."},
        {"role": "tool", "tool_call_id": "a", "content": "Seen."},
        {"role": "tool", "tool_call_id": "b", "content": "one\ntwo"},
        {"role": "tool", "tool_call_id": "c", "content": "The image follows below."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Images from the result of look (a):"},
                picture,
                {"type": "text", "text": "Images from the result of look (c):"},
                picture,
            ],
        },
    ]


def test_messages_puts_all_results_first_in_one_message_with_what_follows() -> None:
    reply = Reply(
        native=({"type": "text", "text": ""}, {"type": "tool_use", "id": "a", "name": "look", "input": {}})
    )
    body = request(
        "anthropic-messages",
        said(TextPart(text="Go.")),
        ReplyItem(reply=reply),
        RESULTS,
        said(TextPart(text="Hurry.")),
    )
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    assert body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "Go."}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "look", "input": {}}]},
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "a",
                    "content": [{"type": "text", "text": "Seen."}, picture],
                },
                {
                    "type": "tool_result",
                    "tool_use_id": "b",
                    "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}],
                    "is_error": True,
                },
                {"type": "tool_result", "tool_use_id": "c", "content": [picture]},
                {"type": "text", "text": "Hurry."},
            ],
        },
    ]
    assert body["cache_control"] == {"type": "ephemeral"}
    assert body["system"] == [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]


def test_messages_thinks_adaptively_only_when_an_effort_is_set() -> None:
    plain = request("anthropic-messages", said(TextPart(text="Go.")))
    assert plain["max_tokens"] == 32_000
    assert not {"thinking", "output_config", "temperature"} & set(plain)
    hard = request("anthropic-messages", said(TextPart(text="Go.")), effort="max", max_output_tokens=9)
    assert (hard["thinking"], hard["output_config"], hard["max_tokens"]) == (
        {"type": "adaptive"},
        {"effort": "max"},
        9,
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"max_tokens": 7, "reasoning_effort": "high"}),
        ({"max_tokens_field": "max_completion_tokens"}, {"max_completion_tokens": 7}),
        ({"effort_field": "reasoning.effort"}, {"reasoning": {"effort": "high", "exclude": True}}),
        ({"prompt_cache_key": True}, {"prompt_cache_key": "trial-1"}),
    ],
)
def test_chat_names_fields_as_the_server_wants_them(
    options: dict[str, JsonValue], expected: dict[str, JsonValue]
) -> None:
    extra = {"reasoning": {"exclude": True}} if "effort_field" in options else {}
    body = request(
        "openai-chat",
        said(TextPart(text="Go.")),
        effort="high",
        max_output_tokens=7,
        options=options,
        extra_body=extra,
    )
    assert expected.items() <= body.items()
    assert body["stream_options"] == {"include_usage": True}


def test_a_responses_item_is_taken_from_its_own_event_also_when_the_end_lists_none() -> None:
    fold = ResponsesFold()
    reasoning: JsonValue = {
        "type": "reasoning",
        "id": "r",
        "summary": [],
        "encrypted_content": "whole",
        "status": None,
    }
    fold.add({"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "id": "r"}})
    fold.add({"type": "response.output_item.done", "output_index": 0, "item": reasoning})
    assert not fold.complete
    fold.add({"type": "response.completed", "response": {"id": "x", "status": "completed", "output": []}})
    assert fold.reply().native == (reasoning,)


def test_responses_does_not_send_back_reasoning_that_nothing_follows() -> None:
    thought: JsonValue = {"type": "reasoning", "id": "r", "summary": []}
    call: JsonValue = {"type": "function_call", "call_id": "c", "name": "shell", "arguments": "{}"}
    kept = ReplyItem(reply=Reply(native=(thought, call)))
    alone = ReplyItem(reply=Reply(native=(thought,)))
    assert request("openai-responses", kept, alone)["input"] == [thought, call]


def test_an_incomplete_response_says_why() -> None:
    for reason, stop in [("max_output_tokens", "length"), ("content_filter", "refusal"), ("new_reason", "other")]:
        fold = ResponsesFold()
        response: JsonValue = {"status": "incomplete", "incomplete_details": {"reason": reason}, "output": []}
        fold.add({"type": "response.incomplete", "response": response})
        assert (fold.reply().stop, fold.reply().stop_detail) == (stop, reason)


def message(*events: dict[str, JsonValue], stop: str = "end_turn") -> MessagesFold:
    fold = MessagesFold()
    usage: JsonValue = {
        "input_tokens": 10,
        "cache_read_input_tokens": 100,
        "cache_creation_input_tokens": 5,
        "output_tokens": 1,
    }
    fold.add({"type": "message_start", "message": {"id": "msg", "model": "m", "content": [], "usage": usage}})
    for event in events:
        fold.add(event)
    fold.add({"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 42}})
    assert not fold.complete
    fold.add({"type": "message_stop"})
    assert fold.complete
    return fold


def block(index: int, start: JsonValue, *deltas: JsonValue) -> list[dict[str, JsonValue]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        {"type": "ping"},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def test_thinking_and_signatures_survive_in_order() -> None:
    fold = message(
        *block(
            0,
            {"type": "thinking", "thinking": "", "signature": ""},
            {"type": "thinking_delta", "thinking": "Hm"},
            {"type": "thinking_delta", "thinking": "."},
            {"type": "signature_delta", "signature": "c2ln"},
        ),
        *block(1, {"type": "redacted_thinking", "data": "b3BhcXVl"}),
        *block(2, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Hi"}),
    )
    reply = fold.reply()
    assert reply.native == (
        {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "b3BhcXVl"},
        {"type": "text", "text": "Hi"},
    )
    assert (reply.text, reply.reasoning, reply.stop) == ("Hi", "Hm.", "end")


def test_input_of_messages_includes_the_cache() -> None:
    usage = message().reply().usage
    assert (usage.input_tokens, usage.cached_tokens, usage.cache_write_tokens, usage.output_tokens) == (
        115,
        100,
        5,
        42,
    )


def test_zeros_for_usage_are_unknown() -> None:
    fold = MessagesFold()
    fold.add({"type": "message_start", "message": {"usage": {"input_tokens": 0, "output_tokens": 0}}})
    assert fold.reply().usage.input_tokens is None


def test_broken_input_of_a_call_goes_back_as_an_object_that_shows_it() -> None:
    start: JsonValue = {"type": "tool_use", "id": "t", "name": "shell", "input": {}}
    reply = message(
        *block(0, start, {"type": "input_json_delta", "partial_json": '{"x": '}), stop="tool_use"
    ).reply()
    assert reply.calls[0].arguments is None
    assert reply.calls[0].arguments_text == '{"x": '
    assert reply.native[0] == {"type": "tool_use", "id": "t", "name": "shell", "input": {"INVALID_JSON": '{"x": '}}


def test_a_call_without_any_input_has_no_arguments() -> None:
    start: JsonValue = {"type": "tool_use", "id": "t", "name": "submit", "input": {}}
    assert message(*block(0, start), stop="tool_use").reply().calls[0].arguments == {}


@pytest.mark.parametrize(
    ("reason", "stop"),
    [
        ("max_tokens", "length"),
        ("refusal", "refusal"),
        ("pause_turn", "pause"),
        ("model_context_window_exceeded", "context"),
        ("compaction", "other"),
        ("tool_use", "other"),
    ],
)
def test_stop_reasons_are_mapped_and_kept(reason: str, stop: str) -> None:
    reply = message(stop=reason).reply()
    assert (reply.stop, reply.stop_detail) == (stop, reason)


def test_a_message_that_ends_without_a_reason_is_not_complete() -> None:
    fold = MessagesFold()
    fold.add({"type": "message_start", "message": {}})
    fold.add({"type": "message_stop"})
    assert not fold.complete
