"""One request and its answer on the wire, broken where a fault wants it; and the log entry that says so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from harness.schema.candidate import Api
from harness.testing.model_server import faults
from harness.testing.model_server.asked import Asked, Dialect
from harness.testing.model_server.http import Connection
from harness.testing.model_server.play import Answer
from harness.testing.model_server.refused import Refused, anthropic_error, openai_error
from harness.testing.players import Fault

_FRAMES_AT_ONCE = 4


@dataclass(kw_only=True)
class ServedRequest:
    """One request as the server's log keeps it.

    ``turn`` and ``number`` (how often this turn of this conversation was asked for) count from 1; they and
    ``conversation`` are ``None`` when the request was refused. ``script`` is ``None`` for unscripted answers.
    ``finished`` is true once the whole answer was handed to the client, ``fault`` the kind of fault played.
    ``remarks`` are doubtful things that the service lets pass, such as thinking that was not sent back.
    ``body`` and ``headers`` are kept only by a server made with ``keep_bodies=True``; keys are left out.
    """

    method: str
    path: str
    request_id: str
    api: Api | None = None
    model: str | None = None
    player: str | None = None
    script: str | None = None
    conversation: str | None = None
    turn: int | None = None
    number: int | None = None
    fault: str | None = None
    status: int | None = None
    error: str = ""
    stream: bool = False
    request_bytes: int = 0
    response_bytes: int = 0
    finished: bool = False
    remarks: tuple[str, ...] = ()
    body: Mapping[str, JsonValue] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Dropped(Exception):  # noqa: N818 - it is wanted
    """The connection is to be closed now."""


class Exchange:
    """Sends one answer and notes in the log what was sent."""

    def __init__(self, connection: Connection, entry: ServedRequest) -> None:
        self._connection = connection
        self.entry = entry

    async def json(
        self, status: int, body: Mapping[str, JsonValue], headers: Mapping[str, str] | None = None
    ) -> None:
        """Send a JSON body."""
        data = json.dumps(body, ensure_ascii=False).encode()
        await self._whole(status, data, "application/json", headers or {})

    async def refuse(self, refused: Refused, *, anthropic: bool) -> None:
        """Send an error in the shape of the protocol that was spoken."""
        self.entry.error = refused.message
        body = anthropic_error(refused, self.entry.request_id) if anthropic else openai_error(refused)
        await self.json(refused.status, body, refused.headers)

    async def reply(self, dialect: Dialect, answer: Answer, asked: Asked) -> None:
        """Send a reply, with the fault that goes with it."""
        fault = answer.fault
        if answer.delay_s:
            await self._connection.silence(answer.delay_s)
        match fault.kind if fault else None:
            case "html":
                await self._whole(502, faults.HTML_PAGE, "text/html", {})
            case "wrong_content_type":
                await self._whole(200, b"upstream connect error\n", "text/plain", {})
            case "drop":
                raise Dropped
            case "stall" if fault:
                await self._connection.silence(fault.stall_s)
                raise Dropped
            case _ if asked.stream:
                await self._stream(dialect, answer, asked)
            case _:
                await self._unstreamed(dialect, answer, asked)

    async def _stream(self, dialect: Dialect, answer: Answer, asked: Asked) -> None:
        fault = answer.fault
        frames = [frame.encode() for frame in faults.bent_frames(fault, dialect, answer.reply, asked)]
        cut = len(frames) // 2 if fault and fault.kind in {"drop_stream", "stall_stream"} else None
        self.entry.status = 200
        headers = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
        await self._connection.start(200, self._ids() | headers)
        sent = frames[:cut]
        for start in range(0, len(sent), _FRAMES_AT_ONCE):
            data = b"".join(sent[start : start + _FRAMES_AT_ONCE])
            self.entry.response_bytes += len(data)
            self.entry.finished = cut is None and start + _FRAMES_AT_ONCE >= len(sent)
            await self._connection.data(data)
        await self._break_off(fault, cut is not None)
        await self._connection.finish()

    async def _unstreamed(self, dialect: Dialect, answer: Answer, asked: Asked) -> None:
        fault = answer.fault
        if fault and fault.kind in {"error_event", "error_frame"}:
            text = "The server had an error while processing your request."
            await self.refuse(
                Refused(500, text, kind="server_error"), anthropic=dialect.api == "anthropic-messages"
            )
            return
        data = json.dumps(dialect.body(answer.reply, asked), ensure_ascii=False).encode()
        if fault and fault.kind in {"bad_json", "no_terminal"}:
            data = data[: len(data) // 2]
        if fault and fault.kind in {"drop_stream", "stall_stream"}:
            self.entry.status = 200
            headers = {"content-type": "application/json", "content-length": str(len(data))}
            await self._connection.start(200, self._ids() | headers)
            await self._connection.data(data[: len(data) // 2])
            await self._break_off(fault, cut=True)
        await self._whole(200, data, "application/json", {})

    async def _break_off(self, fault: Fault | None, cut: bool) -> None:
        if not cut or fault is None:
            return
        if fault.kind == "stall_stream":
            await self._connection.silence(fault.stall_s)
        raise Dropped

    async def _whole(self, status: int, data: bytes, kind: str, headers: Mapping[str, str]) -> None:
        self.entry.status, self.entry.finished = status, True
        self.entry.response_bytes += len(data)
        await self._connection.send(status, {"content-type": kind, **self._ids(), **headers}, data)

    def _ids(self) -> dict[str, str]:
        return {"x-request-id": self.entry.request_id, "request-id": self.entry.request_id}
