"""Output of processes: who hears it, and how much of it is kept.

Owns the two small interfaces between a process and its reader, and cutting the middle out of long output.
"""

from __future__ import annotations

from typing import Protocol

STDOUT = 1
STDERR = 2
_CONTINUING = bytes(range(0x80, 0xC0))


class Receiver(Protocol):
    """Hears an attached process, in the event loop. Must not block."""

    def received(self, stream: int, data: bytes) -> None:
        """Take a piece of standard output (1) or error (2)."""
        ...

    def ended(self) -> None:
        """Hear that nothing more will come."""
        ...


class Attached(Protocol):
    """The writing end of an attached process."""

    def write(self, data: bytes) -> None:
        """Send to its standard input."""
        ...

    def close(self) -> None:
        """Hang up. The process is not killed by it."""
        ...


class HeadAndTail:
    """Keeps the first and the last bytes of a stream of any length in bounded memory."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.total = 0
        self._start = bytearray()
        self._end = bytearray()

    def add(self, data: bytes) -> None:
        """Take the next piece."""
        self.total += len(data)
        room = self.limit - len(self._start)
        if room > 0:
            self._start += data[:room]
            data = data[room:]
        self._end += data
        if len(self._end) > 2 * self.limit:
            del self._end[: -self.limit]

    def text(self) -> str:
        """Return the whole as text, or its head and tail around a line that says how much is left out."""
        return clipped(bytes(self._start), bytes(self._end), self.total, self.limit)


def clipped(start: bytes, end: bytes, total: int, limit: int) -> str:
    """Return ``start + end`` as text if that is everything and within ``limit``, else its head and tail.

    UTF-8 with replacement; a character that the cut goes through is left out.
    """
    if total <= limit:
        return (start + end)[:limit].decode(errors="replace")
    half = limit // 2
    head = start[:half]
    tail = (start + end)[-half:] if half else b""
    cut_head = head[: _whole_characters(head)]
    cut_tail = tail[len(tail[:3]) - len(tail[:3].lstrip(_CONTINUING)) :]
    left_out = total - len(cut_head) - len(cut_tail)
    head_text, tail_text = cut_head.decode(errors="replace"), cut_tail.decode(errors="replace")
    return f"{head_text}\n[… {left_out} bytes left out …]\n{tail_text}"


def _whole_characters(data: bytes) -> int:
    """Return where the last UTF-8 character that is complete ends."""
    for back in range(1, min(4, len(data)) + 1):
        byte = data[-back]
        if byte < 0x80:
            break
        if byte >= 0xC0:
            needed = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return len(data) - back if back < needed else len(data)
    return len(data)
