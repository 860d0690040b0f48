"""The vendors' clients, kept on a short lead: explicit address and key, no retries, no ambient settings.

Requests go in as ``extra_body``: the clients would otherwise walk every message of the history against their
own type definitions (two seconds for a history of 5 MB). Answers come out as bytes, read by ``streams``.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

import httpx2

from harness.model.faults import Fault, fault_of_status
from harness.model.options import MessagesOptions, read_options
from harness.model.reading import Object, as_text
from harness.schema.candidate import ModelSettings

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic
    from openai import AsyncOpenAI

CONNECT_TIMEOUT_S = 30.0
ANTHROPIC_VERSION = "2026-10-21"


class Answer(Protocol):
    """A response whose status was good and whose body was not read yet."""

    def iter_bytes(self) -> AsyncIterator[bytes]:
        """Yield the body as it arrives, decompressed."""
        ...


class Client(Protocol):
    """Sends one request at a time over connections that it keeps."""

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """Everything that sending and reading may raise."""
        ...

    def send(self, body: Object) -> AbstractAsyncContextManager[Answer]:
        """Send a request; the answer's body is read inside the block."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


@dataclass(frozen=True, kw_only=True)
class Access:
    """Where a model is and how to get in. ``api_key`` ``None`` sends no key at all."""

    base_url: str
    api_key: str | None
    idle_timeout_s: float

    @property
    def timeout(self) -> httpx2.Timeout:
        """Deadlines of the transport: any byte from the server resets the one that counts."""
        return httpx2.Timeout(self.idle_timeout_s, connect=min(CONNECT_TIMEOUT_S, self.idle_timeout_s))

    @property
    def local(self) -> bool:
        """Whether the server is on this machine, so that no proxy can be meant for it."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")


def _ambient_names(variable: str) -> list[str]:
    """Return the header names that a client would take from this variable."""
    lines = os.environ.get(variable, "").split("\n")
    return [line.split(":", 1)[0].strip() for line in lines if ":" in line]


def _headers(
    settings: ModelSettings, own: Mapping[str, object], ambient: list[str], nothing: object
) -> dict[str, str]:
    """Return the headers of every request: ambient ones removed, then ours, then the candidate's."""
    layers: dict[str, object] = dict.fromkeys((name.lower() for name in ambient), nothing)
    layers |= {"content-type": "application/json", "accept": "application/json"}
    layers |= {name.lower(): value for name, value in own.items()}
    layers |= {name.lower(): value for name, value in settings.headers.items()}
    return layers  # type: ignore[return-value]  # both clients take their Omit among the values


class OpenAIClient:
    """The ``openai`` package for Responses and Chat Completions."""

    def __init__(self, settings: ModelSettings, access: Access) -> None:
        import openai

        self.errors: tuple[type[Exception], ...] = (openai.OpenAIError, httpx2.HTTPError, httpx2.StreamError)
        self._settings = settings
        self._sdk: AsyncOpenAI = openai.AsyncOpenAI(
            api_key=access.api_key or "unused",
            admin_api_key="unused",
            base_url=access.base_url,
            max_retries=0,
            timeout=access.timeout,
            http_client=openai.DefaultAsyncHttpxClient(trust_env=False) if access.local else None,
        )
        nothing = openai.Omit()
        own = {
            "authorization": f"Bearer {access.api_key}" if access.api_key else nothing,
            "openai-organization": nothing,
            "openai-project": nothing,
        }
        self._headers = _headers(settings, own, _ambient_names("OPENAI_CUSTOM_HEADERS"), nothing)

    def send(self, body: Object) -> AbstractAsyncContextManager[Answer]:
        """Post to ``responses`` or ``chat/completions``."""
        name = as_text(body.get("model"))
        if self._settings.api == "openai-responses":
            return self._sdk.responses.with_streaming_response.create(
                model=name, stream=True, extra_body=body, extra_headers=self._headers
            )
        return self._sdk.chat.completions.with_streaming_response.create(
            model=name, messages=[], stream=True, extra_body=body, extra_headers=self._headers
        )

    async def close(self) -> None:
        """Let go of connections."""
        await self._sdk.close()


class AnthropicClient:
    """The ``anthropic`` package for Messages."""

    def __init__(self, settings: ModelSettings, access: Access) -> None:
        import anthropic

        self.errors: tuple[type[Exception], ...] = (anthropic.AnthropicError, httpx2.HTTPError, httpx2.StreamError)
        self._sdk: AsyncAnthropic = anthropic.AsyncAnthropic(
            api_key=access.api_key or "unused",
            base_url=access.base_url,
            max_retries=0,
            timeout=access.timeout,
            open_telemetry=False,
            http_client=anthropic.DefaultAsyncHttpxClient(trust_env=False) if access.local else None,
        )
        nothing = anthropic.omit
        bearer = read_options(MessagesOptions, settings).key_header == "authorization"
        own = {
            "authorization": f"Bearer {access.api_key}" if access.api_key and bearer else nothing,
            "x-api-key": access.api_key if access.api_key and not bearer else nothing,
            "anthropic-version": ANTHROPIC_VERSION,
        }
        self._headers = _headers(settings, own, _ambient_names("ANTHROPIC_CUSTOM_HEADERS"), nothing)

    def send(self, body: Object) -> AbstractAsyncContextManager[Answer]:
        """Post to ``v1/messages``."""
        return self._sdk.messages.with_streaming_response.create(
            model=as_text(body.get("model")),
            max_tokens=1,
            messages=[],
            stream=True,
            extra_body=body,
            extra_headers=self._headers,
        )

    async def close(self) -> None:
        """Let go of connections."""
        await self._sdk.close()


def fault_of(error: Exception) -> Fault:
    """Read a fault from what a client raised."""
    response = getattr(error, "response", None)
    if isinstance(response, httpx2.Response):
        body = response.text if response.is_stream_consumed else ""
        return fault_of_status(response.status_code, response.headers, body)
    cause = error.__cause__ or error
    words = str(cause).strip() or type(cause).__name__
    match cause:
        case httpx2.ConnectTimeout():
            return Fault(message="the server could not be reached in time", code="timeout")
        case httpx2.TimeoutException():
            return Fault(message="the server sent nothing for too long", code="timeout")
        case httpx2.ConnectError():
            return Fault(message=f"the server could not be reached ({words})", code="connection")
        case _:
            return Fault(message=f"the connection broke ({words})", code="connection")
