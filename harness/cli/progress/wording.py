"""Times, money and counts in words, the same on the panel and in lines. Pure."""

from __future__ import annotations

from harness.cli.progress.state import OUTCOMES, Progress


def clock(seconds: float) -> str:
    """Return a duration as ``0:07``, ``12:03`` or ``1:02:03``."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def time_left(span_s: tuple[float, float] | None) -> str:
    """Return a range such as ``2–4 min left``, empty when nothing is known."""
    if span_s is None:
        return ""
    low, high = span_s
    unit, name = (1, "s") if high < 90 else (60, "min") if high < 5400 else (3600, "h")
    first, last = round(low / unit), max(round(high / unit), 1)
    return f"{last} {name} left" if first == last else f"{first}–{last} {name} left"


def counts(progress: Progress) -> str:
    """Return the outcomes so far; those that did not happen are left out, but for passes and failures."""
    parts = [
        f"{outcome} {progress.outcomes.get(outcome, 0)}"
        for outcome in OUTCOMES
        if outcome in {"pass", "fail"} or progress.outcomes.get(outcome)
    ]
    if progress.controls_done:
        parts.append(f"controls {progress.controls_done}")
    return " · ".join(parts)


def money(progress: Progress) -> str:
    """Return what is spent, as a lower bound where some cost is unknown; empty before any is known."""
    if progress.spend_usd is None:
        return "" if progress.spend_known else "cost unknown"
    return f"{'' if progress.spend_known else 'over '}${progress.spend_usd:.2f}"
