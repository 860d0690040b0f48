"""The loopback model server: paths, keys, models, and the log of what was served."""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from types import TracebackType
from typing import Self
from urllib.parse import unquote

import anyio
from anyio.abc import SocketAttribute, SocketStream
from anyio.from_thread import start_blocking_portal
from pydantic import JsonValue

from harness.schema.candidate import Api
from harness.testing.model_server import catalogue, faults
from harness.testing.model_server.asked import Dialect
from harness.testing.model_server.chat import ChatDialect
from harness.testing.model_server.exchange import Dropped, Exchange, ServedRequest
from harness.testing.model_server.http import ClientGone, Connection, HttpRequest
from harness.testing.model_server.messages import MessagesDialect
from harness.testing.model_server.play import Stage
from harness.testing.model_server.refused import Refused
from harness.testing.model_server.responses import ResponsesDialect
from harness.testing.model_server.seal import Seal
from harness.testing.players import Fault, Player

_LOG = logging.getLogger(__name__)
_DIALECTS: dict[str, Dialect] = {
    "/v1/responses": ResponsesDialect(),
    "/v1/chat/completions": ChatDialect(),
    "/v1/messages": MessagesDialect(),
}
_SECRET_HEADERS = frozenset({"authorization", "x-api-key", "cookie"})
_MAX_MESSAGES_BYTES = 32 * 1024 * 1024
_COUNTERS = {"/v1/responses/input_tokens": "/v1/responses", "/v1/messages/count_tokens": "/v1/messages"}


