"""Follow an Engine API call that answers with a stream of JSON lines: a pull, a build, an import.

Owns the thread that blocks on the socket, and its end when the caller is cancelled: the socket is shut, which
is how the engine learns that a build is not wanted any more. Leaves the meaning of the lines to its callers.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

import anyio
from docker.errors import APIError, DockerException
from docker.types.daemon import CancellableStream
from requests.exceptions import RequestException

from harness.errors import DaemonError

if TYPE_CHECKING:
    from docker import APIClient
    from requests import Response

_CONNECT_S = 10


class EngineRefusalError(Exception):
    """The engine answered with an error: its sentence. Translated by whoever made the call."""


@dataclass(frozen=True, kw_only=True)
class EngineCall:
    """A POST to the engine."""

    path: str
    params: Mapping[str, str | list[str]]
    headers: Mapping[str, str] = field(default_factory=dict)
    body: IO[bytes] | Iterator[bytes] | None = None


@dataclass(frozen=True, kw_only=True)
class StreamItem:
    """One line of the answer, the parts that the harness uses. ``aux_id`` is an image's id."""

    stream: str = ""
    status: str = ""
    layer: str = ""
    error: str = ""
    aux_id: str = ""

    @classmethod
    def from_json(cls, line: bytes) -> StreamItem:
        """Read a line; what is not understood is left empty."""
        try:
            data = json.loads(line)
        except ValueError:
            return cls()
        if not isinstance(data, dict):
            return cls()
        aux = data.get("aux")
        return cls(
            stream=str(data.get("stream") or ""),
            status=str(data.get("status") or ""),
            layer=str(data.get("id") or ""),
            error=str(data.get("error") or data.get("message") or ""),
            aux_id=str(aux.get("ID") or "") if isinstance(aux, dict) else "",
        )


class _Pump:
    """Reads the answer in a thread of its own and hands items to the event loop."""

    def __init__(self, client: APIClient, call: EngineCall) -> None:
        self._client = client
        self._call = call
        self._loop = asyncio.get_running_loop()
        self._response: Response | None = None
        self._stopped = False
        self.items: asyncio.Queue[StreamItem | Exception | None] = asyncio.Queue()

    def start(self) -> None:
        # A daemon thread: an engine that never answers must not hold up the end of the process.
        threading.Thread(target=self._read, name=f"engine {self._call.path}", daemon=True).start()

    def stop(self) -> None:
        self._stopped = True
        if self._response is not None:
            try:
                CancellableStream(None, self._response).close()
            except (OSError, AttributeError, DockerException):
                self._response.close()

    def _read(self) -> None:
        try:
            self._response = self._post()
            if self._stopped:
                self.stop()
            for line in self._response.iter_lines(chunk_size=None):  # type: ignore[call-overload]  # as it arrives
                if line:
                    self._hand_over(StreamItem.from_json(line))
            self._hand_over(None)
        except Exception as error:  # the border of this thread: the event loop raises it
            self._hand_over(error)

    def _post(self) -> Response:
        call, client = self._call, self._client
        response: Response = client.post(
            f"{client.base_url}/v{client.api_version}{call.path}",
            params=dict(call.params),
            headers=dict(call.headers),
            data=call.body,
            stream=True,
            timeout=(_CONNECT_S, None),
        )
        if response.status_code >= 400:
            raise EngineRefusalError(StreamItem.from_json(response.content).error or response.reason)
        return response

    def _hand_over(self, item: StreamItem | Exception | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self.items.put_nowait, item)
        except RuntimeError:  # the loop is closed: nobody listens any more
            self._stopped = True


async def follow(
    client: APIClient,
    call: EngineCall,
    on_item: Callable[[StreamItem], None],
    *,
    answer_s: float | None = None,
) -> None:
    """Make the call and hear its answer to the end.

    Raises ``TimeoutError`` when nothing is heard within ``answer_s``, ``EngineRefusalError`` with the engine's
    sentence, ``DaemonError`` when the engine is away. Cancelled, it hangs up.
    """
    pump = _Pump(client, call)
    pump.start()
    try:
        with anyio.fail_after(answer_s):
            item = await pump.items.get()
        while item is not None:
            if isinstance(item, Exception):
                raise _translated(item)
            if item.error:
                raise EngineRefusalError(item.error)
            on_item(item)
            item = await pump.items.get()
    finally:
        pump.stop()


def _translated(error: Exception) -> Exception:
    if isinstance(error, (APIError, DockerException, RequestException, OSError)):
        return DaemonError(
            f"The Docker Engine stopped answering: {error}.", hint="See `harness doctor` for what is wrong with it."
        )
    return error
