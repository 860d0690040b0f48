"""Chat Completions over the real ``openai`` client: what comes out, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

import openai
import pytest

from harness.testing.model_server import NO_SCRIPT, ModelServer, running_model_server
from harness.testing.players import Call, Player, Script, Turn

Json = dict[str, Any]


@pytest.fixture
def settings(parameters: Json) -> Json:
    function = {"name": "shell", "description": "d", "parameters": parameters}
    return {"model": "careful", "tools": [{"type": "function", "function": function}]}


def message_of(completion: Any) -> Json:
    message: Json = completion.choices[0].message.to_dict(exclude_none=True)
    return message


def results_of(message: Json, text: str = "ok") -> list[Json]:
    return [{"role": "tool", "tool_call_id": call["id"], "content": text} for call in message.get("tool_calls", [])]


@pytest.fixture
def history(gpt: openai.OpenAI, settings: Json, task: str) -> list[Json]:
    """System, task, a reply with two calls, their results."""
    start: list[Json] = [{"role": "system", "content": "You mend."}, {"role": "user", "content": task}]
    message = message_of(gpt.chat.completions.create(messages=start, **settings))  # type: ignore[arg-type]
    return [*start, message, *results_of(message)]


def refused(gpt: openai.OpenAI, settings: Json, messages: Any, **more: Any) -> str:
    with pytest.raises(openai.BadRequestError) as caught:
        gpt.chat.completions.create(messages=messages, **(settings | more))
    return caught.value.message


def test_a_script_is_played_to_its_end(gpt: openai.OpenAI, settings: Json, history: list[Json]) -> None:
    assert [call["function"]["name"] for call in history[2]["tool_calls"]] == ["shell", "shell"]
    second: Any = gpt.chat.completions.create(messages=history, **settings)  # type: ignore[arg-type]
    assert second.choices[0].finish_reason == "tool_calls"
    assert second.choices[0].message.content is None
    history += [message_of(second), *results_of(message_of(second))]
    last: Any = gpt.chat.completions.create(messages=history, **settings)  # type: ignore[arg-type]
    assert last.choices[0].finish_reason == "stop"
    assert last.choices[0].message.content == "Done: the tree is mended."
    history += [message_of(last), {"role": "user", "content": "More?"}]
    after: Any = gpt.chat.completions.create(messages=history, **settings)  # type: ignore[arg-type]
    assert after.choices[0].message.content == NO_SCRIPT


def test_the_stream_says_the_same_as_the_whole(
    gpt: openai.OpenAI, settings: Json, task: str, well_formed: Callable[..., None]
) -> None:
    messages: Any = [{"role": "user", "content": task}]
    whole = gpt.chat.completions.create(messages=messages, **settings)
    well_formed(whole, "reasoning_content")
    chunks = list(
        gpt.chat.completions.create(
            messages=messages, stream=True, stream_options={"include_usage": True}, **settings
        )
    )
    for chunk in chunks:
        well_formed(chunk, "reasoning_content")
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert whole.usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 2) + ["tool_calls"]
    with gpt.chat.completions.stream(messages=messages, **settings) as stream:
        final = message_of(stream.get_final_completion())
    expected = message_of(whole)
    assert final["content"] == expected["content"]
    assert final["reasoning_content"] == expected["reasoning_content"]
    assert [call["id"] for call in final["tool_calls"]] == [call["id"] for call in expected["tool_calls"]]
    arguments = [call["function"]["arguments"] for call in expected["tool_calls"]]
    assert [call["function"]["arguments"] for call in final["tool_calls"]] == arguments
    assert json.loads(arguments[0]) == {"command": "ls -la && echo 'hällo \"you\"'\n"}


def test_without_being_asked_a_stream_has_no_usage(gpt: openai.OpenAI, settings: Json, task: str) -> None:
    chunks = list(
        gpt.chat.completions.create(messages=[{"role": "user", "content": task}], stream=True, **settings)
    )
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


@pytest.mark.anyio
async def test_the_async_client_gets_the_same(server: ModelServer, settings: Json, task: str) -> None:
    async with openai.AsyncOpenAI(api_key="k", base_url=f"{server.base_url}/v1", max_retries=0) as client:
        stream = await client.chat.completions.create(
            messages=[{"role": "user", "content": task}], stream=True, **settings
        )
        reasons = [chunk.choices[0].finish_reason async for chunk in stream]
    assert reasons[-1] == "tool_calls"


def test_every_call_needs_one_tool_message_before_anything_else(
    gpt: openai.OpenAI, settings: Json, history: list[Json]
) -> None:
    missing = history[-1]["tool_call_id"]
    said = f"did not have response messages: {missing}"
    assert said in refused(gpt, settings, history[:-1])
    assert said in refused(gpt, settings, [*history[:-1], {"role": "user", "content": "Well?"}, history[-1]])
    assert said in refused(gpt, settings, [*history[:-1], history[2], *history[3:]])


def test_a_tool_message_needs_its_call(gpt: openai.OpenAI, settings: Json, history: list[Json]) -> None:
    stray = {"role": "tool", "tool_call_id": "call_stray", "content": "x"}
    assert "call_stray" in refused(gpt, settings, [*history, stray])
    assert "call_stray" in refused(gpt, settings, [*history[:3], stray, *history[3:]])
    assert "Duplicate" in refused(gpt, settings, [*history, history[-1]])
    assert "preceeding message with 'tool_calls'" in refused(gpt, settings, [history[1], stray])


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ((3, {"content": [{"type": "image_url", "image_url": {"url": "x"}}]}), "Invalid value: 'image_url'"),
        ((3, {"content": None}), "'messages[3].content': expected a string, but got null"),
        ((3, {"name": "shell"}), "Unknown parameter: 'messages[3].name'."),
        ((2, {"tool_calls": []}), "Invalid 'messages[2].tool_calls': empty array"),
        ((2, {"parsed": None}), "Unknown parameter: 'messages[2].parsed'."),
        ((1, {"content": None}), "Invalid type for 'messages[1].content'"),
        ((1, {"role": "human"}), "Invalid value: 'human'"),
    ],
)
def test_a_message_that_is_not_as_declared_is_named(
    gpt: openai.OpenAI, settings: Json, history: list[Json], case: tuple[int, Json], said: str
) -> None:
    place, change = case
    history[place] |= change
    assert said in refused(gpt, settings, history)


def test_an_assistant_message_needs_content_or_calls(gpt: openai.OpenAI, settings: Json, task: str) -> None:
    messages = [{"role": "user", "content": task}, {"role": "assistant", "content": None}]
    assert "Invalid type for 'messages[1].content'" in refused(gpt, settings, messages)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"extra_body": {"input": []}}, "Unknown parameter: 'input'."),
        ({"extra_body": {"stream_options": {}}}, "only allowed when 'stream' is enabled"),
        ({"max_tokens": 5, "max_completion_tokens": 5}, "at the same time"),
        ({"n": 2}, "Invalid 'n'"),
        ({"tools": []}, "Invalid 'tools': empty array"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "does not match pattern"),
        ({"tools": [{"type": "function", "name": "a"}]}, "Missing required parameter: 'tools[0].function'."),
        ({"messages": []}, "Invalid 'messages': empty array"),
    ],
)
def test_settings_that_the_service_does_not_take_are_named(
    gpt: openai.OpenAI, settings: Json, task: str, more: Json, said: str
) -> None:
    messages = more.pop("messages", [{"role": "user", "content": task}])
    assert said in refused(gpt, settings, messages, **more)


def test_pictures_from_the_user_must_be_real(gpt: openai.OpenAI, settings: Json, task: str, picture: str) -> None:
    def shown(data: str) -> list[Json]:
        image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
        return [{"role": "user", "content": [{"type": "text", "text": task}, image]}]

    assert gpt.chat.completions.create(messages=shown(picture), **settings).choices  # type: ignore[arg-type]
    assert "valid image" in refused(gpt, settings, shown("AAAA"))


def test_too_long_a_conversation_is_an_overflow(gpt: openai.OpenAI, settings: Json, history: list[Json]) -> None:
    history[-1]["content"] = "x" * 100_000
    with pytest.raises(openai.BadRequestError, match="maximum context length is 20000 tokens") as caught:
        gpt.chat.completions.create(messages=history, **settings)  # type: ignore[arg-type]
    assert caught.value.code == "context_length_exceeded"


@pytest.fixture
def deep() -> Iterator[openai.OpenAI]:
    """A server whose player wants its reasoning back, and takes a field of its own."""
    turns = [Turn(calls=[Call("shell", {})]), Turn(reasoning="Aha.", calls=[Call("shell", {})]), Turn(say="End.")]
    player = Player("deep", scripts=[Script(turns=turns)], must_return_reasoning=True, extra_params=["thinking"])
    with running_model_server([player]) as server:
        yield openai.OpenAI(api_key="k", base_url=f"{server.base_url}/v1", max_retries=0)


def test_reasoning_has_to_come_back_where_the_player_says_so_also_empty(deep: openai.OpenAI, task: str) -> None:
    settings: Json = {"model": "deep", "extra_body": {"thinking": {"type": "enabled"}}}
    messages: Any = [{"role": "user", "content": task}]
    with deep.chat.completions.stream(messages=messages, **settings) as stream:
        first = message_of(stream.get_final_completion())
    assert first["reasoning_content"] == ""
    messages += [first, *results_of(first)]
    second = message_of(deep.chat.completions.create(messages=messages, **settings))
    assert second["reasoning_content"] == "Aha."
    messages += [second, *results_of(second)]
    for place in (1, 3):
        without = deepcopy(messages)
        del without[place]["reasoning_content"]
        assert f"`reasoning_content` field in the assistant message at message index {place}" in refused(
            deep, settings, without
        )
    assert message_of(deep.chat.completions.create(messages=messages, **settings))["content"] == "End."


def test_a_player_without_a_reasoning_field_neither_sends_nor_takes_one(task: str) -> None:
    player = Player("plain", scripts=[Script(turns=[Turn(say="Hi.", reasoning="Hm.")])], reasoning_field=None)
    with running_model_server([player]) as server:
        gpt = openai.OpenAI(api_key="k", base_url=f"{server.base_url}/v1", max_retries=0)
        messages: Any = [{"role": "user", "content": task}]
        message = message_of(gpt.chat.completions.create(messages=messages, model="plain"))
        assert message == {"role": "assistant", "content": "Hi."}
        messages += [message | {"reasoning_content": "Hm."}, messages[0]]
        assert "'messages[1].reasoning_content'" in refused(gpt, {"model": "plain"}, messages)
