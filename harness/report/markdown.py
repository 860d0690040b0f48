"""The report as Markdown for a job's summary: short, without markup of its own in what others wrote."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from harness.analysis.tables import Cell, Tables
from harness.analysis.verdict import percent, points, span, verdict
from harness.report.outcome import OUTCOMES
from harness.report.sentences import headline, p_words, settled_words, what_was_run
from harness.report.text import count, duration, one_line, short_count, usd

BYTES = 60_000
"""GitHub takes 1 MiB a step and drops more in silence; readers take less."""

_SPECIAL = re.compile(r"[\\`*_{}\[\]<>#!|~$&]")
_LINKING = re.compile(r"@|#|://|www\.", re.IGNORECASE)


def plain(text: str, limit: int = 4_000) -> str:
    """Return text with others' words in it as one line in which nothing is markup, a link or a mention.

    Forges link addresses, mentions and numbers after rendering, where no escape counts: a zero-width space
    keeps them apart.
    """
    apart = _LINKING.sub(lambda match: f"{match[0][:1]}\u200b{match[0][1:]}", one_line(text, limit))
    return _SPECIAL.sub(lambda match: f"&#{ord(match[0])};", apart)


def code(text: str) -> str:
    """Return others' text as a code span that it cannot leave, safe in a table."""
    line = one_line(text).replace("|", "¦")
    fence = "`" * (max((len(run) for run in re.findall("`+", line)), default=0) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") or not line else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def markdown(tables: Tables, *, limit_bytes: int = BYTES) -> str:
    """Return the report as Markdown of less than ``limit_bytes``; the task table is cut first, and says so."""
    fixed = "\n".join([*_verdict(tables), *_board(tables), *_pairs(tables), *_conditions(tables)])
    rest = "\n".join(_foot(tables))
    room = limit_bytes - len(fixed.encode()) - len(rest.encode()) - 400
    text = "\n".join([fixed, *_grid(tables, room), rest]) + "\n"
    encoded = text.encode()
    return (
        text if len(encoded) < limit_bytes else encoded[: limit_bytes - 40].decode(errors="ignore") + "\n\n(cut)\n"
    )


def _verdict(tables: Tables) -> Iterator[str]:
    found = verdict(tables)
    yield f"## {headline(found)}: {plain(tables.run.name)}"
    yield ""
    yield f"**{plain(found.text)}**"
    yield ""
    if found.advice:
        yield plain(found.advice)
        yield ""
    for note in found.notes:
        yield f"> {plain(note)}"
        yield ">"
    yield ""
    yield plain(what_was_run(tables))
    yield ""


def _table(head: Sequence[str], rows: Iterator[Sequence[str]], *, left: int = 1) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'|'.join(' --- ' if place < left else ' ---: ' for place in range(len(head)))}|"
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


def _name(tables: Tables, name: str) -> str:
    note = tables.candidate(name).note
    return f"{code(name)} ({plain(note)})" if note else code(name)


def _board(tables: Tables) -> Iterator[str]:
    if not tables.leaderboard:
        return
    yield "### Leaderboard"
    yield ""
    head = (
        "candidate",
        "solved",
        "95 % interval",
        "trials",
        "without verdict",
        "per solved",
        "all told",
        "time",
        "turns",
    )
    yield from _table(head, _board_rows(tables))


def _board_rows(tables: Tables) -> Iterator[Sequence[str]]:
    for line in tables.leaderboard:
        per_solved = usd(line.cost_per_solved_usd) if line.cost_per_solved_usd is not None else "—"
        yield (
            _name(tables, line.candidate),
            percent(line.rate.value) if line.rate else "—",
            span(line.rate.interval) if line.rate else "—",
            f"{line.solved} of {line.scored}",
            f"{_unscored(tables, line.candidate)} of {line.planned}",
            per_solved,
            usd(line.cost_usd, complete=line.cost_complete),
            duration(line.median_time_s),
            count(line.median_turns),
        )


def _unscored(tables: Tables, name: str) -> int:
    return next(line.unscored for line in tables.coverage if line.candidate == name)


def _pairs(tables: Tables) -> Iterator[str]:
    if not tables.comparisons:
        return
    yield "### Differences"
    yield ""
    head = ("pair", "finding", "difference", "these tasks again", "tasks like these", "p")
    rows = (
        (
            f"{_name(tables, pair.a)} against {_name(tables, pair.b)}",
            settled_words(pair),
            points(pair.difference.value),
            span(pair.difference.these, signed=True),
            span(pair.difference.like, signed=True) if pair.difference.like else "—",
            p_words(pair),
        )
        for pair in tables.comparisons
    )
    yield from _table(head, rows, left=2)


def _conditions(tables: Tables) -> Iterator[str]:
    odd = [check for check in tables.fairness if check.status != "ok"]
    unsound = [check for check in tables.controls if check.status == "unsound"]
    if not odd and not unsound:
        return
    yield "### To know"
    yield ""
    for check in odd:
        mark = "**blocks the verdict**: " if check.status == "bad" else ""
        yield f"- {check.name}: {mark}{plain(check.text)}"
    for control in unsound[:20]:
        yield f"- {code(control.task)} is **unsound**: {plain(control.text)}"
    yield ""


def _grid(tables: Tables, room: int) -> Iterator[str]:
    if not tables.leaderboard:
        return
    yield "### Task by task"
    yield ""
    names = [line.candidate for line in tables.leaderboard]
    yield f"| task | {' | '.join(_name(tables, name) for name in names)} |"
    yield f"| --- |{' --- |' * len(names)}"
    left = room - 500
    for place, row in enumerate(tables.grid):
        unsound = "" if row.sound else " (unsound)"
        line = f"| {code(row.task)}{unsound} | {' | '.join(_cell(tables, cell) for cell in row.cells)} |"
        left -= len(line.encode()) + 1
        if left < 0:
            yield ""
            yield f"{len(tables.grid) - place} more tasks are in the full report; most disagreement is above."
            return
        yield line
    yield ""


def _cell(tables: Tables, cell: Cell) -> str:
    marks = "".join(OUTCOMES[tables.trials[place].outcome].glyph for place in cell.trials[:20])
    return f"{marks} {cell.passed} of {cell.scored}" if cell.trials else "—"


def _foot(tables: Tables) -> Iterator[str]:
    yield ""
    yield "Marks: " + ", ".join(f"{look.glyph} {look.word}" for look in OUTCOMES.values()) + "."
    tokens = ", ".join(
        f"{_name(tables, line.candidate)} {short_count(line.tokens)}"
        for line in tables.spend
        if line.tokens is not None
    )
    if tokens:
        yield f"Tokens: {tokens}."
