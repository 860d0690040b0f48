"""Thin out remarks that come in floods, such as the steps of an image build. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_WINDOW_S = 5.0
_AT_ONCE = 3
_STEP = re.compile(r"\b[Ss]tep \d+/\d+")


@dataclass
class _Source:
    opened_s: float
    passed: int = 0
    held: str | None = None


@dataclass
class Thinner:
    """Lets a few remarks of each source through every five seconds, and the newest of the rest after that.

    A source is what stands before the first colon, the numbers of build steps aside. Remarks of different
    sources never hold one another up, and the last remark of each source always comes through, at the latest
    with ``flush``.
    """

    _sources: dict[str, _Source] = field(default_factory=dict)

    def admit(self, text: str, now_s: float) -> list[str]:
        """Take a remark; return what is to be shown now."""
        key = _STEP.sub("", text.partition(":")[0])
        source = self._sources.get(key)
        if source is None or now_s - source.opened_s >= _WINDOW_S:
            source = self._sources[key] = _Source(opened_s=now_s)
        if source.passed >= _AT_ONCE:
            source.held = text
            return []
        source.passed += 1
        return [text]

    def due(self, now_s: float) -> list[str]:
        """Return the newest held remark of each source whose five seconds are over."""
        over = [key for key, source in self._sources.items() if now_s - source.opened_s >= _WINDOW_S]
        return [held for key in over if (held := self._sources.pop(key).held) is not None]

    def flush(self) -> list[str]:
        """Return everything that is held."""
        held = [source.held for source in self._sources.values() if source.held is not None]
        self._sources.clear()
        return held
