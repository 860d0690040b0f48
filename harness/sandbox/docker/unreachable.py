"""A memory of places that did not answer, so that a machine without them waits once and not for every image.

Kept in a file for an hour, for other processes too. Losing it costs time, nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path

from harness.sandbox.docker.once import cache_folder

_REMEMBER_S = 3600.0


class Unreachable:
    """Remembers why a registry or a mirror could not be reached. ``path`` is the file."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or cache_folder() / "unreachable.json"

    def why(self, place: str) -> str | None:
        """Return what was remembered of a place less than an hour ago, ``None`` if nothing."""
        since, why = self._load().get(place, (0.0, ""))
        return why if 0 <= time.time() - since < _REMEMBER_S else None

    def remember(self, place: str, why: str) -> None:
        """Remember that a place did not answer."""
        known = {**self._load(), place: (time.time(), why)}
        fresh = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        with contextlib.suppress(OSError):
            fresh.write_text(json.dumps(known))
            fresh.replace(self._path)

    def _load(self) -> dict[str, tuple[float, str]]:
        try:
            data = json.loads(self._path.read_text())
            return {str(name): (float(since), str(why)) for name, (since, why) in data.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}
