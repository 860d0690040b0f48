"""One trial as a page: how it ended, where the time went, every turn, and what stands in ``trial_evidence``.

Reads the events of the attempt that counts, and what the journal says of the others. The reference solution is
never shown: of a control that applies it only the end is told.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from harness.analysis.tables import CandidateFacts, TrialRow
from harness.ports import Store
from harness.report.attempt_files import attempt_files
from harness.report.conversation import conversation
from harness.report.node import Element, Node, el
from harness.report.outcome import OUTCOMES, chip
from harness.report.text import count, duration, one_line, usd
from harness.report.trial_evidence import TrialSource, evidence, folded, pairs
from harness.schema.event import ErrorRecord, Failed, PhaseEnded
from harness.schema.result import AttemptDiscarded, AttemptEnded, JournalLine

_PLAIN = re.compile(r"[A-Za-z0-9_.-]{1,80}")


def trial_source(
    store: Store,
    row: TrialRow,
    candidate: CandidateFacts,
    *,
    lines: Sequence[JournalLine] = (),
    siblings: Sequence[TrialRow] = (),
) -> TrialSource:
    """Read one trial's events and find its files."""
    number = row.attempt or 0
    return TrialSource(
        row=row,
        candidate=candidate,
        lines=tuple(lines),
        events=store.events(row.trial, number) if row.attempt is not None else (),
        files=attempt_files(store, row.trial, number),
        siblings=siblings,
    )


def trial_key(trial: str) -> str:
    """Return a trial's id as it stands in links and file names: itself, or a digest where it has odd letters."""
    return trial if _PLAIN.fullmatch(trial) else hashlib.sha256(trial.encode()).hexdigest()[:16]


def trial_page(source: TrialSource) -> Element:
    """Return the whole page of one trial."""
    talk = list(conversation(source.events, hide_work=source.secret_work))
    return el(
        "article",
        _header(source),
        _errors(source),
        _timeline(source),
        _attempts(source),
        el("section", el("h3", "What happened"), talk, cls="talk") if talk else _no_events(source),
        evidence(source),
        cls="trial",
    )


def _no_events(source: TrialSource) -> Element:
    why = "it has not started" if source.row.attempt is None else "its record is gone"
    return el("p", f"There are no events of this trial: {why}.", cls="faint")


def _header(source: TrialSource) -> Element:
    row = source.row
    calls = f"{count(row.tool_calls)}, {count(row.tool_errors)} failed" if row.tool_calls else "—"
    facts = [
        ("time", duration(row.duration_s)),
        ("turns", count(row.turns)),
        ("tool calls", calls),
        ("tokens", count(row.tokens)),
        ("cost", usd(row.cost_usd, complete=row.cost_complete)),
        ("attempts", count(row.attempts)),
        ("agent", row.agent),
        ("model", row.model or "none"),
    ]
    return el(
        "header",
        el("p", f"trial {row.trial}", cls="eyebrow"),
        el("h2", row.task, id="trial-title"),
        el("p", f"{source.candidate.label}, repeat {row.repeat}", cls="who"),
        el("p", chip(row.outcome), " ", ending(row), cls="ending"),
        el("p", [el("span", flag, cls="tag warn") for flag in row.flags]) if row.flags else None,
        pairs(facts, "facts"),
        _siblings(source),
    )


def _siblings(source: TrialSource) -> Element | None:
    """Link the other trials of this task."""
    if len(source.siblings) < 2:
        return None
    links: list[Node] = []
    for row in source.siblings:
        look = OUTCOMES[row.outcome]
        here = {"aria_current": "page"} if row.trial == source.row.trial else {}
        mark = el("span", look.glyph, cls=look.css)
        name = f" {one_line(row.candidate, 40)} {row.repeat}"
        links.append(el("li", el("a", mark, name, href=f"#trial={trial_key(row.trial)}", title=look.word, **here)))
    return el("nav", el("ul", links, cls="siblings"), aria_label="Trials of this task")


def ending(row: TrialRow) -> str:
    """Say in a few words why a trial stands as it does."""
    reward = "" if row.reward is None else f"reward {row.reward:g}"
    match row.outcome:
        case "passed" | "failed":
            return reward
        case "limit_passed" | "limit_failed" | "limit_unknown":
            what = (row.limit or "its budget").replace("_", " ")
            return f"the limit of {what} ended the work; {reward or 'it could not be verified'}"
        case _:
            return row.error or OUTCOMES[row.outcome].meaning


def _errors(source: TrialSource) -> Element | None:
    errors = [event.error for event in source.events if isinstance(event, Failed)]
    ended = [line.result for line in source.lines if isinstance(line, AttemptEnded)]
    if not errors and ended and ended[-1].error:
        errors = [ended[-1].error]
    if not errors:
        return None
    blocks = [_problem(error, detail=not source.secret_work) for error in errors]
    return el("section", blocks, aria_label="Errors")


def _problem(error: ErrorRecord, *, detail: bool) -> Element:
    again = ", worth another attempt" if error.retryable else ""
    return el(
        "div",
        el("p", el("strong", error.message), f" {error.hint}"),
        el("p", f"{error.type}, cause: {error.cause}{again}", cls="faint"),
        folded("detail", error.detail) if error.detail and detail else None,
        cls="problem",
    )


def _timeline(source: TrialSource) -> Element | None:
    phases = [event for event in source.events if isinstance(event, PhaseEnded)]
    total = sum(phase.duration_s for phase in phases)
    if not total:
        return None
    bars: list[Node] = []
    words: list[Node] = []
    at = 0.0
    for phase in phases:
        share = phase.duration_s / total * 100
        place = {"x": f"{at:.2f}%", "y": "0", "width": f"{share:.2f}%", "height": "100%"}
        bars.append(el("rect", cls=f"phase-{phase.phase}", **place))
        swatch = el("span", cls=f"swatch bg-{phase.phase}")
        words.append(el("li", swatch, f"{phase.phase} ", el("strong", duration(phase.duration_s))))
        at += share
    label = "Phases of the trial; the list below says the same"
    chart = el("svg", bars, width="100%", height="14", role="img", aria_label=label, cls="timeline")
    return el("section", el("h3", "Where the time went"), chart, el("ul", words, cls="legend"))


def _attempts(source: TrialSource) -> Element | None:
    ends = [line for line in source.lines if isinstance(line, AttemptEnded | AttemptDiscarded)]
    if len(ends) < 2 and not any(isinstance(line, AttemptDiscarded) for line in ends):
        return None
    names = ("attempt", "end", "time", "cost", "why")
    head = el("thead", el("tr", [el("th", name, scope="col") for name in names]))
    body = el("tbody", [el("tr", [el("td", cell) for cell in _attempt_cells(line)]) for line in ends])
    return el("section", el("h3", "Attempts"), el("div", el("table", head, body), cls="scroll"))


def _attempt_cells(line: AttemptEnded | AttemptDiscarded) -> tuple[str, ...]:
    if isinstance(line, AttemptDiscarded):
        return str(line.attempt), "discarded", "—", usd(line.cost_usd), line.reason
    result = line.result
    cost = usd(result.cost_usd, complete=result.cost_complete)
    why = result.error.message if result.error else ""
    return str(result.attempt), result.end_state, duration(result.duration_s), cost, why
