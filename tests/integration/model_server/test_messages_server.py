"""Anthropic Messages over the real ``anthropic`` client: what comes out, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import anthropic
import httpx2
import pytest

from harness.testing.model_server import NO_SCRIPT, ModelServer, running_model_server
from harness.testing.players import Call, Player, Script, Turn

Json = dict[str, Any]


@pytest.fixture
def settings(parameters: Json) -> Json:
    return {
        "model": "careful",
        "max_tokens": 8000,
        "system": "You mend.",
        "tools": [{"name": "shell", "description": "d", "input_schema": parameters}],
        "thinking": {"type": "adaptive"},
    }


def assistant(message: Any) -> Json:
    return {"role": "assistant", "content": [block.to_dict() for block in message.content]}


def results_of(message: Json, text: str = "ok") -> Json:
    calls = [block for block in message["content"] if block["type"] == "tool_use"]
    return {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": call["id"], "content": text} for call in calls],
    }


@pytest.fixture
def history(claude: anthropic.Anthropic, settings: Json, task: str) -> list[Json]:
    """The task, a reply with thinking, text and two calls, and a message with both results."""
    first: Json = {"role": "user", "content": task}
    reply = assistant(claude.messages.create(messages=[first], **settings))  # type: ignore[list-item]
    return [first, reply, results_of(reply)]


def refused(claude: anthropic.Anthropic, settings: Json, messages: Any, **more: Any) -> str:
    with pytest.raises(anthropic.BadRequestError) as caught:
        claude.messages.create(messages=messages, **(settings | more))
    body: Any = caught.value.body
    assert body["type"] == "error"
    assert body["error"]["type"] == "invalid_request_error"
    return str(body["error"]["message"])


def test_a_script_is_played_to_its_end(claude: anthropic.Anthropic, settings: Json, history: list[Any]) -> None:
    assert [block["type"] for block in history[1]["content"]] == ["thinking", "text", "tool_use", "tool_use"]
    second = claude.messages.create(messages=history, **settings)
    assert second.stop_reason == "tool_use"
    history += [assistant(second), results_of(assistant(second))]
    last = claude.messages.create(messages=history, **settings)
    assert last.stop_reason == "end_turn"
    assert [block.type for block in last.content] == ["thinking", "text"]
    history += [assistant(last), {"role": "user", "content": "More?"}]
    after = claude.messages.create(messages=history, **settings)
    assert [getattr(block, "text", "") for block in after.content] == [NO_SCRIPT]


def test_the_stream_says_the_same_as_the_whole(
    claude: anthropic.Anthropic, settings: Json, task: str, well_formed: Callable[..., None]
) -> None:
    messages: Any = [{"role": "user", "content": task}]
    whole = claude.messages.create(messages=messages, **settings)
    well_formed(whole)
    events = list(claude.messages.create(messages=messages, stream=True, **settings))
    for event in events:
        if event.type != "ping":  # type: ignore[comparison-overlap]
            well_formed(event)
    kinds = [event.type for event in events]
    assert [kinds[0], *kinds[-2:]] == ["message_start", "message_delta", "message_stop"]
    with claude.messages.stream(messages=messages, **settings) as stream:
        assert "".join(stream.text_stream) == "Let me look around."
        final = stream.get_final_message()
    assert assistant(final) == assistant(whole)
    assert final.usage.output_tokens == whole.usage.output_tokens
    call = final.content[2]
    assert call.type == "tool_use"
    assert call.input == {"command": "ls -la && echo 'hällo \"you\"'\n"}
    pieces = [event for event in events if event.type == "content_block_delta" and event.index == 2]
    assert len(pieces) > 2


def test_the_beta_client_gets_the_same(claude: anthropic.Anthropic, settings: Json, task: str) -> None:
    with claude.beta.messages.stream(messages=[{"role": "user", "content": task}], **settings) as stream:
        assert stream.get_final_message().stop_reason == "tool_use"


@pytest.mark.anyio
async def test_the_async_client_gets_the_same(server: ModelServer, settings: Json, task: str) -> None:
    async with (
        anthropic.AsyncAnthropic(api_key="k", base_url=server.base_url, max_retries=0) as client,
        client.messages.stream(messages=[{"role": "user", "content": task}], **settings) as stream,
    ):
        assert (await stream.get_final_message()).stop_reason == "tool_use"


def test_thinking_follows_its_settings(claude: anthropic.Anthropic, settings: Json, task: str) -> None:
    messages: Any = [{"role": "user", "content": task}]
    hidden = claude.messages.create(messages=messages, **(settings | {"thinking": _adaptive(display="omitted")}))
    first = hidden.content[0]
    assert first.type == "thinking"
    assert first.thinking == ""
    assert first.signature
    off = claude.messages.create(messages=messages, **(settings | {"thinking": {"type": "disabled"}}))
    assert [block.type for block in off.content] == ["text", "tool_use", "tool_use"]


def _adaptive(**more: Any) -> Json:
    return {"type": "adaptive", **more}


def test_cached_tokens_are_counted_apart_and_only_with_marks(settings: Json, task: str) -> None:
    player = Player("careful", scripts=[Script(turns=[Turn(calls=[Call("shell", {})]), Turn(say="x")])])
    with running_model_server([player]) as server:
        claude = anthropic.Anthropic(api_key="k", base_url=server.base_url, max_retries=0)
        messages: list[Any] = [{"role": "user", "content": task}]
        bare = claude.messages.create(messages=messages, **settings).usage
        assert (bare.cache_creation_input_tokens, bare.cache_read_input_tokens) == (0, 0)
        first = claude.messages.create(messages=messages, cache_control={"type": "ephemeral"}, **settings)
        messages += [assistant(first), results_of(assistant(first), "x" * 4000)]
        messages[-1]["content"][-1]["cache_control"] = {"type": "ephemeral"}
        second = claude.messages.create(messages=messages, **settings).usage
    assert second.cache_read_input_tokens == bare.input_tokens
    assert (second.cache_creation_input_tokens or 0) > 1000
    assert second.input_tokens == 0


def test_tokens_can_be_counted_before(claude: anthropic.Anthropic, settings: Json, task: str) -> None:
    kept = {key: settings[key] for key in ("model", "system", "tools")}
    counted = claude.messages.count_tokens(messages=[{"role": "user", "content": task}], **kept)
    usage = claude.messages.create(messages=[{"role": "user", "content": task}], max_tokens=1000, **kept).usage
    assert counted.input_tokens == usage.input_tokens


def test_every_call_needs_its_result_in_the_next_message(
    claude: anthropic.Anthropic, settings: Json, history: list[Json]
) -> None:
    first, second = (block["tool_use_id"] for block in history[2]["content"])
    one = {"role": "user", "content": history[2]["content"][:1]}
    other = {"role": "user", "content": history[2]["content"][1:]}
    said = refused(claude, settings, [*history[:2], one, other])
    assert f"messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: {second}" in said
    assert first in refused(claude, settings, [*history[:2], {"role": "user", "content": "Well?"}])
    assert first in refused(claude, settings, history[:2])


def test_a_result_needs_its_call_and_comes_once(
    claude: anthropic.Anthropic, settings: Json, history: list[Json]
) -> None:
    stray = {"type": "tool_result", "tool_use_id": "toolu_stray", "content": "x"}
    more = deepcopy(history)
    more[2]["content"].append(stray)
    said = "messages.2.content.2: unexpected `tool_use_id` found in `tool_result` blocks: toolu_stray"
    assert said in refused(claude, settings, more)
    again = deepcopy(history)
    again[2]["content"].append(history[2]["content"][0])
    assert "each tool_use must have a single result" in refused(claude, settings, again)


def test_results_come_before_other_content(claude: anthropic.Anthropic, settings: Json, history: list[Any]) -> None:
    note = {"type": "text", "text": "By the way."}
    history[2]["content"] = [note, *history[2]["content"]]
    assert "must come first" in refused(claude, settings, history)
    history[2]["content"] = [*history[2]["content"][1:], note]
    assert claude.messages.create(messages=history, **settings).stop_reason == "tool_use"


def test_thinking_comes_back_verbatim(claude: anthropic.Anthropic, settings: Json, history: list[Json]) -> None:
    thinking = history[1]["content"][0]
    history[1]["content"][0] = thinking | {"thinking": "Something else."}
    assert "messages.1.content.0: `thinking` or `redacted_thinking` blocks" in refused(claude, settings, history)
    history[1]["content"][0] = thinking | {"signature": "c2VjcmV0"}
    assert "Invalid `signature` in `thinking` block" in refused(claude, settings, history)


@pytest.mark.parametrize("change", ["system", "tools", "task"])
def test_thinking_is_bound_to_everything_before_it(
    claude: anthropic.Anthropic, settings: Json, history: list[Json], change: str
) -> None:
    match change:
        case "system":
            settings |= {"system": "You mend. It is 12:01."}
        case "tools":
            settings |= {"tools": [*settings["tools"], {"name": "b", "input_schema": {"type": "object"}}]}
        case _:
            history[0] = {"role": "user", "content": history[0]["content"] + " Now."}
    said = refused(claude, settings, history)
    assert "bound to a different conversation" in said
    assert said.startswith("messages.1.content.0")


def test_neither_cache_marks_nor_the_short_form_of_a_text_break_the_binding(
    claude: anthropic.Anthropic, settings: Json, history: list[Any], task: str
) -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    history[0] = {"role": "user", "content": [{"type": "text", "text": task} | mark]}
    settings |= {"system": [{"type": "text", "text": settings["system"]} | mark]}
    assert claude.messages.create(messages=history, **settings).stop_reason == "tool_use"


def test_blocks_of_another_conversation_are_dropped_when_asked_for(
    claude: anthropic.Anthropic, settings: Json, history: list[Any]
) -> None:
    settings |= {
        "system": "Another.",
        "thinking": _adaptive(block_binding={"prefix_mismatch_behavior": "drop_block"}),
    }
    assert "thinking.block_binding: Extra inputs" in refused(claude, settings, history)
    reply = claude.beta.messages.create(
        messages=history, betas=["thinking-binding-controls-2026-08-01"], **settings
    )
    (dropped,) = reply.input_transformations or []
    assert dropped.to_dict() == {
        "type": "thinking_dropped",
        "path": "messages.1.content.0",
        "reason": "prefix_binding_mismatch",
    }


def test_thinking_may_be_left_out_but_that_is_remarked(
    server: ModelServer, claude: anthropic.Anthropic, settings: Json, history: list[Any]
) -> None:
    del history[1]["content"][0]
    manual = {"thinking": {"type": "enabled", "budget_tokens": 2000}}
    said = refused(claude, settings, history, **manual)
    assert "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `text`" in said
    assert claude.messages.create(messages=history, **settings).stop_reason == "tool_use"
    assert "Expected `thinking`" in server.requests[-1].remarks[0]


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], "at least one message is required"),
        ([{"role": "assistant", "content": "Hi"}], 'first message must use the "user" role'),
        ([{"role": "user", "content": ""}], "messages.0: all messages must have non-empty content"),
        ([{"role": "user", "content": []}], "messages.0: all messages must have non-empty content"),
        ([{"role": "user", "content": [{"type": "text", "text": ""}]}], "text content blocks must be non-empty"),
        ([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}], "assistant message prefill"),
        ([{"role": "user", "content": "Hi", "name": "me"}], "messages.0.name: Extra inputs are not permitted"),
        ([{"role": "human", "content": "Hi"}], "messages.0.role: Input should be 'assistant', 'system' or 'user'"),
        ([{"role": "user"}], "messages.0.content: Field required"),
        ([{"role": "user", "content": [{"type": "thinking"}]}], "messages.0.content.0.type: Input should be"),
    ],
)
def test_messages_that_are_not_as_declared_are_named(
    claude: anthropic.Anthropic, settings: Json, messages: Any, said: str
) -> None:
    assert said in refused(claude, settings, messages)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"extra_body": {"temperature": 0.5}}, "temperature: Extra inputs are not permitted"),
        ({"extra_body": {"top_k": 5}}, "top_k: Extra inputs are not permitted"),
        ({"extra_body": {"messsages": []}}, "messsages: Extra inputs are not permitted"),
        ({"extra_body": {"context_management": {}}}, "context_management: Extra inputs are not permitted"),
        ({"max_tokens": -1}, "max_tokens: must be greater than or equal to 1"),
        ({"thinking": {"type": "enabled", "budget_tokens": 100}}, "greater than or equal to 1024"),
        ({"thinking": {"type": "enabled", "budget_tokens": 9000}}, "must be greater than `thinking.budget_tokens`"),
        ({"output_config": {"effort": "huge"}}, "output_config.effort: Input should be"),
        ({"tools": [{"name": "my tool", "input_schema": {"type": "object"}}]}, "tools.0.custom.name"),
        ({"tools": [{"name": "a", "input_schema": {"type": "array"}}]}, "tools.0.custom.input_schema"),
        ({"tools": [{"name": "a", "input_schema": {"type": "object"}}] * 2}, "Tool names must be unique"),
        ({"tools": [{"name": "a"}]}, "tools.0.input_schema: Field required"),
        ({"system": ""}, None),
        ({"system": [{"type": "text", "text": ""}]}, "system.0: text content blocks must be non-empty"),
    ],
)
def test_settings_that_the_service_does_not_take_are_named(
    claude: anthropic.Anthropic, settings: Json, task: str, more: Json, said: str | None
) -> None:
    messages: Any = [{"role": "user", "content": task}]
    if said is None:
        assert claude.messages.create(messages=messages, **(settings | more)).content
    else:
        assert said in refused(claude, settings, messages, **more)


def test_a_pinned_older_version_takes_a_temperature(claude: anthropic.Anthropic, settings: Json, task: str) -> None:
    reply = claude.messages.create(
        messages=[{"role": "user", "content": task}],
        extra_headers={"anthropic-version": "2023-06-01"},
        extra_body={"temperature": 0.5},
        **settings,
    )
    assert reply.stop_reason == "tool_use"


def test_at_most_four_cache_marks(claude: anthropic.Anthropic, settings: Json, task: str) -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    marked: Any = [{"type": "text", "text": task} | mark] * 4
    assert claude.messages.create(messages=[{"role": "user", "content": marked}], **settings).content
    said = refused(claude, settings, [{"role": "user", "content": marked}], **mark)
    assert "A maximum of 4 blocks with cache_control may be provided. Found 5." in said


def test_pictures_in_tool_results_must_be_real(
    claude: anthropic.Anthropic, settings: Json, history: list[Any], picture: str
) -> None:
    def shown(media_type: str, data: str) -> list[Any]:
        messages = deepcopy(history)
        source = {"type": "base64", "media_type": media_type, "data": data}
        messages[2]["content"][0]["content"] = [{"type": "image", "source": source}]
        return messages

    assert claude.messages.create(messages=shown("image/png", picture), **settings).stop_reason == "tool_use"
    assert "valid image" in refused(claude, settings, shown("image/png", "AAAA"))
    assert "appears to be a image/png" in refused(claude, settings, shown("image/jpeg", picture))
    assert "media_type: Input should be" in refused(claude, settings, shown("image/tiff", picture))


def test_too_long_a_conversation_is_an_overflow(
    claude: anthropic.Anthropic, settings: Json, history: list[Json]
) -> None:
    history[2]["content"][0]["content"] = "x" * 100_000
    said = refused(claude, settings, history)
    assert said.startswith("prompt is too long: ")
    assert said.endswith(" tokens > 20000 maximum")


@pytest.fixture
def wire(server: ModelServer) -> Iterator[httpx2.Client]:
    """A client that adds nothing of its own."""
    with httpx2.Client(base_url=server.base_url, headers={"authorization": "Bearer k"}) as client:
        yield client


def test_a_request_without_a_version_or_a_limit_is_refused(wire: httpx2.Client, task: str) -> None:
    body: Json = {"model": "careful", "messages": [{"role": "user", "content": task}]}
    missing = wire.post("/v1/messages", json=body)
    assert (missing.status_code, missing.json()["error"]["message"]) == (
        400,
        "anthropic-version: header is required",
    )
    version = {"anthropic-version": "2026-10-21"}
    unlimited = wire.post("/v1/messages", json=body, headers=version)
    assert unlimited.json()["error"]["message"] == "max_tokens: Field required"
    unknown = wire.post("/v1/messages", json=body | {"max_tokens": 9}, headers={"anthropic-version": "2025"})
    assert "not a valid version" in unknown.json()["error"]["message"]
