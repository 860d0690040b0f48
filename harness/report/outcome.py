"""How an outcome is shown everywhere: a glyph and a word, never colour alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from harness.analysis.tables import Outcome
from harness.report.node import Element, el


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """An outcome's glyph, word, class in the style sheet, and what it means."""

    glyph: str
    word: str
    css: str
    meaning: str


OUTCOMES: Mapping[Outcome, Look] = MappingProxyType(
    {
        "passed": Look(glyph="✓", word="passed", css="pass", meaning="the hidden tests passed"),
        "failed": Look(glyph="✗", word="failed", css="fail", meaning="the hidden tests ran and did not pass"),
        "limit_passed": Look(
            glyph="◉",
            word="passed at a limit",
            css="pass",
            meaning="a limit ended the work, the tests pass all the same",
        ),
        "limit_failed": Look(
            glyph="◌",
            word="failed at a limit",
            css="limit",
            meaning="a limit ended the work and the tests do not pass",
        ),
        "limit_unknown": Look(
            glyph="?",
            word="limit, not verified",
            css="infra",
            meaning="a limit ended the work and it was not verified",
        ),
        "infra": Look(
            glyph="!",
            word="infrastructure",
            css="infra",
            meaning="image, engine, provider or verifier failed; not scored",
        ),
        "missing": Look(glyph="·", word="missing", css="missing", meaning="planned and not finished; not scored"),
    }
)


def chip(outcome: Outcome) -> Element:
    """Return the outcome as a small label."""
    look = OUTCOMES[outcome]
    return el("span", f"{look.glyph} {look.word}", cls=f"chip {look.css}")
