"""Progress as a live panel on a terminal: how far, what runs, what ended, what it costs, how long still."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Self

from harness.cli.progress.state import Ending, Progress, Running, many
from harness.cli.progress.thinning import Thinner
from harness.cli.progress.wording import clock, counts, money, time_left
from harness.schema.event import AnyEvent
from harness.schema.plan import Plan, PlannedTrial
from harness.schema.result import AttemptResult

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text

_STYLES = {"pass": "green", "fail": "red", "limit": "yellow", "infra": "magenta", "again": "magenta"}
_NARROW = 70
_OTHER_LINES = 11


class Panel:
    """Draws on ``console`` from ``planned`` until the context ends; remarks scroll by above it."""

    def __init__(self, console: Console, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock_s = clock_s
        self._progress = Progress()
        self._thinner = Thinner()
        self._lock = Lock()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._print(*self._thinner.flush())
        if self._live is not None:
            self._live.stop()
            self._live = None

    def planned(self, plan: Plan, pending: Sequence[PlannedTrial]) -> None:
        """Print what is to be done, once, and begin to draw."""
        from rich.live import Live

        with self._lock:
            self._progress = progress = self._progress.hear_plan(plan, pending, self._clock_s())
            todo = f", {len(pending)} left to do" if progress.before else ""
            self._print(f"{progress.name}: {many(progress.planned, 'trial')} ({progress.size}){todo}")
            self._print(*(f"{name}: {note}" for name, note in progress.notes))
        # What others print goes above the panel; results that are piped away are not touched.
        self._live = Live(
            console=self._console,
            get_renderable=self._draw,
            refresh_per_second=4,
            redirect_stdout=sys.stdout.isatty(),
        )
        self._live.start(refresh=True)

    def started(self, trial: PlannedTrial, attempt: int) -> None:
        """Show it among those that run."""
        with self._lock:
            self._progress = self._progress.hear_start(trial, attempt, self._clock_s())

    def event(self, trial: PlannedTrial, attempt: int, event: AnyEvent) -> None:
        """Show how far it is."""
        with self._lock:
            self._progress = self._progress.hear_event(trial, event)

    def ended(self, trial: PlannedTrial, result: AttemptResult, *, final: bool) -> None:
        """Show it among those that ended."""
        with self._lock:
            self._progress = self._progress.hear_end(trial, result, final=final)

    def line(self, text: str) -> None:
        """Print a remark above the panel, thinned out when they come in floods; the newest is always shown."""
        with self._lock:
            self._progress = self._progress.hear_line(text)
            now_s = self._clock_s()
            self._print(*self._thinner.due(now_s), *self._thinner.admit(self._progress.last_line, now_s))

    def _draw(self) -> RenderableType:
        return draw(self._progress, self._clock_s(), self._console.width, self._console.height)

    def _print(self, *lines: str) -> None:
        from rich.text import Text

        for text in lines:
            self._console.print(Text(text))


def draw(progress: Progress, now_s: float, width: int, height: int) -> RenderableType:
    """Return the panel for a terminal of this size; nothing in it is wider or higher than that."""
    from rich.console import Group
    from rich.text import Text

    rows = max(height - _OTHER_LINES, 2)
    running = sorted(progress.running.values(), key=lambda trial: trial.began_s)
    parts: list[RenderableType] = [_bar(progress, width), _short(_summary(progress, now_s))]
    if running:
        parts.append(_running(running[:rows], now_s, narrow=width < _NARROW))
    if len(running) > rows:
        parts.append(_short(Text(f"… and {len(running) - rows} more", style="dim")))
    parts += [_short(_ended(ending)) for ending in progress.recent[-rows:]]
    if progress.last_line and progress.done < progress.planned:
        parts.append(_short(Text(progress.last_line, style="dim")))
    return Group(*parts)


def _bar(progress: Progress, width: int) -> Table:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1))
    share = ProgressBar(total=max(progress.planned, 1), completed=progress.done, width=max(min(width - 20, 50), 8))
    table.add_row(Text(f"{progress.done}/{progress.planned}", style="bold"), share)
    return table


def _summary(progress: Progress, now_s: float) -> Text:
    from rich.text import Text

    facts = (
        counts(progress),
        money(progress),
        f"{clock(now_s - progress.began_s)} so far",
        time_left(progress.left_s(now_s)),
    )
    return Text("   ".join(filter(None, facts)))


def _running(trials: Sequence[Running], now_s: float, *, narrow: bool) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=3)
    if not narrow:
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=3)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=2)
    table.add_column(no_wrap=True, justify="right", min_width=5)
    for trial in trials:
        again = f" (attempt {trial.attempt})" if trial.attempt > 1 else ""
        names = [Text(f"▸ {trial.task}"), Text(f"{trial.candidate} #{trial.repeat}{again}", style="cyan")]
        cells = names[:1] if narrow else names
        table.add_row(*cells, Text(trial.where or "starting"), Text(clock(now_s - trial.began_s)))
    return table


def _ended(ending: Ending) -> Text:
    from rich.text import Text

    text = Text()
    text.append(f"{ending.word:<6} ", style=_STYLES.get(ending.word, ""))
    control = " (control)" if ending.control else ""
    text.append(f"{ending.task}  {ending.candidate} #{ending.repeat}{control}  {clock(ending.duration_s)}")
    if ending.remark:
        text.append(f"  {ending.remark}", style="dim")
    return text


def _short(text: Text) -> Text:
    text.no_wrap = True
    text.overflow = "ellipsis"
    return text
