"""One turn's question to the model: tries until a reply is complete, each try an event."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import anyio
from pydantic import JsonValue

from harness.errors import ModelError
from harness.ports import Exchange, Model, Recorder
from harness.schema.event import ErrorRecord, ModelCalled
from harness.schema.message import Reply, View
from harness.schema.trouble import error_record

_CUT_OFF = ErrorRecord(
    type="Cancelled", cause="harness", retryable=False, message="The call was cut off: the agent's time was over."
)

RetryDelay = Callable[[ModelError, int], float | None]


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Asks a model for one reply at a time and records every request.

    ``retry_delay`` maps an error and the number of tries so far to seconds, ``None`` to give up.
    """

    model: Model
    recorder: Recorder
    retry_delay: RetryDelay
    history: HistoryLog

    async def ask(self, view: View, *, turn: int, remaining_s: Callable[[], float | None]) -> Reply:
        """Return a complete reply; raises the last ``ModelError`` when no try succeeds."""
        try_number = 1
        while True:
            try:
                return await self._try(view, turn, try_number, remaining_s())
            except _FailedCallError as failed:
                if failed.delay_s is None:
                    raise failed.error from failed
                await anyio.sleep(failed.delay_s)
            try_number += 1

    async def _try(self, view: View, turn: int, try_number: int, timeout_s: float | None) -> Reply:
        exchanges: list[Exchange] = []
        started = time.monotonic()

        def called(error: ErrorRecord | None = None, retry_in_s: float | None = None) -> None:
            duration_s = time.monotonic() - started
            event = ModelCalled(
                turn=turn, try_number=try_number, duration_s=duration_s, error=error, retry_in_s=retry_in_s
            )
            self.recorder.emit(self._with_exchange(event, exchanges[0]) if exchanges else event)

        try:
            reply = await self.model.reply(view, timeout_s=timeout_s, on_exchange=exchanges.append)
        except ModelError as error:
            delay_s = self.retry_delay(error, try_number)
            called(error_record(error), delay_s)
            raise _FailedCallError(error, delay_s) from error
        except anyio.get_cancelled_exc_class():
            called(_CUT_OFF)
            raise
        called()
        return reply

    def _with_exchange(self, event: ModelCalled, exchange: Exchange) -> ModelCalled:
        kept, added = self.history.delta(exchange.history)
        return event.model_copy(
            update={
                "request": dict(exchange.request),
                "history_field": exchange.history_field,
                "history_kept": kept,
                "history_added": added,
                "response": self.recorder.blob(exchange.response.encode(), "application/jsonl"),
                "first_event_s": exchange.first_event_s,
            }
        )


class HistoryLog:
    """Remembers the history of the last request, so that the record holds each item once, not once a turn."""

    def __init__(self) -> None:
        self._last: list[JsonValue] = []

    def delta(self, history: Sequence[JsonValue]) -> tuple[int, tuple[JsonValue, ...]]:
        """Return how many leading items equal those of the last history, and the items after them."""
        kept = 0
        for old, new in zip(self._last, history, strict=False):
            if old is not new and old != new:
                break
            kept += 1
        self._last = list(history)
        return kept, tuple(history[kept:])


class _FailedCallError(Exception):
    def __init__(self, error: ModelError, delay_s: float | None) -> None:
        super().__init__(str(error))
        self.error = error
        self.delay_s = delay_s
