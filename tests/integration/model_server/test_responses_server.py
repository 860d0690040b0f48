"""OpenAI Responses over the real ``openai`` client: what comes out, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import openai
import pytest

from harness.testing.model_server import NO_SCRIPT, ModelServer, running_model_server
from harness.testing.players import Call, Player, Script, Turn

Json = dict[str, Any]


@pytest.fixture
def settings(parameters: Json) -> Json:
    tool = {"type": "function", "name": "shell", "description": "d", "strict": True, "parameters": parameters}
    return {
        "model": "careful",
        "instructions": "You mend.",
        "tools": [tool],
        "store": False,
        "reasoning": {"effort": "high", "summary": "auto"},
    }


def items_of(response: Any) -> list[Json]:
    return [item.to_dict(exclude_none=True) for item in response.output]


def results_of(items: list[Json], text: str = "ok") -> list[Json]:
    calls = [item for item in items if item["type"] == "function_call"]
    return [{"type": "function_call_output", "call_id": call["call_id"], "output": text} for call in calls]


@pytest.fixture
def history(gpt: openai.OpenAI, settings: Json, task: str) -> list[Json]:
    """The task, a first reply with reasoning, text and two calls, and their results."""
    first: list[Json] = [{"role": "user", "content": task}]
    items = items_of(gpt.responses.create(input=first, **settings))
    return [*first, *items, *results_of(items)]


def refused(gpt: openai.OpenAI, settings: Json, items: Any, **more: Any) -> str:
    with pytest.raises(openai.BadRequestError) as caught:
        gpt.responses.create(input=items, **(settings | more))
    assert caught.value.type == "invalid_request_error"
    return caught.value.message


def test_a_script_is_played_to_its_end(gpt: openai.OpenAI, settings: Json, history: list[Json]) -> None:
    kinds = [item.get("type", "task") for item in history]
    assert kinds == ["task", "reasoning", "message", *["function_call"] * 2, *["function_call_output"] * 2]
    second = gpt.responses.create(input=history, **settings)
    assert [item.type for item in second.output] == ["function_call"]
    history += items_of(second) + results_of(items_of(second))
    last = gpt.responses.create(input=history, **settings)
    assert last.output_text == "Done: the tree is mended."
    assert last.status == "completed"
    history += [*items_of(last), {"role": "user", "content": "More?"}]
    assert gpt.responses.create(input=history, **settings).output_text == NO_SCRIPT


def test_the_stream_says_the_same_as_the_whole(
    gpt: openai.OpenAI, settings: Json, task: str, well_formed: Callable[..., None]
) -> None:
    whole = gpt.responses.create(input=task, **settings)
    well_formed(whole)
    events = list(gpt.responses.create(input=task, stream=True, **settings))
    for event in events:
        well_formed(event)
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [events[0].type, events[1].type, events[-1].type] == [
        "response.created",
        "response.in_progress",
        "response.completed",
    ]
    final = events[-1].response  # type: ignore[union-attr]
    assert items_of(final) == items_of(whole)
    done = [event.item for event in events if event.type == "response.output_item.done"]
    assert done == final.output
    deltas = [event for event in events if event.type == "response.function_call_arguments.delta"]
    first_call = [event.delta for event in deltas if event.output_index == 2]
    assert len(first_call) > 1
    assert json.loads("".join(first_call)) == {"command": "ls -la && echo 'hällo \"you\"'\n"}


def test_the_stream_helper_accumulates_the_same(gpt: openai.OpenAI, settings: Json, task: str) -> None:
    with gpt.responses.stream(input=task, **settings) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_response()
    assert final.output_text == "Let me look around."
    assert {"response.output_text.delta", "response.function_call_arguments.done"} <= kinds
    assert [call.call_id for call in final.output if call.type == "function_call"] == [
        item["call_id"] for item in items_of(gpt.responses.create(input=task, **settings)) if "call_id" in item
    ]


@pytest.mark.anyio
async def test_the_async_client_gets_the_same(server: ModelServer, settings: Json, task: str) -> None:
    async with openai.AsyncOpenAI(api_key="k", base_url=f"{server.base_url}/v1", max_retries=0) as client:
        stream = await client.responses.create(input=task, stream=True, **settings)
        kinds = [event.type async for event in stream]
        assert kinds[-1] == "response.completed"
        assert (await client.responses.create(input=task, **settings)).output_text == "Let me look around."


def test_a_summary_is_shown_only_when_asked_for(gpt: openai.OpenAI, settings: Json, task: str) -> None:
    silent = items_of(gpt.responses.create(input=task, **(settings | {"reasoning": {"effort": "low"}})))
    assert silent[0]["summary"] == []
    assert silent[0]["encrypted_content"]
    none = items_of(gpt.responses.create(input=task, **(settings | {"reasoning": {"effort": "none"}})))
    assert [item["type"] for item in none] == ["message", "function_call", "function_call"]


def test_usage_grows_with_the_conversation_and_counts_what_was_seen_before(parameters: Json, task: str) -> None:
    player = Player(
        "fresh", scripts=[Script(turns=[Turn(calls=[Call("shell", {"command": "ls"})]), Turn(say="x")])]
    )
    with running_model_server([player]) as server:
        gpt = openai.OpenAI(api_key="k", base_url=f"{server.base_url}/v1", max_retries=0)
        items: list[Json] = [{"role": "user", "content": task}]
        first = gpt.responses.create(model="fresh", input=items)
        items += items_of(first) + results_of(items_of(first), "x" * 4000)
        second = gpt.responses.create(model="fresh", input=items)
    assert first.usage is not None
    assert second.usage is not None
    assert first.usage.input_tokens_details.cached_tokens == 0
    assert second.usage.input_tokens_details.cached_tokens == first.usage.input_tokens
    assert 1000 < second.usage.input_tokens - first.usage.input_tokens < 1200
    assert second.usage.total_tokens == second.usage.input_tokens + second.usage.output_tokens


def test_input_tokens_can_be_counted_before(gpt: openai.OpenAI, settings: Json, task: str) -> None:
    kept = {key: settings[key] for key in ("model", "instructions", "tools")}
    counted = gpt.responses.input_tokens.count(input=task, **kept)
    usage = gpt.responses.create(input=task, **kept).usage
    assert usage is not None
    assert counted.input_tokens == usage.input_tokens


def test_every_call_needs_its_output(gpt: openai.OpenAI, settings: Json, history: list[Json]) -> None:
    call_id = history[-1]["call_id"]
    assert f"No tool output found for function call {call_id}." in refused(gpt, settings, history[:-1])


def test_every_output_needs_its_call_before_it(gpt: openai.OpenAI, settings: Json, history: list[Json]) -> None:
    call_id = history[-1]["call_id"]
    said = f"No tool call found for function call output with call_id {call_id}."
    assert said in refused(gpt, settings, [item for item in history if item is not history[-3]])
    assert said in refused(gpt, settings, [history[0], history[-1], *history[1:-1]])
    stray = {"type": "function_call_output", "call_id": "call_stray", "output": "x"}
    assert "call_stray" in refused(gpt, settings, [*history, stray])


def test_nothing_may_come_twice(gpt: openai.OpenAI, settings: Json, history: list[Json]) -> None:
    assert "Duplicate" in refused(gpt, settings, [*history, history[-1]])
    assert "Duplicate item found with id" in refused(gpt, settings, [*history, history[1]])


def test_reasoning_must_come_back(gpt: openai.OpenAI, settings: Json, history: list[Json]) -> None:
    reasoning = history[1]["id"]
    said = refused(gpt, settings, [history[0], *history[2:]])
    assert f"without its required 'reasoning' item: '{reasoning}'" in said
    without_ids = [{key: value for key, value in item.items() if key != "id"} for item in history[3:]]
    assert "required 'reasoning' item" in refused(gpt, settings, [history[0], *without_ids])


def test_reasoning_must_stand_before_what_it_led_to(
    gpt: openai.OpenAI, settings: Json, history: list[Json]
) -> None:
    moved = [history[0], *history[2:], history[1]]
    assert "required 'reasoning' item" in refused(gpt, settings, moved)
    alone = [history[0], history[1], {"role": "user", "content": "Well?"}]
    assert "without its required following item" in refused(gpt, settings, alone)
    assert "without its required following item" in refused(gpt, settings, history[:2])


@pytest.mark.parametrize("change", [{"encrypted_content": "c2VjcmV0"}, {"summary": []}, {"id": "rs_other"}])
def test_reasoning_must_be_verbatim(gpt: openai.OpenAI, settings: Json, history: list[Json], change: Json) -> None:
    history[1] |= change
    assert "could not be verified" in refused(gpt, settings, history)


def test_reasoning_without_its_content_is_not_found(
    gpt: openai.OpenAI, settings: Json, history: list[Json]
) -> None:
    del history[1]["encrypted_content"]
    with pytest.raises(openai.NotFoundError, match="not persisted when `store` is set to false"):
        gpt.responses.create(input=history, **settings)


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ((3, {"parsed_arguments": {}}), r"Unknown parameter: 'input[3].parsed_arguments'."),
        ((3, {"id": "call_1"}), "Expected an ID that begins with 'fc'"),
        ((3, {"arguments": {"command": "ls"}}), "'input[3].arguments': expected a string, but got an object"),
        ((5, {"output": None}), "Invalid type for 'input[5].output'"),
        ((5, {"output": [{"type": "text", "text": "x"}]}), "Supported values are: 'input_file', 'input_image'"),
        ((0, {"role": "human"}), "Supported values are: 'assistant', 'developer', 'system', 'user'"),
        ((0, {"type": "thought"}), "Invalid value: 'thought'"),
    ],
)
def test_an_item_that_is_not_as_declared_is_named(
    gpt: openai.OpenAI, settings: Json, history: list[Json], case: tuple[int, Json], said: str
) -> None:
    place, change = case
    history[place] |= change
    assert said in refused(gpt, settings, history)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"extra_body": {"thinking": {}}}, "Unknown parameter: 'thinking'."),
        ({"temperature": 0.5}, "'temperature' is not supported with this model"),
        ({"reasoning": {"effort": "huge"}}, "Invalid value: 'huge'"),
        ({"max_output_tokens": 3}, "Expected a value >= 16"),
        ({"previous_response_id": "resp_1"}, "Previous response with id 'resp_1' not found."),
        ({"tools": [{"type": "web_search"}]}, "Invalid value: 'web_search'"),
        ({"tools": [{"type": "function", "name": "my tool"}]}, "'tools[0].name': string does not match pattern"),
        ({"tools": [{"type": "function", "name": "a", "parameters": {"type": "array"}}]}, "Invalid schema"),
        ({"tools": [{"type": "function", "name": "a"}] * 2}, "Duplicate tool name 'a'"),
    ],
)
def test_settings_that_the_service_does_not_take_are_named(
    gpt: openai.OpenAI, settings: Json, task: str, more: Json, said: str
) -> None:
    assert said in refused(gpt, settings, task, **more)


def test_pictures_in_tool_results_must_be_real(
    gpt: openai.OpenAI, settings: Json, history: list[Json], picture: str
) -> None:
    def shown(data: str) -> list[Json]:
        items = deepcopy(history)
        image = {"type": "input_image", "image_url": f"data:image/png;base64,{data}", "detail": "auto"}
        items[-1]["output"] = [{"type": "input_text", "text": "seen"}, image]
        return items

    assert gpt.responses.create(input=shown(picture), **settings).status == "completed"
    assert "valid image" in refused(gpt, settings, shown("AAAA"))


def test_too_long_a_conversation_is_an_overflow(gpt: openai.OpenAI, settings: Json, history: list[Json]) -> None:
    history[-1]["output"] = "x" * 100_000
    with pytest.raises(openai.BadRequestError, match="exceeds the context window") as caught:
        gpt.responses.create(input=history, **settings)
    assert caught.value.code == "context_length_exceeded"


def test_the_output_limit_cuts_the_reply(gpt: openai.OpenAI, settings: Json, history: list[Json]) -> None:
    cut = gpt.responses.create(input=history, max_output_tokens=20, **settings)
    assert cut.status == "incomplete"
    assert cut.incomplete_details is not None
    assert cut.incomplete_details.reason == "max_output_tokens"
    (call,) = cut.output
    assert call.type == "function_call"
    with pytest.raises(ValueError, match="Unterminated"):
        json.loads(call.arguments)


def test_a_conversation_goes_on_after_its_start_was_compacted(
    gpt: openai.OpenAI, settings: Json, task: str, history: list[Json]
) -> None:
    second = items_of(gpt.responses.create(input=history, **settings))
    kept = [{"role": "user", "content": f"{task} (summary of the start)"}, *second, *results_of(second)]
    assert gpt.responses.create(input=kept, **settings).output_text == "Done: the tree is mended."
