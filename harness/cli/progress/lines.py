"""Progress as lines, for pipes, files and CI: one for each trial that ends, and a sign of life each minute."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Self, TextIO

from harness.cli.progress.state import Ending, Progress, clean, many
from harness.cli.progress.thinning import Thinner
from harness.cli.progress.wording import clock, counts, money, time_left
from harness.schema.event import AnyEvent, ModelCalled
from harness.schema.plan import Plan, PlannedTrial
from harness.schema.result import AttemptResult

_SILENCE_S = 60.0
_COLOURS = {"pass": "32", "fail": "31", "limit": "33", "infra": "35", "again": "35", "missing": "35"}


class Silent:
    """Hears everything and shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to end."""

    def planned(self, plan: Plan, pending: Sequence[PlannedTrial]) -> None:
        """Show nothing."""

    def started(self, trial: PlannedTrial, attempt: int) -> None:
        """Show nothing."""

    def event(self, trial: PlannedTrial, attempt: int, event: AnyEvent) -> None:
        """Show nothing."""

    def ended(self, trial: PlannedTrial, result: AttemptResult, *, final: bool) -> None:
        """Show nothing."""

    def line(self, text: str) -> None:
        """Show nothing."""


class Lines:
    """Writes to ``stream`` as things happen. A reader that went away never disturbs the run."""

    def __init__(
        self, stream: TextIO, *, coloured: bool = False, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = stream
        self._coloured = coloured
        self._clock_s = clock_s
        self._progress = Progress()
        self._thinner = Thinner()
        self._lock = Lock()
        self._wrote_s = clock_s()
        self._over = Event()
        self._beat: Thread | None = None

    def __enter__(self) -> Self:
        self._beat = Thread(target=self._beating, name="progress", daemon=True)
        self._beat.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._beat is not None:
            self._beat.join()
        with self._lock:
            self._write(*self._thinner.flush())

    def planned(self, plan: Plan, pending: Sequence[PlannedTrial]) -> None:
        """Write what is to be done, and what readers must know of the candidates."""
        with self._lock:
            self._progress = progress = self._progress.hear_plan(plan, pending, self._clock_s())
            todo = f", {len(pending)} of them left to do" if progress.before else ""
            self._write(f"{progress.name}: {many(progress.planned, 'trial')} ({progress.size}){todo}")
            self._write(*(f"{name}: {note}" for name, note in progress.notes))

    def started(self, trial: PlannedTrial, attempt: int) -> None:
        """Note it; a line follows when it ends."""
        with self._lock:
            self._progress = self._progress.hear_start(trial, attempt, self._clock_s())

    def event(self, trial: PlannedTrial, attempt: int, event: AnyEvent) -> None:
        """Note it; write when a provider has to be asked again, which may be all that happens for minutes."""
        with self._lock:
            self._progress = self._progress.hear_event(trial, event)
            if isinstance(event, ModelCalled) and event.retry_in_s is not None:
                why = clean(event.error.message, 200) if event.error else "no answer."
                text = f"{trial.task} · {trial.candidate}: {why} Asking again in {event.retry_in_s:.0f} s."
                self._write(*self._thinner.admit(text, self._clock_s()))

    def ended(self, trial: PlannedTrial, result: AttemptResult, *, final: bool) -> None:
        """Write how the attempt ended."""
        with self._lock:
            self._progress = self._progress.hear_end(trial, result, final=final)
            self._write(self._ending(self._progress.recent[-1]))

    def line(self, text: str) -> None:
        """Write a remark, thinned out when they come in floods."""
        with self._lock:
            self._progress = self._progress.hear_line(text)
            self._write(*self._thinner.admit(self._progress.last_line, self._clock_s()))

    def tick(self) -> None:
        """Write what is due by the clock: held remarks, and a sign of life after a minute of silence."""
        with self._lock:
            now_s = self._clock_s()
            self._write(*self._thinner.due(now_s))
            if self._progress.planned and now_s - self._wrote_s >= _SILENCE_S:
                self._write(self._sign_of_life(now_s))

    def _beating(self) -> None:
        while not self._over.wait(1.0):
            self.tick()

    def _ending(self, ending: Ending) -> str:
        width = len(str(self._progress.planned))
        word = f"{ending.word:<7}"
        if self._coloured:
            word = f"\x1b[{_COLOURS[ending.word]}m{word}\x1b[0m"
        parts = [f"{ending.task} · {ending.candidate} · repeat {ending.repeat}", clock(ending.duration_s)]
        parts += ["control"] if ending.control else []
        parts += [f"${ending.cost_usd:.2f}"] if ending.cost_usd is not None else []
        parts += [ending.remark] if ending.remark else []
        return f"[{self._progress.done:>{width}}/{self._progress.planned}] {word} {'  '.join(parts)}"

    def _sign_of_life(self, now_s: float) -> str:
        progress = self._progress
        parts = [f"still going: {progress.done}/{progress.planned} done", f"{len(progress.running)} running"]
        if progress.running:
            oldest = min(progress.running.values(), key=lambda trial: trial.began_s)
            parts.append(
                f"longest {oldest.task} · {oldest.candidate} ({oldest.where or 'starting'}) "
                f"for {clock(now_s - oldest.began_s)}"
            )
        parts += filter(None, (counts(progress), money(progress), time_left(progress.left_s(now_s))))
        return ", ".join(parts)

    def _write(self, *lines: str) -> None:
        for text in lines:
            self._wrote_s = self._clock_s()
            with suppress(OSError, ValueError):
                print(text, file=self._stream, flush=True)
