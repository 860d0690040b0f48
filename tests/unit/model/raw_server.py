"""A server that answers with bytes exactly as given: for what no proper server would send."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
from anyio.abc import SocketAttribute, SocketStream

EVENTS = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"


@dataclass
class RawServer:
    """What it heard: the heads of requests, and how many connections they came over."""

    url: str = ""
    heads: list[str] = field(default_factory=list)
    connections: int = 0


def whole(status: str, body: bytes, content_type: str = "application/json", more: str = "") -> bytes:
    """Return a complete answer that leaves the connection open."""
    head = f"HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


@asynccontextmanager
async def raw_server(answers: Sequence[bytes]) -> AsyncIterator[RawServer]:
    """Answer the n-th request with the n-th bytes; an answer with ``connection: close`` ends its connection."""
    server = RawServer()
    left = list(answers)

    async def serve(stream: SocketStream) -> None:
        server.connections += 1
        async with stream:
            while left:
                head = await _read_request(stream)
                if head is None:
                    return
                server.heads.append(head)
                answer = left.pop(0)
                await stream.send(answer)
                if b"connection: close" in answer:
                    return

    async with anyio.create_task_group() as tasks:
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=0)
        server.url = f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
        tasks.start_soon(listener.serve, serve)
        yield server
        tasks.cancel_scope.cancel()


async def _read_request(stream: SocketStream) -> str | None:
    data = b""
    while b"\r\n\r\n" not in data:
        try:
            data += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return None
    head, _, body = data.partition(b"\r\n\r\n")
    text = head.decode("latin-1").lower()
    length = int(text.split("content-length:")[1].split("\r\n")[0])
    while len(body) < length:
        body += await stream.receive()
    return text
