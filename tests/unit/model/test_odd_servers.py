"""Answers that a proper server would not send, over a real connection."""

from __future__ import annotations

import json

import pytest
from raw_server import EVENTS, raw_server, whole

from harness.errors import (
    ContextOverflowError,
    ModelAccessError,
    ModelError,
    ModelQuotaError,
    ModelRequestError,
    ModelUnavailableError,
)
from harness.model import build_model
from harness.ports import Exchange
from harness.schema.candidate import Api, ModelSettings
from harness.schema.message import Reply, TextPart, UserItem, View

pytestmark = pytest.mark.anyio

KEY = "sk-raw-0123456789abcdef"
VIEW = View(system="s", tools=(), items=(UserItem(parts=(TextPart(text="Go."),)),))
CHAT_DONE = b'data: {"id":"c1","choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\n'


def settings(url: str, api: Api = "openai-chat", **fields: object) -> ModelSettings:
    base = {"provider": "raw", "name": "m", "api": api, "base_url": url, "key_env": "RAW_KEY", "priced": False}
    return ModelSettings.model_validate(base | fields)


async def ask(
    answer: bytes, api: Api = "openai-chat", *, api_key: str | None = KEY, idle_timeout_s: float = 5
) -> tuple[Reply, Exchange, str]:
    exchanges: list[Exchange] = []
    async with raw_server([answer]) as server:
        model = build_model(settings(server.url, api), api_key=api_key, idle_timeout_s=idle_timeout_s)
        failure: ModelError | None = None
        try:
            reply = await model.reply(VIEW, timeout_s=10, on_exchange=exchanges.append)
        except ModelError as error:  # raised again outside, as a task group would wrap it
            failure = error
        await model.close()
    if failure is not None:
        raise failure
    return reply, exchanges[0], server.heads[0]


async def test_a_finish_reason_completes_a_chat_stream_that_sends_nothing_more() -> None:
    reply, _, _ = await ask(EVENTS + CHAT_DONE)
    assert (reply.text, reply.stop, reply.usage.estimated) == ("Hi", "end", True)


async def test_comments_and_windows_line_ends_are_passed_over() -> None:
    body = b": OPENROUTER PROCESSING\r\n\r\n" + CHAT_DONE.replace(b"\n", b"\r\n") + b"data: [DONE]\r\n\r\n"
    reply, exchange, _ = await ask(EVENTS + body)
    assert reply.text == "Hi"
    assert exchange.response.splitlines()[-1] == "[DONE]"


async def test_half_an_event_at_the_end_is_no_terminal_event() -> None:
    with pytest.raises(ModelUnavailableError, match="cut off"):
        await ask(EVENTS + b'data: {"choices":[]}\n\n' + CHAT_DONE.rstrip(b"\n"))


async def test_a_chat_stream_without_any_choice_is_no_reply() -> None:
    with pytest.raises(ModelUnavailableError):
        await ask(EVENTS + b'data: {"choices":[],"usage":{"prompt_tokens":3}}\n\ndata: [DONE]\n\n')


async def test_a_stream_with_nothing_in_it_is_no_reply() -> None:
    with pytest.raises(ModelUnavailableError, match="empty"):
        await ask(EVENTS)


async def test_a_server_without_a_key_gets_none() -> None:
    for api in ("openai-chat", "openai-responses", "anthropic-messages"):
        with pytest.raises(ModelUnavailableError):
            await ask(EVENTS, api, api_key=None)
    _, _, head = await ask(EVENTS + CHAT_DONE, api_key=None)
    assert "authorization" not in head
    assert "unused" not in head


async def test_an_html_page_with_status_200_is_no_answer() -> None:
    page = b"<!doctype html>\n<html><head><title>Sign in to the guest network</title></head></html>\n"
    with pytest.raises(ModelUnavailableError, match="Sign in to the guest network"):
        await ask(whole("200 OK", page, "text/html"))


async def test_an_error_body_with_status_200_is_classified() -> None:
    body = b'{"error": {"code": "context_length_exceeded", "message": "too long"}}'
    with pytest.raises(ContextOverflowError, match="too long"):
        await ask(whole("200 OK", body))


