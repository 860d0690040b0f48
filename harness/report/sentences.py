"""What HTML and Markdown both say in words."""

from __future__ import annotations

from harness.analysis.tables import Comparison, Tables, Verdict
from harness.report.text import moment, one_line


def headline(verdict: Verdict) -> str:
    """Return the verdict's state in two or three words."""
    if not verdict.settled:
        return "Not settled"
    return f"Settled for {verdict.scope}"


def what_was_run(tables: Tables) -> str:
    """Return one paragraph: how much, when, where, by what, under which limits."""
    run = tables.run
    low, high = run.repeats
    repeats = f"{low}" if low == high else f"{low} to {high}"
    size = _many(run.tasks, "task")
    controls = f" × {_many(run.controls, 'control')}" if run.controls else ""
    if run.candidates:
        size += f" × {_many(run.candidates, 'candidate')} × {repeats} repeats"
        controls = f", and {_many(run.controls, 'control')}" if run.controls else ""
    text = f"{size}{controls}: {_many(run.trials, 'trial')}. {_when(tables)} {_by_what(tables)}"
    if run.limits:
        text += f" Limits of a trial: {', '.join(f'{k} {v:g}'.replace('_', ' ') for k, v in run.limits.items())}."
    if run.timeout_multiplier != 1:
        text += f" All times were multiplied by {run.timeout_multiplier:g}."
    if run.network:
        text += f" Network: {run.network}."
    return text


def _when(tables: Tables) -> str:
    run = tables.run
    if run.started_at is None or run.ended_at is None:
        return f"Planned {moment(run.created_at)}; nothing has run yet."
    start, end = moment(run.started_at), moment(run.ended_at)
    span = f"from {start} to {end}" if start != end else f"on {start}"
    ending = {None: " It was not closed in good order or is still running.", "done": ""}
    return f"Run {span}.{ending.get(run.closed, f' It ended early: {run.closed}.')}"


def _by_what(tables: Tables) -> str:
    run = tables.run
    commit = f", commit {run.commit[:10]}{' with changes' if run.dirty else ''}" if run.commit else ""
    where = f" on {', '.join(one_line(host, 60) for host in run.hosts)}" if run.hosts else ""
    platform = f" ({one_line(run.platform, 80)})" if run.platform else ""
    return f"By harness {run.harness_version}{commit}{where}{platform}."


def settled_words(pair: Comparison) -> str:
    """Return what is settled between two candidates."""
    if pair.settled == "no":
        return "not settled"
    return f"settled for {pair.settled}"


def p_words(pair: Comparison) -> str:
    """Return the p for tasks like these, with the least that so few tasks could have given."""
    if pair.p_adjusted is None:
        return "—"
    floor = f" (least possible {pair.difference.smallest_p:.2g})" if pair.difference.smallest_p > 0.01 else ""
    shown = "< 0.001" if pair.p_adjusted < 0.001 else f"{pair.p_adjusted:.2g}"
    return f"{shown}{floor}"


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
