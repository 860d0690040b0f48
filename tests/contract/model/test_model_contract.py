"""What every adapter has to do, whatever protocol it speaks: the same script, the same transcript."""

from __future__ import annotations

import json

import pytest
from model_talk import KEY, PLAYER, Start, user

from harness.model.reading import without_nulls
from harness.schema.candidate import Api
from harness.schema.message import ReplyItem, Usage
from harness.testing.players import Fault

pytestmark = pytest.mark.anyio


async def test_the_same_script_gives_the_same_neutral_transcript(start: Start) -> None:
    async with start() as talk:
        replies = [await talk.go_on() for _ in range(4)]
    assert [reply.text for reply in replies] == ["I look at both places.", "", "One more.", "All is well."]
    assert [[(call.name, call.arguments) for call in reply.calls] for reply in replies] == [
        [("shell", {"what": "ls /a"}), ("shell", {"what": 'grep "é\u2028x" /b'})],
        [("view_image", {"what": "/c.png"}), ("shell", {"what": "pwd"})],
        [("shell", {"what": "true"})],
        [],
    ]
    assert [reply.stop for reply in replies] == ["tools", "tools", "tools", "end"]
    assert replies[0].reasoning == "Two commands at once — that is quicker. 🧭"
    assert {reply.served_model for reply in replies} == {PLAYER.name}
    assert all(reply.response_id for reply in replies)
    assert talk.server.drifted == talk.server.unscripted == 0
    assert [request.status for request in talk.server.requests] == [200] * 4
    assert not any(request.remarks for request in talk.server.requests)


async def test_every_reply_is_sent_back_from_its_native_items(start: Start, api: Api) -> None:
    async with start() as talk:
        replies = [await talk.go_on() for _ in range(3)]
        await talk.go_on()
        last = talk.server.requests[-1].body or {}
    sent = last[_history_field(api)]
    assert isinstance(sent, list)
    for reply in replies:
        items: list[object] = list(reply.native)
        if api == "openai-responses":  # its nulls are not taken back
            items = [without_nulls(item) for item in reply.native]
        if api == "anthropic-messages":
            items = [{"role": "assistant", "content": items}]
        assert any(sent[start : start + len(items)] == items for start in range(len(sent)))


async def test_usage_counts_cached_input_as_input_and_has_a_cost(start: Start) -> None:
    async with start() as talk:
        first, second = await talk.go_on(), await talk.go_on()
    for reply in (first, second):
        assert not reply.usage.estimated
        assert reply.usage.input_tokens
        assert reply.usage.output_tokens
    assert second.usage.cached_tokens
    assert second.usage.input_tokens > second.usage.cached_tokens
    plain = second.usage.input_tokens - second.usage.cached_tokens
    expected = (plain * 1 + second.usage.cached_tokens * 0.1 + second.usage.output_tokens * 10) / 1e6
    assert second.cost_usd == pytest.approx(expected)


async def test_missing_usage_becomes_a_marked_estimate(start: Start) -> None:
    async with start(Fault("no_usage")) as talk:
        reply = await talk.ask()
    assert reply.text == "I look at both places."
    assert reply.usage.estimated
    assert reply.usage.input_tokens
    assert reply.usage.output_tokens
    assert reply.cost_usd is not None


async def test_an_exchange_holds_request_history_and_every_event(start: Start, api: Api) -> None:
    async with start() as talk:
        await talk.go_on()
        await talk.go_on()
        served = talk.server.requests[-1].body or {}
    assert len(talk.exchanges) == 2
    exchange = talk.exchanges[1]
    assert exchange.history_field == _history_field(api)
    assert {**exchange.request, exchange.history_field: list(exchange.history)} == served
    events = [json.loads(line) for line in exchange.response.splitlines() if line != "[DONE]"]
    assert len(events) > 3
    assert exchange.first_event_s is not None


async def test_a_history_only_grows_at_its_end(start: Start) -> None:
    async with start() as talk:
        for _ in range(4):
            await talk.go_on()
    for before, after in zip(talk.exchanges, talk.exchanges[1:], strict=False):
        assert list(after.history[: len(before.history)]) == list(before.history)


async def test_settings_of_the_request_are_the_same_in_every_call(start: Start) -> None:
    async with start() as talk:
        for _ in range(3):
            await talk.go_on()
    assert talk.exchanges[0].request == talk.exchanges[1].request == talk.exchanges[2].request


async def test_a_notice_between_results_and_the_next_call_is_taken(start: Start) -> None:
    async with start() as talk:
        await talk.go_on()
        talk.items.append(user("Half of your time is over."))
        reply = await talk.go_on()
        talk.items.append(user("Hurry."))
        await talk.go_on()
    assert [call.name for call in reply.calls] == ["view_image", "shell"]


async def test_an_empty_reply_is_a_reply_and_the_conversation_goes_on(start: Start) -> None:
    async with start(Fault("empty")) as talk:
        reply = await talk.ask()
        assert (reply.text, reply.calls, reply.stop) == ("", (), "end")
        talk.items += [ReplyItem(reply=reply), user("Please go on.")]
        await talk.ask()
    assert [request.status for request in talk.server.requests] == [200, 200]


async def test_broken_arguments_are_kept_with_their_text_and_can_be_answered(start: Start) -> None:
    async with start(Fault("bad_arguments")) as talk:
        reply = await talk.go_on()
        broken, whole = reply.calls
        assert broken.arguments is None
        assert broken.arguments_text
        assert broken.problem
        assert whole.arguments == {"what": 'grep "é\u2028x" /b'}
        assert (await talk.go_on()).stop == "tools"


async def test_an_unknown_tool_is_a_call_like_any_other(start: Start) -> None:
    async with start(Fault("unknown_tool")) as talk:
        reply = await talk.go_on()
        assert reply.calls[0].name == "no_such_tool"
        assert (await talk.go_on()).stop == "tools"


@pytest.mark.parametrize(("kind", "stop"), [("refusal", "refusal"), ("length", "length")])
async def test_refusals_and_cut_replies_are_values(start: Start, kind: str, stop: str) -> None:
    async with start(Fault(kind)) as talk:  # type: ignore[arg-type]
        reply = await talk.ask()
    assert reply.stop == stop
    assert reply.stop_detail


async def test_the_key_is_in_no_exchange(start: Start) -> None:
    async with start() as talk:
        talk.items = [user(f"Look around. My key is {KEY}.")]
        reply = await talk.ask()
    text = json.dumps([talk.exchanges[0].request, talk.exchanges[0].history]) + talk.exchanges[0].response
    assert KEY not in text
    assert "[redacted key]" in text
    assert reply.usage != Usage()


def _history_field(api: Api) -> str:
    return "input" if api == "openai-responses" else "messages"
