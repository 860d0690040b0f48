"""What a person or a log sees of a run while it goes on; all of it on stderr.

``Panel`` draws on a terminal, ``Lines`` writes a line per finished trial, ``Silent`` nothing. Owns choosing
between them. What is known of the run is folded in ``state``, apart from how it is drawn.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TextIO, cast

from harness.cli.progress.enduring import Enduring
from harness.cli.progress.lines import Lines, Silent
from harness.cli.progress.panel import Panel

__all__ = ["Lines", "Panel", "Silent", "choose_watcher"]


def choose_watcher(
    *, quiet: bool = False, stream: TextIO | None = None, environ: Mapping[str, str] | None = None
) -> Panel | Lines | Silent:
    """Return the watcher that fits where stderr goes. Use it as a context manager: leaving it ends the drawing.

    A terminal gets the panel; a pipe, a file, CI and ``TERM=dumb`` get lines without control codes (colour
    only with ``FORCE_COLOR``); ``quiet`` gets nothing.
    """
    stream = sys.stderr if stream is None else stream
    environ = os.environ if environ is None else environ
    if quiet:
        return Silent()
    plain = environ.get("TERM", "dumb") == "dumb" or environ.get("CI", "").lower() in {"1", "true"}
    if plain or not stream.isatty():
        coloured = environ.get("FORCE_COLOR", "0") not in {"", "0"} and not environ.get("NO_COLOR")
        return Lines(stream, coloured=coloured)
    from rich.console import Console

    return Panel(Console(file=cast("TextIO", Enduring(stream)), highlight=False, _environ=environ))
