"""The Docker Engine: one client per run, its calls in threads, attached processes in the event loop.

Owns finding the engine, translating its errors, and the raw stream of an attached process. Leaves to others what
is asked of it.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import ParamSpec, TypeVar
from urllib.parse import urlsplit

import anyio
import docker
from docker.errors import APIError, DockerException, NotFound
from requests.exceptions import ConnectionError as RequestsConnectionError
from requests.exceptions import RequestException, Timeout

from harness.errors import DaemonError, SandboxError, SandboxGoneError
from harness.sandbox.streams import Attached, Receiver

P = ParamSpec("P")
T = TypeVar("T")

_THREADS = 24
_TIMEOUT_S = 120
_CONNECT_S = 20.0
_AWAY_HINT = "Is it running, and may you use it? `harness doctor --fix` can set it up; DOCKER_HOST picks another."
_NO_SUCH_PATH = (": not a directory", "too many links")
"""A file where a path has a folder, a link that leads in a circle: nothing is at such a path."""


class NotThereError(SandboxError):
    """The engine has no such path, image or exec."""


@asynccontextmanager
async def open_engine() -> AsyncIterator[Engine]:
    """Find the engine as the ``docker`` command does (DOCKER_HOST, then contexts) and connect to it.

    Raises ``DaemonError`` when it is away or refuses us.
    """
    try:
        client = await anyio.to_thread.run_sync(
            partial(docker.from_env, version="auto", timeout=_TIMEOUT_S, max_pool_size=_THREADS)
        )
    except (DockerException, RequestException, OSError, ValueError) as error:
        raise DaemonError(f"The Docker Engine does not answer: {error}.", hint=_AWAY_HINT) from error
    try:
        yield Engine(client.api)
    finally:
        client.close()


class Engine:
    """A thin asynchronous face of the Docker SDK's low-level client. Safe to use from many tasks at once."""

    def __init__(self, api: docker.APIClient) -> None:
        self.api = api
        self._threads = anyio.CapacityLimiter(_THREADS)

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one of the client's methods in a thread, its errors translated."""
        return await anyio.to_thread.run_sync(
            partial(translated, partial(function, *args, **kwargs)), abandon_on_cancel=True, limiter=self._threads
        )

    async def attach(self, exec_id: str, receiver: Receiver) -> Attached:
        """Start an exec and attach to it; ``receiver`` hears its output in the event loop.

        Written against the protocol itself because the SDK's socket blocks a thread for as long as it is open.
        """
        loop = asyncio.get_running_loop()
        protocol = _ExecStream(receiver, loop.create_future())
        try:
            async with asyncio.timeout(_CONNECT_S):
                transport = await self._connect(loop, protocol)
                try:
                    transport.write(self._start_request(exec_id))
                    await protocol.accepted
                except BaseException:
                    transport.abort()
                    raise
        except OSError as error:  # includes TimeoutError
            raise DaemonError(f"The Docker Engine went away: {error}.", hint=_AWAY_HINT) from error
        return protocol

    async def _connect(self, loop: asyncio.AbstractEventLoop, protocol: _ExecStream) -> asyncio.Transport:
        url = urlsplit(self.api.base_url)
        if url.scheme == "http+docker":
            path = getattr(self.api.get_adapter(self.api.base_url), "socket_path", None)
            if path is None:
                raise DaemonError(
                    f"The Docker Engine at {self.api.base_url} is reached in a way that sessions cannot use.",
                    hint="Forward its socket (ssh -L /tmp/docker.sock:/var/run/docker.sock) and set DOCKER_HOST.",
                )
            transport, _ = await loop.create_unix_connection(lambda: protocol, path)
            return transport
        secure = self._tls() if url.scheme == "https" else None
        port = url.port or (2376 if secure else 2375)
        transport, _ = await loop.create_connection(lambda: protocol, url.hostname, port, ssl=secure)
        return transport

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if isinstance(self.api.verify, str):
            context.load_verify_locations(self.api.verify)
        elif not self.api.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.api.cert:
            context.load_cert_chain(*self.api.cert)
        return context

    def _start_request(self, exec_id: str) -> bytes:
        body = json.dumps({"Detach": False, "Tty": False}).encode()
        head = (
            f"POST /v{self.api.api_version}/exec/{exec_id}/start HTTP/1.1\r\nHost: docker\r\n"
            "Content-Type: application/json\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


def translated(function: Callable[[], T]) -> T:
    """Call the SDK, its errors translated; for code that is in a thread already."""
    try:
        return function()
    except APIError as error:
        raise _engine_error(error) from error
    except Timeout as error:
        raise DaemonError(f"The Docker Engine did not answer in {_TIMEOUT_S} s.", hint=_AWAY_HINT) from error
    except RequestsConnectionError as error:
        raise DaemonError(f"The Docker Engine went away: {error}.", hint=_AWAY_HINT) from error
    except (DockerException, RequestException) as error:
        raise SandboxError(f"The Docker Engine could not be used: {error}.") from error


def _engine_error(error: APIError) -> SandboxError:
    text = str(error.explanation or error).strip().rstrip(".")
    gone = ("No such container", "is not running", "marked for removal", "container not running")
    if any(words in text for words in gone):
        return SandboxGoneError(f"The container is gone: {text}.", hint="It was removed, killed or stopped.")
    if text.endswith("unpause the container before exec"):
        return SandboxGoneError(
            "The container was paused from outside.", hint="Another attempt gets one of its own."
        )
    if isinstance(error, NotFound) or any(words in text for words in _NO_SUCH_PATH):
        return NotThereError(f"The Docker Engine says: {text}.")
    return SandboxError(f"The Docker Engine says: {text}.")


class _ExecStream(asyncio.Protocol):
    """An attached process: HTTP's answer first, then frames of 8 bytes of header and their payload."""

    def __init__(self, receiver: Receiver, accepted: asyncio.Future[None]) -> None:
        self.accepted = accepted
        self._receiver = receiver
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._refusal = b""
        self._frame = 0  # payload bytes still to come
        self._stream = 1

    def write(self, data: bytes) -> None:
        """Send to the process's standard input."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """Hang up; the process is not killed by it."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self.accepted.done():
            self._frames(data)
            return
        self._buffer += data
        head, found, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        if not found:
            return
        status = head.split(b" ", 2)[1:2]
        if status not in ([b"101"], [b"200"]):
            self._refusal = bytes(self._buffer)
            return
        self._buffer.clear()
        self.accepted.set_result(None)
        self._frames(rest)

    def _frames(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            if self._frame:
                payload = view[: self._frame]
                self._frame -= len(payload)
                view = view[len(payload) :]
                self._receiver.received(self._stream, bytes(payload))
                continue
            needed = 8 - len(self._buffer)
            self._buffer += view[:needed]
            view = view[needed:]
            if len(self._buffer) == 8:
                self._stream = self._buffer[0]
                self._frame = int.from_bytes(self._buffer[4:], "big")
                self._buffer.clear()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.accepted.done():
            self._receiver.ended()
            return
        text = (self._refusal or bytes(self._buffer)).decode(errors="replace")
        says = text.partition("\r\n\r\n")[2].strip() or str(exc or "it hung up")
        if "not running" in says or "No such" in says:
            self.accepted.set_exception(SandboxGoneError(f"The container is gone: {says}."))
        else:
            self.accepted.set_exception(SandboxError(f"A process could not be started in the container: {says}."))
