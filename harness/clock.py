"""The wall clock as the record writes it."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> str:
    """Return now in UTC as ISO 8601 with milliseconds (``2026-01-31T09:00:00.000Z``)."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
