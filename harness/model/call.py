"""One call of a model: send, read to the terminal event, keep what was said, translate what went wrong.

Owns deadlines, the exchange and the errors of every protocol. Retries are the caller's.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import anyio
from pydantic import JsonValue

from harness.errors import ModelError, ModelUnavailableError
from harness.model.clients import Client, fault_of
from harness.model.faults import Fault, ProviderFault, fault_of_object, fault_of_status, model_error
from harness.model.pricing import cost_usd
from harness.model.reading import Object, parse_object
from harness.model.streams import Received, read_events
from harness.model.wire import Fold, ItemMemo, Wire, estimated
from harness.ports import Exchange
from harness.schema.candidate import ModelSettings
from harness.schema.message import Reply, View

_USAGE_FOLLOWS_S = 5.0
_END_FOLLOWS_S = 0.25
_DONE = "[DONE]"
_SHORTEST_SECRET = 8  # anything shorter would be found, and cut out, in ordinary text
REDACTED = "[redacted key]"


@dataclass
class _Trace:
    """What one call saw so far."""

    started: float = field(default_factory=time.monotonic)
    first_event_s: float | None = None
    received: Received = field(default_factory=Received)
    error_body: str = ""


class StreamedModel:
    """A provider's model behind a wire protocol and a client."""

    def __init__(self, settings: ModelSettings, wire: Wire, client: Client, *, secret: str | None = None) -> None:
        self._settings = settings
        self._wire = wire
        self._client = client
        self._secret = secret if secret and len(secret) >= _SHORTEST_SECRET else None
        self._tainted = ItemMemo(lambda item: self._secret is not None and self._secret in item.model_dump_json())

    async def reply(self, view: View, *, timeout_s: float | None, on_exchange: Callable[[Exchange], None]) -> Reply:
        """Ask for one reply: one request, one exchange, and a reply or the error that fits."""
        body = self._wire.body(view)
        trace = _Trace()
        try:
            return await self._within(timeout_s, body, trace)
        finally:
            on_exchange(self._exchange(body, trace, tainted=any(self._tainted.of(view.items))))

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.close()

    async def _within(self, timeout_s: float | None, body: Object, trace: _Trace) -> Reply:
        with anyio.move_on_after(timeout_s):
            try:
                return await self._ask(body, trace)
            except ProviderFault as fault:
                raise self._translated(fault.fault, trace) from fault
            except self._client.errors as error:
                raise self._translated(fault_of(error), trace) from error
        raise ModelUnavailableError(f"{self._name} gave no complete reply within {timeout_s or 0:.0f} s.")

    async def _ask(self, body: Object, trace: _Trace) -> Reply:
        fold = self._wire.fold()
        async with (
            self._client.send(body) as answer,
            contextlib.aclosing(read_events(answer.iter_bytes(), trace.received)) as events,
        ):
            await self._read(events, fold, trace)
        if not fold.complete:
            raise ProviderFault(_unfinished(trace.received))
        reply = fold.reply()
        usage = reply.usage
        if usage.input_tokens is None or usage.output_tokens is None:
            usage = estimated(usage, body, reply)
        return reply.model_copy(update={"usage": usage, "cost_usd": cost_usd(self._settings, usage)})

    async def _read(self, events: AsyncIterator[str], fold: Fold, trace: _Trace) -> None:
        async for data in events:
            if trace.first_event_s is None:
                trace.first_event_s = time.monotonic() - trace.started
            _take(data, fold)
            if fold.complete:
                break
        if fold.complete:
            with contextlib.suppress(ProviderFault, *self._client.errors):
                await _read_rest(events, fold)

    def _translated(self, fault: Fault, trace: _Trace) -> ModelError:
        trace.error_body = fault.body
        error = model_error(fault, who=self._name, key_name=self._settings.key_env)
        error.message, error.detail = self._redacted(error.message), self._redacted(error.detail)
        error.args = (error.message,)
        return error

    def _exchange(self, body: Object, trace: _Trace, *, tainted: bool) -> Exchange:
        name = self._wire.history_field
        history = body.get(name)
        items = history if isinstance(history, list) else []
        return Exchange(
            request={key: self._clean(value) for key, value in body.items() if key != name},
            history_field=name,
            history=[self._clean(item) for item in items] if tainted else items,
            response=self._redacted(trace.received.text() or trace.error_body),
            first_event_s=trace.first_event_s,
        )

    def _clean(self, value: JsonValue) -> JsonValue:
        match value:
            case str():
                return self._redacted(value)
            case dict():
                return {self._redacted(key): self._clean(item) for key, item in value.items()}
            case list():
                return [self._clean(item) for item in value]
            case _:
                return value

    def _redacted(self, text: str) -> str:
        return text if self._secret is None else text.replace(self._secret, REDACTED)

    @property
    def _name(self) -> str:
        return f"{self._settings.provider}/{self._settings.name}"


async def _read_rest(events: AsyncIterator[str], fold: Fold) -> None:
    """Read on after the terminal event: usage may follow, and a connection read to its end is used again."""
    with anyio.move_on_after(_USAGE_FOLLOWS_S):
        while not fold.closing:
            data = await anext(events, _DONE)
            if data == _DONE:
                break
            _take(data, fold)
    with anyio.move_on_after(_END_FOLLOWS_S):
        async for _ in events:
            pass


def _take(data: str, fold: Fold) -> None:
    if data == _DONE:
        return
    try:
        event = parse_object(data)
    except ValueError as error:
        fault = Fault(message=f"the stream holds an event that is no JSON object ({error})", code="malformed")
        raise ProviderFault(fault) from error
    fold.add(event)


def _unfinished(received: Received) -> Fault:
    """Say why a stream without its terminal event is no answer."""
    if received.events:
        return Fault(message="the stream ended without its terminal event; it was cut off", code="cut")
    if not received.stray.strip():
        return Fault(message="the answer was empty", code="empty")
    try:
        error = parse_object(received.stray).get("error")
    except ValueError:
        error = None
    if error:
        return fault_of_object(error, received.stray)
    told = fault_of_status(0, {}, received.stray)
    return Fault(message=f"the answer is no event stream but {told.message}", code="malformed", body=received.stray)
