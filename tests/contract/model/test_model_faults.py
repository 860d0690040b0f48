"""Each fault ends as its class says, after exactly one request: nothing is tried again behind our back."""

from __future__ import annotations

import socket

import pytest
from model_talk import KEY, PLAYER, Start

from harness.errors import (
    ContextOverflowError,
    ModelAccessError,
    ModelError,
    ModelQuotaError,
    ModelUnavailableError,
)
from harness.testing.players import Fault, Player

pytestmark = pytest.mark.anyio

FAULTS: dict[str, tuple[type[ModelError], int | None]] = {
    "rate_limit": (ModelUnavailableError, 429),
    "payment": (ModelQuotaError, 402),
    "auth": (ModelAccessError, 401),
    "server_error": (ModelUnavailableError, 500),
    "unavailable": (ModelUnavailableError, 503),
    "overloaded": (ModelUnavailableError, 529),
    "context_overflow": (ContextOverflowError, 400),
    "html": (ModelUnavailableError, 502),
    "wrong_content_type": (ModelUnavailableError, None),
    "stall": (ModelUnavailableError, None),
    "stall_stream": (ModelUnavailableError, None),
    "drop": (ModelUnavailableError, None),
    "drop_stream": (ModelUnavailableError, None),
    "no_terminal": (ModelUnavailableError, None),
    "bad_json": (ModelUnavailableError, None),
    "error_event": (ModelUnavailableError, None),
    "error_frame": (ModelUnavailableError, None),
}


@pytest.mark.parametrize("kind", FAULTS)
async def test_a_fault_ends_in_its_class_after_one_request(start: Start, kind: str) -> None:
    expected, status = FAULTS[kind]
    async with start(Fault(kind), idle_timeout_s=0.4) as talk:  # type: ignore[arg-type]
        with pytest.raises(ModelError) as caught:
            await talk.ask()
        assert len(talk.server.requests) == 1
    error = caught.value
    assert type(error) is expected
    assert error.status == status
    assert error.message.startswith("loopback/player-1 failed")
    assert KEY not in f"{error.message} {error.detail}"
    assert len(talk.exchanges) == 1


@pytest.mark.parametrize("kind", ["rate_limit", "drop", "stall", "drop_stream", "bad_json", "error_event"])
async def test_the_next_try_after_a_fault_succeeds(start: Start, kind: str) -> None:
    async with start(Fault(kind), idle_timeout_s=0.4) as talk:  # type: ignore[arg-type]
        with pytest.raises(ModelUnavailableError):
            await talk.ask()
        reply = await talk.ask()
    assert reply.stop == "tools"
    assert len(talk.server.requests) == len(talk.exchanges) == 2


async def test_an_account_without_quota_is_not_a_rate_limit(start: Start) -> None:
    async with start(Fault("quota")) as talk:
        with pytest.raises(ModelQuotaError) as caught:
            await talk.ask()
    assert not caught.value.retryable


async def test_retry_after_is_handed_on(start: Start) -> None:
    async with start(Fault("rate_limit", retry_after_s=7.5)) as talk:
        with pytest.raises(ModelUnavailableError) as caught:
            await talk.ask()
    assert caught.value.retry_after_s == 7.5


async def test_the_total_deadline_ends_a_call_that_still_waits(start: Start) -> None:
    async with start(Fault("stall_stream")) as talk:
        with pytest.raises(ModelUnavailableError, match="no complete reply within"):
            await talk.ask(timeout_s=0.3)
    assert len(talk.exchanges) == 1
    assert talk.exchanges[0].response


async def test_a_wrong_key_and_an_unknown_model_are_access_errors(start: Start) -> None:
    async with start(name="no-such-model") as talk:
        with pytest.raises(ModelAccessError, match="LOOPBACK_KEY"):
            await talk.ask()


async def test_a_conversation_above_the_window_is_an_overflow(start: Start) -> None:
    small = Player(PLAYER.name, scripts=PLAYER.scripts, context_window=100)
    async with start(player=small) as talk:
        with pytest.raises(ContextOverflowError):
            await talk.ask()


async def test_a_body_of_an_error_is_kept_in_exchange_and_detail(start: Start) -> None:
    async with start(Fault("html")) as talk:
        with pytest.raises(ModelUnavailableError, match=r"HTML page .*Bad Gateway") as caught:
            await talk.ask()
    assert "<title>502 Bad Gateway</title>" in caught.value.detail
    assert "<title>502 Bad Gateway</title>" in talk.exchanges[0].response


async def test_a_server_that_is_not_there_is_unavailable(start: Start) -> None:
    with socket.socket() as unused:  # bound but not listening, so that nobody else can answer there
        unused.bind(("127.0.0.1", 0))
        async with start(base_url=f"http://127.0.0.1:{unused.getsockname()[1]}") as talk:
            with pytest.raises(ModelUnavailableError, match="could not be reached"):
                await talk.ask()
    assert len(talk.exchanges) == 1


async def test_the_part_of_a_cut_stream_is_in_the_exchange(start: Start) -> None:
    async with start(Fault("drop_stream")) as talk:
        with pytest.raises(ModelUnavailableError):
            await talk.ask()
    assert talk.exchanges[0].response.startswith("{")
