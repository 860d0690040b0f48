"""The report as one HTML page: its parts in reading order, its style and script, its content policy.

A part is a template and a reason to leave it out; more parts are more lines in ``PARTS``. Everything that a
template prints is cleaned and escaped, whatever it is.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from markupsafe import Markup

from harness.analysis.tables import Tables, Verdict
from harness.analysis.verdict import percent, points, span
from harness.data import data_folder
from harness.report.outcome import OUTCOMES
from harness.report.sentences import headline, p_words, settled_words, what_was_run
from harness.report.text import clean, count, duration, moment, short_count, size, usd

if TYPE_CHECKING:
    from jinja2 import Environment

TRIALS_MARK = "<!--trials-->"
"""Where the compressed trials go. Escaped text cannot hold it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A section of the page: ``parts/<name>.html.j2``, and why it is left out (empty: it is shown)."""

    name: str
    title: str
    left_out: Callable[[Tables], str]


def _always(_: Tables) -> str:
    return ""


PARTS = (
    Part(name="conditions", title="Same conditions", left_out=_always),
    Part(name="coverage", title="What became of the plan", left_out=_always),
    Part(
        name="leaderboard",
        title="Leaderboard",
        left_out=lambda t: "" if t.leaderboard else "the run has only controls",
    ),
    Part(
        name="pairs",
        title="Differences",
        left_out=lambda t: "" if t.comparisons else "no two candidates share a task with verdicts",
    ),
    Part(
        name="grid", title="Task by task", left_out=lambda t: "" if t.leaderboard else "the run has only controls"
    ),
    Part(name="controls", title="Controls", left_out=lambda t: "" if t.controls else "the run has no controls"),
    Part(name="spend", title="Spend", left_out=_always),
    Part(name="flags", title="Integrity", left_out=lambda t: "" if t.flags else "no trial carries a flag"),
    Part(name="method", title="How to read this", left_out=_always),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Links:
    """Where each trial's page is, by position in ``Tables.trials``; trials without one are absent."""

    hrefs: Mapping[int, str]
    sidecar_folder: str
    sidecars: int


def render_page(tables: Tables, verdict: Verdict, links: Links) -> str:
    """Return the page, with ``TRIALS_MARK`` where the trials' blocks belong."""
    environment = _environment()
    shown = [part for part in PARTS if not part.left_out(tables)]
    hidden = [(part.title, reason) for part in PARTS if (reason := part.left_out(tables))]
    return environment.get_template("report.html.j2").render(
        tables=tables,
        run=tables.run,
        verdict=verdict,
        links=links,
        parts=shown,
        hidden=hidden,
        style=Markup(_asset("style.css")),
        script=Markup(_asset("script.js")),
        policy=content_policy(script=True),
        trials_mark=Markup(TRIALS_MARK),
    )


def render_trial(title: str, body: str, report: str) -> str:
    """Return a page with one trial, readable without scripts. ``body`` is HTML made from nodes."""
    return (
        _environment()
        .get_template("trial.html.j2")
        .render(
            title=title,
            body=Markup(body),
            report=report,
            style=Markup(_asset("style.css")),
            policy=content_policy(script=False),
        )
    )


def content_policy(*, script: bool) -> str:
    """Return the page's content policy: nothing but its own style, its own script and pictures inside it."""
    scripts = f"script-src '{_digest('script.js')}'; " if script else ""
    return (
        f"default-src 'none'; {scripts}style-src '{_digest('style.css')}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


@lru_cache
def _asset(name: str) -> str:
    return (data_folder("reports") / "templates" / name).read_text(encoding="utf-8")


def _digest(name: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(_asset(name).encode()).digest()).decode()}"


def _finalize(value: object) -> object:
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@lru_cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(data_folder("reports") / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": percent,
        "points": points,
        "span": span,
        "usd": usd,
        "duration": duration,
        "count": count,
        "short": short_count,
        "moment": moment,
        "size": size,
        "headline": headline,
        "settled": settled_words,
        "p_words": p_words,
        "what_was_run": what_was_run,
    }
    environment.globals["OUTCOMES"] = OUTCOMES
    return environment
