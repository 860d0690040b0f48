"""HTTP/1.1 on one connection: requests in, answers out. What they mean is ``server``'s business."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import anyio
import h11
from anyio.abc import ByteStream

MAX_BODY_BYTES = 256 * 1024 * 1024
_READ_BYTES = 64 * 1024


class ClientGone(Exception):  # noqa: N818 - clients may leave at any time
    """The client closed the connection, or spoke no HTTP."""


@dataclass(frozen=True, kw_only=True)
class HttpRequest:
    """One request, read to its end. Header names are in lower case; ``body`` is unpacked."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    problem: str = ""


class Connection:
    """One client's connection."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.SERVER)

    async def requests(self) -> AsyncIterator[HttpRequest]:
        """Yield requests until the client or an answer ends the connection."""
        while True:
            request = await self._next_request()
            if request is None:
                return
            yield request
            if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                return
            self._http.start_next_cycle()

    async def send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Send a whole answer."""
        await self.start(status, {**headers, "content-length": str(len(body))})
        await self._write(h11.Data(data=body))
        await self.finish()

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send status and headers; without a content length the body is chunked."""
        await self._write(h11.Response(status_code=status, headers=list(headers.items())))

    async def data(self, data: bytes) -> None:
        """Send a piece of the body."""
        await self._write(h11.Data(data=data))

    async def finish(self) -> None:
        """End the body."""
        await self._write(h11.EndOfMessage())

    async def silence(self, seconds: float) -> None:
        """Send nothing for a while; raise ``ClientGone`` as soon as the client leaves."""
        with anyio.move_on_after(seconds):
            while await self._receive():
                pass
            raise ClientGone

    async def _next_request(self) -> HttpRequest | None:
        head: h11.Request | None = None
        body = bytearray()
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                raise ClientGone from error
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    await self._write(h11.InformationalResponse(status_code=100, headers=[]))
                self._http.receive_data(await self._receive())
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
                if len(body) > MAX_BODY_BYTES:
                    raise ClientGone
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return _request(head, bytes(body))
            else:
                return None

    async def _receive(self) -> bytes:
        try:
            return await self._stream.receive(_READ_BYTES)
        except anyio.EndOfStream:
            return b""
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise ClientGone from error

    async def _write(self, event: h11.Event) -> None:
        data = self._http.send(event)
        if not data:
            return
        try:
            await self._stream.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as error:
            raise ClientGone from error


def _request(head: h11.Request, body: bytes) -> HttpRequest:
    headers = {name.decode("ascii").lower(): value.decode("latin-1") for name, value in head.headers}
    problem = ""
    encoding = headers.get("content-encoding", "identity")
    try:
        if encoding == "gzip":
            body = gzip.decompress(body)
        elif encoding == "deflate":
            body = zlib.decompress(body)
        elif encoding != "identity":
            problem = f"content-encoding {encoding} is not supported"
    except (OSError, EOFError, zlib.error) as error:
        problem = f"the body is not valid {encoding}: {error}"
    path = urlsplit(head.target.decode("ascii", "replace")).path
    return HttpRequest(method=head.method.decode("ascii"), path=path, headers=headers, body=body, problem=problem)
