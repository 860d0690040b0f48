"""A terminal that may go away: what is drawn on it is lost then, the run is not."""

from __future__ import annotations

from typing import Any, TextIO


class Enduring:
    """Writes to ``stream`` until that fails, and nowhere afterwards; all else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._gone = False

    def write(self, text: str) -> int:
        """Write, or take the text for written."""
        if not self._gone:
            try:
                return self._stream.write(text)
            except (OSError, ValueError):
                self._gone = True
        return len(text)

    def flush(self) -> None:
        """Flush, if anybody is there."""
        if not self._gone:
            try:
                self._stream.flush()
            except (OSError, ValueError):
                self._gone = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