class ModelServer:
    """A server on a loopback port that plays scripted players over three protocols.

    Use it as ``async with ModelServer(players=…) as server``; ``keys`` ``None`` takes any key that is not
    empty. ``requests`` is the log (the last ``log_size``), ``unscripted`` counts answers without a script,
    ``drifted`` those where a script's expectation was not met.
    """

    def __init__(
        self,
        players: Iterable[Player],
        *,
        keys: Collection[str] | None = None,
        faults: Sequence[Fault] = (),
        host: str = "127.0.0.1",
        port: int = 0,
        keep_bodies: bool = False,
        log_size: int = 20_000,
    ) -> None:
        self.players = {player.name: player for player in players}
        self.requests: deque[ServedRequest] = deque(maxlen=log_size)
        self.unscripted = 0
        self.drifted = 0
        self._keys = None if keys is None else frozenset(keys)
        self._seals = {name: Seal(player.fingerprint) for name, player in self.players.items()}
        self._stage = Stage(faults)
        self._address = (host, port)
        self._keep_bodies = keep_bodies
        self._port: int | None = None
        self._taken = 0
        self._stack = AsyncExitStack()

    @property
    def base_url(self) -> str:
        """The address without a path, as the Anthropic client wants it."""
        return f"http://{self._address[0]}:{self._port}"

    def base_url_for(self, api: Api) -> str:
        """Return the address as the clients of a protocol want it: OpenAI's with ``/v1``."""
        return self.base_url if api == "anthropic-messages" else f"{self.base_url}/v1"

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            host, port = self._address
            listener = await stack.enter_async_context(
                await anyio.create_tcp_listener(local_host=host, local_port=port, backlog=1024)
            )
            tasks = await stack.enter_async_context(anyio.create_task_group())
            self._port = listener.extra(SocketAttribute.local_port)
            tasks.start_soon(listener.serve, self._serve)
            stack.callback(tasks.cancel_scope.cancel)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()  # without the error: a task group would wrap it in an exception group

    async def _serve(self, stream: SocketStream) -> None:
        async with stream:
            connection = Connection(stream)
            try:
                async for request in connection.requests():
                    await self._answer(connection, request)
            except (ClientGone, Dropped):
                return

    async def _answer(self, connection: Connection, request: HttpRequest) -> None:
        self._taken += 1
        entry = ServedRequest(
            method=request.method,
            path=request.path,
            request_id=f"req_{self._taken:024x}",
            request_bytes=len(request.body),
        )
        self.requests.append(entry)
        if self._keep_bodies:
            entry.headers = {key: value for key, value in request.headers.items() if key not in _SECRET_HEADERS}
        exchange = Exchange(connection, entry)
        try:
            await self._route(exchange, request)
        except Refused as refused:
            await exchange.refuse(refused, anthropic=_speaks_anthropic(request))
        except (ClientGone, Dropped):
            entry.finished = False
            raise
        except Exception as error:  # a defect of this server must not look like a dropped connection
            _LOG.exception("The model server failed on %s %s", request.method, request.path)
            if entry.status is None:
                await exchange.refuse(
                    Refused(500, f"The scripted model server is defective: {error!r}"), anthropic=False
                )

    async def _route(self, exchange: Exchange, request: HttpRequest) -> None:
        self._check_key(request)
        path = request.path
        if path == "/v1/models" or path.startswith("/v1/models/"):
            _only("GET", request)
            name = unquote(path.removeprefix("/v1/models").removeprefix("/")) or None
            listing = catalogue.listing(self.players, name, anthropic=_speaks_anthropic(request))
            await exchange.json(200, listing)
            return
        target = _COUNTERS.get(path, path)
        if target not in _DIALECTS:
            text = "Not Found" if _speaks_anthropic(request) else f"Invalid URL ({request.method} {path})"
            raise Refused(404, text)
        _only("POST", request)
        if _speaks_anthropic(request) and len(request.body) > _MAX_MESSAGES_BYTES:
            raise Refused(413, "Request exceeds the maximum allowed number of bytes.")
        await self._ask(exchange, request, target)

    async def _ask(self, exchange: Exchange, request: HttpRequest, path: str) -> None:
        entry, dialect = exchange.entry, _DIALECTS[path]
        entry.api = dialect.api
        body = _json(request)
        if self._keep_bodies:
            entry.body = body
        counting = request.path in _COUNTERS
        if counting and path == "/v1/messages":
            body = {"max_tokens": 1} | body
        player = self._player(body, dialect, entry)
        seal = self._seals[player.name]
        asked = dialect.read(body, request.headers, player, seal)
        if counting:
            kind: dict[str, JsonValue] = {"object": "response.input_tokens"} if path == "/v1/responses" else {}
            await exchange.json(200, kind | {"input_tokens": asked.input_tokens})
            return
        entry.stream, entry.remarks = asked.stream, asked.remarks
        if asked.input_tokens > player.context_window:
            raise dialect.overflow(asked, player.context_window)
        answer = self._stage.answer(player, seal, dialect, asked)
        entry.conversation, entry.turn, entry.number = answer.conversation, answer.turn, answer.number
        entry.script = answer.script if answer.scripted else None
        entry.fault = answer.fault.kind if answer.fault else None
        if answer.fault and (refused := faults.refusal(answer.fault, dialect, asked, player.context_window)):
            raise refused
        self.unscripted += not answer.scripted
        self.drifted += answer.drifted
        self._stage.remember(player, dialect, answer, asked)
        await exchange.reply(dialect, answer, asked)

    def _check_key(self, request: HttpRequest) -> None:
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        key = bearer.strip() if scheme.lower() == "bearer" else ""
        anthropic = _speaks_anthropic(request)
        if anthropic:
            key = key or request.headers.get("x-api-key", "")
        if not key:
            text = "x-api-key header is required" if anthropic else "You didn't provide an API key."
            raise Refused(401, text)
        if self._keys is not None and key not in self._keys:
            shown = f"{key[:3]}***{key[-2:]}" if len(key) > 8 else "***"
            text = "invalid x-api-key" if anthropic else f"Incorrect API key provided: {shown}."
            raise Refused(401, text, code="invalid_api_key")

    def _player(self, body: Mapping[str, JsonValue], dialect: Dialect, entry: ServedRequest) -> Player:
        name = body.get("model")
        if not isinstance(name, str) or not name:
            text = (
                "model: Field required"
                if dialect.api == "anthropic-messages"
                else "you must provide a model parameter"
            )
            raise Refused(400, text, param="model")
        entry.model = name
        player = self.players.get(name)
        if player is None:
            raise catalogue.unknown_model(name, anthropic=dialect.api == "anthropic-messages")
        entry.player = player.name
        return player


@contextmanager
def running_model_server(
    players: Iterable[Player],
    *,
    keys: Collection[str] | None = None,
    faults: Sequence[Fault] = (),
    port: int = 0,
    keep_bodies: bool = False,
) -> Iterator[ModelServer]:
    """Run a server in a thread of its own while the block lasts, for code that is not asynchronous."""
    with start_blocking_portal("asyncio") as portal:
        server = ModelServer(players, keys=keys, faults=faults, port=port, keep_bodies=keep_bodies)
        with portal.wrap_async_context_manager(server):
            yield server


def _speaks_anthropic(request: HttpRequest) -> bool:
    return "anthropic-version" in request.headers or request.path.startswith("/v1/messages")


def _only(method: str, request: HttpRequest) -> None:
    if request.method != method:
        raise Refused(405, f"Invalid method for URL ({request.method} {request.path})")


def _json(request: HttpRequest) -> dict[str, JsonValue]:
    text = "We could not parse the JSON body of your request."
    if request.problem:
        raise Refused(400, f"{text} ({request.problem})")
    try:
        body = json.loads(request.body)
    except ValueError as error:
        raise Refused(400, f"{text} ({error})") from error
    if not isinstance(body, dict):
        raise Refused(400, f"{text} (expected an object)")
    return body
