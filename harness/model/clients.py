"""The vendors' clients, kept on a short lead: explicit address and key, no retries, no ambient settings.

Requests go in as ``extra_body``: the clients would otherwise walk every message of the history against their
own type definitions (two seconds for a history of 5 MB). Answers come out as bytes, read by ``streams``.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator, Generator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import cache
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
_PLACEHOLDER = "unused"  # given where a package would otherwise look for a key in the environment


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
    def bearer(self) -> str | None:
        """The value of the ``Authorization`` header."""
        return f"Bearer {self.api_key}" if self.api_key else None

    @property
    def local(self) -> bool:
        """Whether the server is on this machine, so that no proxy can be meant for it."""
        host = urlsplit(self.base_url).hostname or ""
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")


class _OwnHeaders(httpx2.Auth):
    """Decides a request's headers at the last moment before it leaves.

    So neither a variable of the operator's shell can add or change one, nor a package write the key into
    its debug log: the packages never see the key.
    """

    def __init__(self, settings: ModelSettings, own: Mapping[str, str | None], ambient: str) -> None:
        names = [line.partition(":")[0].strip() for line in os.environ.get(ambient, "").split("\n") if ":" in line]
        fixed = {"content-type": "application/json", "accept": "application/json"}
        wanted: dict[str, str | None] = dict.fromkeys((name.lower() for name in names), None)
        wanted |= {**fixed, **own} | {name.lower(): value for name, value in settings.headers.items()}
        self._removed = [name for name, value in wanted.items() if value is None]
        self._set = {name: value for name, value in wanted.items() if value is not None}

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Set and remove headers, then send."""
        for name in self._removed:
            request.headers.pop(name, None)
        request.headers.update(self._set)
        yield request


def _http_client(headers: _OwnHeaders, access: Access) -> httpx2.AsyncClient:
    """Return a transport that follows no redirects and uses the host's proxies, but none to this machine.

    One for both packages: of their own, one follows redirects with the whole request, and one goes through
    the proxies of the environment even when told not to.
    """
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=20)
    return httpx2.AsyncClient(
        auth=headers, timeout=access.timeout, limits=limits, trust_env=not access.local, verify=_trusted()
    )


@cache
def _trusted() -> ssl.SSLContext:
    """Return the host's certificate authorities. Reading them takes 20 ms, too long for every trial anew."""
    return httpx2.create_ssl_context()


class OpenAIClient:
    """The ``openai`` package for Responses and Chat Completions."""

    def __init__(self, settings: ModelSettings, access: Access) -> None:
        import openai

        self.errors: tuple[type[Exception], ...] = (openai.OpenAIError, httpx2.HTTPError, httpx2.StreamError)
        self._api = settings.api
        own = {"authorization": access.bearer, "openai-organization": None, "openai-project": None}
        headers = _OwnHeaders(settings, own, "OPENAI_CUSTOM_HEADERS")
        self._sdk: AsyncOpenAI = openai.AsyncOpenAI(
            api_key=_PLACEHOLDER,
            admin_api_key=_PLACEHOLDER,
            base_url=access.base_url,
            max_retries=0,
            timeout=access.timeout,
            http_client=_http_client(headers, access),
        )

    def send(self, body: Object) -> AbstractAsyncContextManager[Answer]:
        """Post to ``responses`` or ``chat/completions``."""
        name = as_text(body.get("model"))
        if self._api == "openai-responses":
            return self._sdk.responses.with_streaming_response.create(model=name, stream=True, extra_body=body)
        return self._sdk.chat.completions.with_streaming_response.create(
            model=name, messages=[], stream=True, extra_body=body
        )

    async def close(self) -> None:
        """Let go of connections."""
        await self._sdk.close()


class AnthropicClient:
    """The ``anthropic`` package for Messages."""

    def __init__(self, settings: ModelSettings, access: Access) -> None:
        import anthropic

        self.errors: tuple[type[Exception], ...] = (anthropic.AnthropicError, httpx2.HTTPError, httpx2.StreamError)
        bearer = read_options(MessagesOptions, settings).key_header == "authorization"
        own = {
            "authorization": access.bearer if bearer else None,
            "x-api-key": None if bearer else access.api_key,
            "anthropic-version": ANTHROPIC_VERSION,
        }
        headers = _OwnHeaders(settings, own, "ANTHROPIC_CUSTOM_HEADERS")
        self._sdk: AsyncAnthropic = anthropic.AsyncAnthropic(
            api_key=_PLACEHOLDER,
            base_url=access.base_url,
            max_retries=0,
            timeout=access.timeout,
            open_telemetry=False,
            http_client=_http_client(headers, access),
        )

    def send(self, body: Object) -> AbstractAsyncContextManager[Answer]:
        """Post to ``v1/messages``."""
        return self._sdk.messages.with_streaming_response.create(
            model=as_text(body.get("model")), max_tokens=1, messages=[], stream=True, extra_body=body
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
