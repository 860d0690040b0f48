"""Every fault, over every protocol, as the real clients see it; and that the retry after it succeeds."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from harness.testing.model_server import REFUSAL, UNKNOWN_TOOL, ModelServer, running_model_server
from harness.testing.players import Call, Fault, FaultKind, Player, Script, Turn

TURNS = [Turn(say="I look.", calls=[Call("shell", {"command": "ls -la /a/long/path"})]), Turn(say="Done.")]
PROTOCOLS = ["openai-responses", "openai-chat", "anthropic-messages"]

Ask = Callable[[ModelServer], Any]


def ask_responses(server: ModelServer) -> Any:
    with openai.OpenAI(api_key="k", base_url=f"{server.base_url}/v1", max_retries=0, timeout=1.5) as client:
        events = list(client.responses.create(model="p", input="task", stream=True))
        return events[-1]


def ask_chat(server: ModelServer) -> Any:
    with openai.OpenAI(api_key="k", base_url=f"{server.base_url}/v1", max_retries=0, timeout=1.5) as client:
        options: Any = {"include_usage": True}
        messages: Any = [{"role": "user", "content": "task"}]
        with client.chat.completions.stream(model="p", messages=messages, stream_options=options) as stream:
            return stream.get_final_completion()


def ask_messages(server: ModelServer) -> Any:
    with anthropic.Anthropic(api_key="k", base_url=server.base_url, max_retries=0, timeout=1.5) as client:
        messages: Any = [{"role": "user", "content": "task"}]
        with client.messages.stream(model="p", messages=messages, max_tokens=1000) as stream:
            return stream.get_final_message()


ASK: dict[str, Ask] = dict(zip(PROTOCOLS, [ask_responses, ask_chat, ask_messages], strict=True))


@contextmanager
def faulty(kind: FaultKind, **more: Any) -> Iterator[ModelServer]:
    player = Player("p", scripts=[Script(turns=TURNS)])
    with running_model_server([player], faults=[Fault(kind, **more)]) as server:
        yield server


def status_of(caught: Any) -> int:
    return int(caught.value.status_code)


@pytest.mark.parametrize("api", PROTOCOLS)
@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("rate_limit", 429),
        ("payment", 402),
        ("auth", 401),
        ("server_error", 500),
        ("unavailable", 503),
        ("overloaded", 529),
        ("html", 502),
        ("context_overflow", 400),
    ],
)
def test_an_error_answer_is_seen_once_and_the_retry_succeeds(api: str, kind: FaultKind, status: int) -> None:
    with faulty(kind, retry_after_s=0.5) as server:
        with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)) as caught:
            ASK[api](server)
        assert status_of(caught) == status
        if kind == "rate_limit":
            assert caught.value.response.headers["retry-after"] == "0.5"
        if kind == "context_overflow":
            assert "context" in caught.value.message or "prompt is too long: " in caught.value.message
        ASK[api](server)
        assert [(item.status, item.fault, item.number) for item in server.requests] == [
            (status, kind, 1),
            (200, None, 2),
        ]


@pytest.mark.parametrize("api", PROTOCOLS[:2])
def test_an_empty_account_is_a_429_of_its_own_kind_over_openai(api: str) -> None:
    with faulty("quota") as server, pytest.raises(openai.RateLimitError) as caught:
        ASK[api](server)
    assert caught.value.code == caught.value.type == "insufficient_quota"


def test_an_empty_account_is_a_402_over_messages() -> None:
    with faulty("quota") as server, pytest.raises(anthropic.APIStatusError) as caught:
        ask_messages(server)
    assert status_of(caught) == 402
    assert caught.value.body["error"]["type"] == "billing_error"  # type: ignore[index,call-overload]


def test_a_fault_lasts_as_many_requests_as_it_says() -> None:
    with faulty("overloaded", times=3) as server:
        for _ in range(3):
            with pytest.raises(openai.InternalServerError):
                ask_responses(server)
        assert ask_responses(server).type == "response.completed"


def test_faults_of_one_turn_come_one_after_another() -> None:
    turn = Turn(say="x", faults=[Fault("server_error"), Fault("rate_limit", times=2)])
    player = Player("p", scripts=[Script(turns=[turn])])
    with running_model_server(
        [player], faults=[Fault("unavailable", player="p"), Fault("auth", player="q")]
    ) as server:
        for _ in range(4):
            with pytest.raises(openai.APIStatusError):
                ask_chat(server)
        ask_chat(server)
        assert [item.status for item in server.requests] == [503, 500, 429, 429, 200]


def test_a_fault_waits_for_its_turn() -> None:
    with faulty("server_error", turn=2) as server:
        reply = ask_messages(server)
        messages: Any = [
            {"role": "user", "content": "task"},
            {"role": "assistant", "content": [block.to_dict() for block in reply.content]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": reply.content[1].id}]},
        ]
        with anthropic.Anthropic(api_key="k", base_url=server.base_url, max_retries=1) as client:
            assert client.messages.create(model="p", max_tokens=100, messages=messages).stop_reason == "end_turn"
        assert [(item.turn, item.status) for item in server.requests] == [(1, 200), (2, 500), (2, 200)]


@pytest.mark.parametrize("api", PROTOCOLS)
@pytest.mark.parametrize("kind", ["stall", "stall_stream", "drop", "drop_stream"])
def test_a_connection_that_stalls_or_breaks_is_an_error_of_the_transport(api: str, kind: FaultKind) -> None:
    with faulty(kind) as server:
        with pytest.raises((openai.APIConnectionError, anthropic.APIConnectionError, httpx2.TransportError)):
            ASK[api](server)
        assert not server.requests[0].finished
        ASK[api](server)
        assert server.requests[1].finished


@pytest.mark.parametrize("api", PROTOCOLS)
def test_broken_json_in_a_stream_is_seen(api: str) -> None:
    with faulty("bad_json") as server, pytest.raises(ValueError, match=r"Expecting|Unterminated|delimiter|EOF"):
        ASK[api](server)


def test_a_stream_without_its_end_is_silent_over_every_protocol() -> None:
    with faulty("no_terminal", times=3) as server:
        assert ask_responses(server).type == "response.output_item.done"
        assert ask_messages(server).stop_reason is None
        last: Any = None
        with openai.OpenAI(api_key="k", base_url=f"{server.base_url}/v1", max_retries=0) as client:
            messages: Any = [{"role": "user", "content": "task"}]
            for chunk in client.chat.completions.create(model="p", messages=messages, stream=True):
                last = chunk
        assert last.choices[0].finish_reason is None


def test_an_error_inside_a_stream_is_what_each_protocol_has_for_it() -> None:
    with faulty("error_event") as server:
        failed = ask_responses(server)
        assert failed.type == "response.failed"
        assert failed.response.error.code == "server_error"
        assert failed.response.usage is None
        with pytest.raises(openai.APIError, match="The server had an error"):
            ask_chat(server)
        with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
            ask_messages(server)
    with faulty("error_frame") as server:
        assert ask_responses(server).type == "error"


def test_an_empty_reply_is_complete_and_says_nothing() -> None:
    with faulty("empty") as server:
        assert ask_responses(server).response.output == []
        choice = ask_chat(server).choices[0]
        assert (choice.finish_reason, choice.message.content, choice.message.tool_calls) == ("stop", "", None)
        message = ask_messages(server)
        assert (message.stop_reason, message.content) == ("end_turn", [])


def test_missing_usage_is_missing() -> None:
    with faulty("no_usage") as server:
        assert ask_responses(server).response.usage is None
        assert ask_chat(server).usage is None
        assert ask_messages(server).usage.output_tokens == 0


def test_broken_arguments_are_broken_and_an_unknown_tool_is_unknown() -> None:
    with faulty("bad_arguments") as server:
        call = ask_responses(server).response.output[1]
        with pytest.raises(json.JSONDecodeError):
            json.loads(call.arguments)
        assert ask_chat(server).choices[0].finish_reason == "tool_calls"
        assert ask_messages(server).stop_reason == "tool_use"
    with faulty("unknown_tool") as server:
        assert ask_responses(server).response.output[1].name == UNKNOWN_TOOL
        assert ask_chat(server).choices[0].message.tool_calls[0].function.name == UNKNOWN_TOOL
        assert ask_messages(server).content[1].name == UNKNOWN_TOOL


def test_a_refusal_is_said_as_each_protocol_says_it() -> None:
    with faulty("refusal") as server:
        part = ask_responses(server).response.output[0].content[0]
        assert (part.type, part.refusal) == ("refusal", REFUSAL)
        with pytest.raises(openai.ContentFilterFinishReasonError):
            ask_chat(server)
        message = ask_messages(server)
        assert message.stop_reason == "refusal"
        assert message.stop_details.type == "refusal"


def test_a_cut_reply_says_that_it_was_cut() -> None:
    with faulty("length") as server:
        response = ask_responses(server)
        assert response.type == "response.incomplete"
        assert response.response.incomplete_details.reason == "max_output_tokens"
        with pytest.raises(openai.LengthFinishReasonError):
            ask_chat(server)
        assert ask_messages(server).stop_reason == "max_tokens"


@pytest.mark.parametrize("path", ["/v1/responses", "/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("kind", ["bad_json", "wrong_content_type", "drop_stream", "error_event"])
def test_replies_that_are_not_streamed_break_too(path: str, kind: FaultKind) -> None:
    body: Any = {"model": "p", "max_tokens": 99, "messages": [{"role": "user", "content": "task"}]}
    if path == "/v1/responses":
        body = {"model": "p", "input": "task"}
    headers = {"authorization": "Bearer k", "anthropic-version": "2026-10-21"}
    with faulty(kind) as server, httpx2.Client(base_url=server.base_url, headers=headers) as client:
        if kind == "drop_stream":
            with pytest.raises(httpx2.RemoteProtocolError):
                client.post(path, json=body)
        else:
            answer = client.post(path, json=body)
            assert answer.status_code == (500 if kind == "error_event" else 200)
            if kind != "error_event":
                with pytest.raises(json.JSONDecodeError):
                    answer.json()
            assert (answer.headers["content-type"] == "text/plain") == (kind == "wrong_content_type")
        assert client.post(path, json=body).json()["model"] == "p"
