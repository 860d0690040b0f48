"""Hostile text made harmless to read, and numbers made readable. Escaping for a format is that format's own.

Model output, tool output, names of tasks: all of it may try to mislead whoever looks at it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

_ESCAPES = re.compile(
    r"""
    \x1b\][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?     # operating system commands: titles, links
    | \x1b[PX^_][^\x1b\x9c]*(?:\x1b\\|\x9c)?        # device control and other strings
    | (?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?             # colours, cursor, modes
    | \x1b[ -/]*[0-~]?                              # everything else that an escape starts
    """,
    re.VERBOSE,
)
_ODD = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)


def clean(text: str) -> str:
    """Return ``text`` without terminal escapes, and with everything visible that would hide or turn text.

    Line ends become line feeds; controls show as ``␀``-like pictures, bidi controls, zero-width marks and tag
    characters as ``⟦U+202E⟧``, broken surrogates as ``\ufffd``. Tabs and line feeds stay.
    """
    if text.isprintable():
        return text
    plain = _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return _ODD.sub(_picture, plain)


def _picture(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if 0xD800 <= code <= 0xDFFF:
        return "\ufffd"
    return f"\u27e6U+{code:04X}\u27e7"


def one_line(text: str, limit: int = 200) -> str:
    """Return cleaned text as one line of at most ``limit`` characters."""
    line = " ".join(clean(text).split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def head_and_tail(text: str, *, head: int = 4_000, tail: int = 16_000) -> tuple[str, int, str]:
    """Cut a long text in its middle, at line ends where they are near: head, characters left out, tail."""
    if len(text) <= head + tail:
        return text, 0, ""
    end = text.rfind("\n", head // 2, head) + 1 or head
    start = text.find("\n", len(text) - tail, len(text) - tail // 2) + 1 or len(text) - tail
    return text[:end], start - end, text[start:]


def usd(value: float | None, *, complete: bool = True) -> str:
    """Return money: cents above a dollar, two significant digits below; ``unknown`` for ``None``."""
    if value is None:
        return "unknown"
    if value == 0:
        shown = "$0"
    elif value >= 1:
        shown = f"${value:,.2f}"
    else:
        digits = max(2, 1 - int(f"{value:e}".split("e")[1]))
        shown = f"${value:.{digits}f}"
    return shown if complete else f"≥ {shown}"


def duration(seconds: float | None) -> str:
    """Return a time span in its two greatest units."""
    if seconds is None:
        return "—"
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def count(value: float | None) -> str:
    """Return a number with thousands set apart, ``—`` for ``None``; halves keep one digit."""
    if value is None:
        return "—"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def short_count(value: float | None) -> str:
    """Return a number in at most four characters and a unit: 950, 1.2 k, 3.4 M."""
    if value is None:
        return "—"
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size * 0.9995:
            scaled = value / size
            return f"{scaled:.1f} {unit}" if abs(scaled) < 99.95 else f"{scaled:.0f} {unit}"
    return count(value)


def size(value: int) -> str:
    """Return a number of bytes in decimal units."""
    return f"{value} B" if value < 1000 else f"{short_count(value)}B"


def moment(text: str | None) -> str:
    """Return an ISO 8601 time as date and minute in UTC; text that is none stays as it is."""
    if not text:
        return "—"
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return one_line(text, 40)
    at = at.astimezone(UTC) if at.tzinfo else at
    return f"{at:%Y-%m-%d %H:%M} UTC"