async def test_an_event_that_is_no_object_is_malformed() -> None:
    with pytest.raises(ModelUnavailableError, match="not a JSON object"):
        await ask(EVENTS + b'data: ["a"]\n\n')
    with pytest.raises(ModelUnavailableError, match="no JSON object"):
        await ask(EVENTS + b"data: " + b"[" * 200_000 + b"\n\n")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"code": 502, "message": "upstream died"}, ModelUnavailableError),
        ({"code": 402, "message": "no credits"}, ModelQuotaError),
        ({"code": "rate_limit_exceeded", "message": "slow down"}, ModelUnavailableError),
        ({"type": "invalid_request_error", "message": "bad field"}, ModelRequestError),
        ({"message": "This model's maximum context length is 8192 tokens."}, ContextOverflowError),
        ("plain words", ModelUnavailableError),
    ],
)
async def test_an_error_inside_a_stream_is_classified(error: object, expected: type[ModelError]) -> None:
    data = json.dumps({"error": error, "choices": [{"delta": {}, "finish_reason": "error"}]}).encode()
    with pytest.raises(ModelError) as caught:
        await ask(EVENTS + b"data: " + data + b"\n\n")
    assert type(caught.value) is expected


async def test_a_failed_response_is_classified_by_its_code() -> None:
    for code, expected in {
        "server_error": ModelUnavailableError,
        "invalid_prompt": ModelRequestError,
        "context_length_exceeded": ContextOverflowError,
    }.items():
        event = {
            "type": "response.failed",
            "response": {"status": "failed", "error": {"code": code, "message": "x"}},
        }
        with pytest.raises(ModelError) as caught:
            await ask(EVENTS + b"data: " + json.dumps(event).encode() + b"\n\n", "openai-responses")
        assert type(caught.value) is expected


async def test_a_key_echoed_in_an_error_is_redacted_everywhere() -> None:
    body = json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}"}}).encode()
    exchanges: list[Exchange] = []
    async with raw_server([whole("401 Unauthorized", body)]) as server:
        model = build_model(settings(server.url), api_key=KEY)
        with pytest.raises(ModelAccessError, match="RAW_KEY") as caught:
            await model.reply(VIEW, timeout_s=10, on_exchange=exchanges.append)
        await model.close()
    said = f"{caught.value} {caught.value.args} {caught.value.detail} {exchanges[0].response}"
    assert KEY not in said
    assert "[redacted key]" in said


async def test_connections_are_used_again() -> None:
    chunked = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    usage = (
        CHAT_DONE + b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}\n\ndata: [DONE]\n\n'
    )
    answer = chunked + f"{len(usage):x}\r\n".encode() + usage + b"\r\n0\r\n\r\n"
    async with raw_server([answer] * 3) as server:
        model = build_model(settings(server.url), api_key=KEY)
        for _ in range(3):
            reply = await model.reply(VIEW, timeout_s=10, on_exchange=lambda _: None)
            assert reply.usage.output_tokens == 1
        await model.close()
    assert (len(server.heads), server.connections) == (3, 1)


async def test_a_connection_kept_open_after_the_end_does_not_hold_the_reply_up() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: 100000\r\n\r\n"
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}\n\n'
    reply, _, _ = await ask(head + CHAT_DONE + usage, idle_timeout_s=60)
    assert reply.text == "Hi"


async def test_a_character_torn_between_deltas_is_mended() -> None:
    pieces = [
        '{"choices":[{"delta":{"content":"\\ud83e"}}]}',
        '{"choices":[{"delta":{"content":"\\udded \\ud83e"}}]}',
    ]
    body = "".join(f"data: {piece}\n\n" for piece in pieces).encode() + CHAT_DONE
    reply, _, _ = await ask(EVENTS + body)
    assert reply.text == "🧭 \ufffdHi"
    assert reply.model_dump_json()


async def test_a_redirect_is_not_followed() -> None:
    async with raw_server([EVENTS + CHAT_DONE]) as elsewhere:
        answer = whole("307 Temporary Redirect", b"", more=f"location: {elsewhere.url}/v1/chat/completions\r\n")
        failure = None
        try:
            await ask(answer)
        except ModelRequestError as error:
            failure = error
        assert failure is not None
        assert "base URL" in failure.hint
        assert not elsewhere.heads
