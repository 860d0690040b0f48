"""The operator's shell cannot redirect a run, change what is sent, or be given away."""

from __future__ import annotations

import pytest
from model_talk import KEY, Start

from harness.schema.candidate import Api
from harness.testing.model_server import running_model_server

pytestmark = pytest.mark.anyio

OTHER_KEY = "sk-ambient-0123456789"


@pytest.fixture
def ambient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set everything that the vendors' packages read from the environment, to lead elsewhere."""
    headers = (
        "X-Ambient: yes\nAuthorization: Bearer stolen\nContent-Type: text/plain\nanthropic-version: 2023-01-01"
    )
    for name, value in {
        "OPENAI_API_KEY": OTHER_KEY,
        "OPENAI_ADMIN_KEY": OTHER_KEY,
        "OPENAI_ORG_ID": "org-ambient",
        "OPENAI_PROJECT_ID": "proj_ambient",
        "OPENAI_CUSTOM_HEADERS": headers,
        "ANTHROPIC_API_KEY": OTHER_KEY,
        "ANTHROPIC_AUTH_TOKEN": OTHER_KEY,
        "ANTHROPIC_CUSTOM_HEADERS": headers,
        "ANTHROPIC_PROFILE": "no-such-profile",
    }.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("ambient")
async def test_ambient_settings_of_the_packages_change_nothing(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_model_server([]) as trap:
        for name in ("OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, trap.base_url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        async with start() as talk:
            await talk.go_on()
            await talk.go_on()
        assert not trap.requests
    headers = talk.server.requests[-1].headers
    assert [request.status for request in talk.server.requests] == [200, 200]
    assert headers["content-type"] == "application/json"
    assert headers.get("anthropic-version") in {None, "2026-10-21"}
    assert not {"x-ambient", "openai-organization", "openai-project"} & set(headers)
    assert OTHER_KEY not in str(headers)


async def test_headers_of_the_candidate_are_sent(start: Start) -> None:
    async with start(headers={"X-Team": "blue", "User-Agent": "bench"}) as talk:
        await talk.ask()
    headers = talk.server.requests[0].headers
    assert headers["x-team"] == "blue"
    assert headers["user-agent"] == "bench"


async def test_effort_reaches_the_model(start: Start, api: Api) -> None:
    async with start(effort="high", max_output_tokens=9_000, options={}) as talk:
        await talk.go_on()
        await talk.go_on()
    body = talk.server.requests[-1].body or {}
    place: dict[Api, tuple[object, object]] = {
        "openai-responses": (body.get("reasoning"), {"effort": "high"}),
        "openai-chat": (body.get("reasoning_effort"), "high"),
        "anthropic-messages": (body.get("output_config"), {"effort": "high"}),
    }
    sent, expected = place[api]
    assert sent == expected
    assert 9_000 in body.values()


async def test_the_messages_key_can_go_in_its_old_header(start: Start, api: Api) -> None:
    if api != "anthropic-messages":
        return
    async with start(options={"key_header": "x-api-key"}) as talk:
        assert (await talk.ask()).stop == "tools"


async def test_no_vendor_logs_the_key(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with start() as talk:
        await talk.ask()
    assert KEY not in caplog.text
