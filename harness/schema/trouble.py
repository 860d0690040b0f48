"""Turning an exception into the record of an error."""

from __future__ import annotations

from harness.errors import HarnessError
from harness.schema.event import ErrorRecord

_DETAIL_CHARS = 8_000


def error_record(error: BaseException) -> ErrorRecord:
    """Return the error as data; what is not ours is booked on the harness, never on the model."""
    if isinstance(error, HarnessError):
        return ErrorRecord(
            type=type(error).__name__,
            cause=error.cause,
            retryable=error.retryable,
            reach=error.reach,
            message=error.message,
            hint=error.hint,
            detail=error.detail[-_DETAIL_CHARS:],
        )
    return ErrorRecord(
        type=type(error).__name__,
        cause="harness",
        retryable=False,
        message=f"Unexpected {type(error).__name__}: {error}",
        hint="This is a defect of the harness; please report it with the record of the attempt.",
    )
