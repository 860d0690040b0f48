"""The HTML report: one file within a budget of bytes, and what does not fit as pages beside it."""

from __future__ import annotations

import base64
import gzip
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from harness.analysis.tables import Tables, TrialRow
from harness.analysis.verdict import verdict
from harness.ports import Store
from harness.report.node import Element, to_html, to_json
from harness.report.page import TRIALS_MARK, Links, render_page, render_trial
from harness.report.trial_page import trial_key, trial_page, trial_source
from harness.report.written import Written, replace_file
from harness.schema.result import AttemptDiscarded, AttemptEnded, JournalLine

BUDGET_BYTES = 5_000_000

_SHELL_BYTES = 90_000
_ROW_BYTES = 200
"""What the page itself takes: style, script and words, and so much for each trial besides its names."""


@dataclass(kw_only=True)
class _Blocks:
    """Trials on their way into the report or beside it."""

    room: int
    report: str
    folder: Path
    inside: list[tuple[str, str]] = field(default_factory=list)
    hrefs: dict[int, str] = field(default_factory=dict)
    sidecars: int = 0
    sidecar_bytes: int = 0

    def add(self, position: int, row: TrialRow, page: Element) -> None:
        key = trial_key(row.trial)
        block = base64.b64encode(gzip.compress(to_json(page).encode(), compresslevel=6, mtime=0)).decode("ascii")
        if len(block) <= self.room:
            self.room -= len(block) + 80
            self.inside.append((key, block))
            self.hrefs[position] = f"#trial={key}"
            return
        body = to_html(page, base=f"../{quote(self.report)}")
        title = f"{row.task}, {row.candidate}, repeat {row.repeat}"
        written = replace_file(
            self.folder / f"{key}.html", [render_trial(title, body, f"../{quote(self.report)}").encode()]
        )
        self.hrefs[position] = f"{quote(self.folder.name)}/{key}.html"
        self.sidecars += 1
        self.sidecar_bytes += written


def write_html(tables: Tables, store: Store, target: Path, *, budget_bytes: int = BUDGET_BYTES) -> Written:
    """Write the report to ``target``; trials beyond the budget to ``<target's stem>.trials/``."""
    folder = target.with_name(f"{target.stem}.trials")
    for old in folder.glob("*.html"):
        old.unlink()
    marks = sum(_ROW_BYTES + len(row.task) + len(row.candidate) for row in tables.trials)
    room = max(0, budget_bytes - _SHELL_BYTES - marks)
    blocks = _Blocks(room=room, report=target.name, folder=folder)
    for position, page in _pages(tables, store):
        blocks.add(position, tables.trials[position], page)
    links = Links(hrefs=blocks.hrefs, sidecar_folder=quote(folder.name), sidecars=blocks.sidecars)
    page_text = render_page(tables, verdict(tables), links)
    total = replace_file(target, _stream(page_text, blocks.inside))
    inside = sum(len(block) for _, block in blocks.inside)
    return Written(
        path=target,
        bytes=total,
        page_bytes=total - inside,
        trials_inside=len(blocks.inside),
        trials_inside_bytes=inside,
        trials_beside=blocks.sidecars,
        trials_beside_bytes=blocks.sidecar_bytes,
    )


def _stream(page: str, blocks: Sequence[tuple[str, str]]) -> Iterator[bytes]:
    before, _, after = page.partition(TRIALS_MARK)
    yield before.encode()
    for key, block in blocks:
        yield f'<script type="text/plain" data-trial="{key}">{block}</script>\n'.encode()
    yield after.encode()


def _pages(tables: Tables, store: Store) -> Iterator[tuple[int, Element]]:
    """Yield the page of every trial of which more is known than its row, what tells candidates apart first."""
    lines: dict[str, list[JournalLine]] = defaultdict(list)
    for line in store.journal():
        match line:
            case AttemptEnded():
                lines[line.result.trial].append(line)
            case AttemptDiscarded():
                lines[line.trial].append(line)
            case _:
                pass
    siblings: dict[str, list[TrialRow]] = defaultdict(list)
    for row in tables.trials:
        siblings[row.task].append(row)
    for position in _by_interest(tables):
        row = tables.trials[position]
        if row.attempt is not None:
            facts = tables.candidate(row.candidate)
            source = trial_source(store, row, facts, lines=lines[row.trial], siblings=siblings[row.task])
            if source.events or row.error:
                yield position, trial_page(source)


def _by_interest(tables: Tables) -> Iterable[int]:
    """Order positions: tasks with most disagreement first, repeats after one another, controls last."""
    task_place = {row.task: place for place, row in enumerate(tables.grid)}
    contenders = {line.candidate for line in tables.leaderboard}

    def interest(position: int) -> tuple[bool, int, int]:
        row = tables.trials[position]
        return row.candidate not in contenders, row.repeat, task_place.get(row.task, 0)

    return sorted(range(len(tables.trials)), key=interest)
