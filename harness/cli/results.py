"""``harness results`` and ``harness report``, and what a run prints at its end."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from harness.analysis import Tables, TrialRow, Verdict, analyse, result_object, result_rows
from harness.errors import EXIT_OK, StoreError
from harness.store import RunStore

_NO_TERMINAL_COLUMNS = 1_000

_WORDS = {
    "passed": "passed",
    "failed": "failed",
    "limit_passed": "passed at a limit",
    "limit_failed": "failed at a limit",
    "limit_unknown": "limit, no reward",
    "infra": "infra",
    "missing": "missing",
}


def results_command(folder: Path, *, as_json: bool) -> int:
    """Print one line per planned trial, and below them why some have no verdict."""
    store = open_run(folder)
    rows = result_rows(store)
    say_damage(store)
    if as_json:
        for row in rows:
            print(json.dumps(result_object(row)))
        return EXIT_OK
    console = _console()
    console.print(_trials(rows))
    for row in rows:
        if row.error:
            line = f"{row.task} · {row.candidate} · repeat {row.repeat}: {row.error}"
            console.print(line, soft_wrap=True, markup=False, highlight=False)
    return EXIT_OK


def _console() -> Console:
    """Return a console as wide as a table needs where no terminal sets the width: names must stay whole."""
    return Console(width=None if sys.stdout.isatty() else _NO_TERMINAL_COLUMNS)


def _trials(rows: Sequence[TrialRow]) -> Table:
    heads = ("task", "candidate", "n", "outcome", "reward", "s", "turns", "tokens", "USD")
    table = Table(*heads, box=SIMPLE_HEAD, show_edge=False, padding=(0, 0), pad_edge=False)
    for place, column in enumerate(table.columns):
        column.overflow = "fold"
        column.no_wrap = place > 1
        column.justify = "right" if place in {2, 4, 5, 6, 7, 8} else "left"
    for row in rows:
        table.add_row(*_cells(row))
    return table


def report_command(folder: Path, output: Path | None, report_format: str) -> int:
    """Write a run's report again from its record."""
    from harness.report import write_report

    store = open_run(folder)
    target = output or folder / f"report.{report_format}"
    written = write_report(analyse(store), store, target, report_format)
    print(written.composition)
    say_damage(store)
    return EXIT_OK


def open_run(folder: Path) -> RunStore:
    """Open a run for reading; raises ``StoreError`` for a folder that is none."""
    if not (folder / "plan.json").is_file():
        raise StoreError(f"{folder} is not the folder of a run: it has no plan.json.")
    return RunStore(folder)


def say_damage(store: RunStore) -> None:
    """Say what of the record could not be read, with file and line; what is shown leaves it out."""
    for damage in store.damage:
        print(f"warning: {damage}", file=sys.stderr)


def print_summary(tables: Tables, verdict: Verdict, report: Path | None) -> None:
    """Print the leaderboard, the verdict in a sentence and where the report is."""
    console = _console()
    if tables.leaderboard:
        console.print(_leaderboard(tables))
    console.print(escape(verdict.text), soft_wrap=True)
    for text in (verdict.advice, *verdict.notes):
        if text:
            console.print(escape(text), soft_wrap=True)
    if report is not None:
        console.print(f"Report: {report}", soft_wrap=True, markup=False, highlight=False)


def _leaderboard(tables: Tables) -> Table:
    table = Table("candidate", "solved", "95 % interval", "median s", "turns", "USD", box=SIMPLE_HEAD)
    for column in range(1, 6):
        table.columns[column].justify = "right"
    for standing in tables.leaderboard:
        rate = standing.rate
        table.add_row(
            escape(tables.candidate(standing.candidate).label),
            "-" if rate is None else f"{rate.value:.0%} ({standing.solved}/{standing.scored})",
            "-" if rate is None else f"{rate.interval.low:.0%} to {rate.interval.high:.0%}",
            _number(standing.median_time_s, ".1f"),
            _number(standing.median_turns, "g"),
            _number(standing.cost_usd, ".2f"),
        )
    return table


def _cells(row: TrialRow) -> tuple[str, ...]:
    return (
        escape(row.task),
        escape(row.candidate),
        str(row.repeat),
        _WORDS[row.outcome],
        _number(row.reward, "g"),
        _number(row.duration_s, ".1f"),
        _number(row.turns, "d"),
        _number(row.tokens, ",d"),
        _number(row.cost_usd, ".2f"),
    )


def _number(value: float | None, spec: str) -> str:
    return "-" if value is None else format(value, spec)
