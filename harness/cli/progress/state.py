"""What is known of a run while it goes on: a fold over what a watcher hears. Pure.

Every method of ``Progress`` returns a new one. Times are seconds on any clock that only moves forward. Text
from tasks, models and providers is cleaned here, once, so that no drawing can be led astray by it.
"""

from __future__ import annotations

import math
import re
import statistics
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from harness.schema.event import AnyEvent, ModelCalled, ModelReplied, PhaseStarted, ToolEnded, ToolStarted
from harness.schema.plan import Plan, PlannedTrial
from harness.schema.result import AttemptResult

Outcome = Literal["pass", "fail", "limit", "infra", "missing"]
OUTCOMES: tuple[Outcome, ...] = ("pass", "fail", "limit", "infra", "missing")

_PHASES = {
    "image": "image",
    "sandbox": "starting",
    "healthcheck": "healthcheck",
    "agent": "agent",
    "collect": "collecting",
    "verifier": "hidden tests",
    "teardown": "closing",
}
_RECENT = 4
_ENOUGH_FOR_ETA = 3
_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|[\]PX^_].*?(\x1b\\|\x07|$)|[@-Z\\-_]?)", re.DOTALL)


def clean(text: str, limit: int = 200) -> str:
    """Return ``text`` as one line without control codes or direction marks, at most ``limit`` characters."""
    bare = _ESCAPES.sub("", text[: 4 * limit])
    kept = "".join(" " if char.isspace() else char for char in bare if _printable(char))
    line = " ".join(kept.split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def _printable(char: str) -> bool:
    return char.isspace() or not unicodedata.category(char).startswith("C")


@dataclass(frozen=True, kw_only=True)
class Running:
    """A trial at work. ``doing`` is what is waited for, where that is worth a word."""

    task: str
    candidate: str
    repeat: int
    attempt: int
    began_s: float
    phase: str = ""
    turn: int = 0
    doing: str = ""
    cost_usd: float = 0.0

    @property
    def where(self) -> str:
        """How far it is, in a few words."""
        return " · ".join(filter(None, (self.phase, f"turn {self.turn}" if self.turn else "", self.doing)))


@dataclass(frozen=True, kw_only=True)
class Ending:
    """An attempt that ended. ``remark`` says why, where the outcome alone does not."""

    task: str
    candidate: str
    repeat: int
    outcome: Outcome
    final: bool
    control: bool
    duration_s: float
    cost_usd: float | None
    remark: str = ""

    @property
    def word(self) -> str:
        """The outcome, or that another attempt follows."""
        return self.outcome if self.final else "again"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A run as far as it is known.

    ``before`` trials were complete when this process took up the run. ``outcomes`` counts the candidates'
    trials that ended since; controls are counted apart, for a nop that fails is as it should be.
    ``durations_s`` holds every trial that ended for good. ``spend_known`` is false once a call's cost was
    not known; ``spend_usd`` is then a lower bound, and ``None`` when no call's cost is known yet.
    """

    name: str = ""
    size: str = ""
    notes: tuple[tuple[str, str], ...] = ()
    controls: frozenset[str] = frozenset()
    planned: int = 0
    before: int = 0
    began_s: float = 0.0
    running: Mapping[str, Running] = field(default_factory=dict)
    outcomes: Mapping[Outcome, int] = field(default_factory=dict)
    controls_done: int = 0
    durations_s: tuple[float, ...] = ()
    most_at_once: int = 0
    recent: tuple[Ending, ...] = ()
    ended_cost_usd: float | None = None
    spend_known: bool = True
    last_line: str = ""

    @property
    def done(self) -> int:
        """Trials that ended for good, earlier ones included."""
        return self.before + len(self.durations_s)

    @property
    def spend_usd(self) -> float | None:
        """What is spent since this process took up the run, running trials included."""
        running = sum(trial.cost_usd for trial in self.running.values())
        return running or None if self.ended_cost_usd is None else self.ended_cost_usd + running

    # -------------------------------------------------------------------------------- what is heard

    def hear_plan(self, plan: Plan, pending: Sequence[PlannedTrial], now_s: float) -> Progress:
        """Take in what is to be done."""
        competing = [one for one in plan.candidates if one.role == "candidate"]
        return Progress(
            name=clean(plan.name),
            size=_size(plan, len(competing)),
            notes=tuple((clean(one.name), clean(one.note)) for one in plan.candidates if one.note),
            controls=frozenset(one.name for one in plan.candidates if one.role == "control"),
            planned=len(plan.trials),
            before=len(plan.trials) - len(pending),
            began_s=now_s,
            last_line=self.last_line,
        )

    def hear_start(self, trial: PlannedTrial, attempt: int, now_s: float) -> Progress:
        """Take in that an attempt began."""
        new = Running(
            task=clean(trial.task),
            candidate=clean(trial.candidate),
            repeat=trial.repeat,
            attempt=attempt,
            began_s=now_s,
        )
        running = {**self.running, trial.id: new}
        return replace(self, running=running, most_at_once=max(self.most_at_once, len(running)))

    def hear_event(self, trial: PlannedTrial, event: AnyEvent) -> Progress:
        """Take in an event of a running attempt; events of attempts that are over change nothing."""
        known = self.running.get(trial.id)
        if known is None:
            return self
        spend_known = self.spend_known
        match event:
            case PhaseStarted():
                known = replace(known, phase=_PHASES[event.phase], doing="")
            case ModelReplied():
                spend_known = spend_known and event.reply.cost_usd is not None
                cost = known.cost_usd + (event.reply.cost_usd or 0.0)
                known = replace(known, turn=event.turn, doing="", cost_usd=cost)
            case ModelCalled() if event.retry_in_s is not None:
                known = replace(known, doing=f"the provider is asked again in {event.retry_in_s:.0f} s")
            case ToolStarted():
                known = replace(known, doing=clean(event.call.name, 20))
            case ToolEnded():
                known = replace(known, doing="")
            case _:
                return self
        return replace(self, running={**self.running, trial.id: known}, spend_known=spend_known)

    def hear_end(self, trial: PlannedTrial, result: AttemptResult, *, final: bool) -> Progress:
        """Take in how an attempt ended."""
        control = trial.candidate in self.controls
        ending = _ending(trial, result, final=final, control=control)
        spent = self.ended_cost_usd
        if result.cost_usd is not None:
            spent = (spent or 0.0) + result.cost_usd
        heard = replace(
            self,
            running={key: value for key, value in self.running.items() if key != trial.id},
            recent=(*self.recent, ending)[-_RECENT:],
            ended_cost_usd=spent,
            spend_known=self.spend_known and result.cost_complete,
        )
        if not final:
            return heard
        heard = replace(heard, durations_s=(*self.durations_s, result.duration_s))
        if control:
            return replace(heard, controls_done=self.controls_done + 1)
        counts = {**self.outcomes, ending.outcome: self.outcomes.get(ending.outcome, 0) + 1}
        return replace(heard, outcomes=counts)

    def hear_line(self, text: str) -> Progress:
        """Take in a remark."""
        return replace(self, last_line=clean(text, 500))

    # --------------------------------------------------------------------------------- what follows

    def left_s(self, now_s: float) -> tuple[float, float] | None:
        """Return the seconds that the rest may take, as a range; ``None`` while too little is known.

        Trials that ended are a sample of those to come: the range is their mean for what is left, give or
        take twice its standard error of prediction, over as many trials as ran at the same time.
        """
        sample, rest = self.durations_s, self.planned - self.done
        if len(sample) < _ENOUGH_FOR_ETA or rest <= 0:
            return None
        mean = statistics.fmean(sample)
        worked = sum(min(now_s - trial.began_s, mean) for trial in self.running.values())
        spread = statistics.stdev(sample) * math.sqrt(rest + rest**2 / len(sample))
        together = max(min(self.most_at_once, rest), 1)
        low = max(rest * mean - worked - 2 * spread, 0.0) / together
        return low, max(rest * mean - worked + 2 * spread, 0.0) / together


def _size(plan: Plan, competing: int) -> str:
    repeats = max((trial.repeat for trial in plan.trials), default=0)
    first = min((trial.repeat for trial in plan.trials), default=0)
    parts = [many(len(plan.tasks), "task")]
    controls = [one.name for one in plan.candidates if one.role == "control"]
    if not competing:
        return " × ".join([*parts, many(len(controls), "control"), many(repeats - first + 1, "repeat")])
    parts += [many(competing, "candidate"), many(repeats - first + 1, "repeat")]
    extra = sum(trial.candidate in controls for trial in plan.trials)
    return " × ".join(parts) + (f", and {many(extra, 'control')}" if extra else "")


def many(number: int, word: str) -> str:
    """Return a number with its noun."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def _ending(trial: PlannedTrial, result: AttemptResult, *, final: bool, control: bool) -> Ending:
    verdict: Outcome = "pass" if result.passed else "fail"
    remark = result.error.message if result.error else ""
    if result.limit is not None:
        remark = f"{result.limit.kind} used up{', its work passes' if result.passed else ''}"
    return Ending(
        task=clean(trial.task),
        candidate=clean(trial.candidate),
        repeat=trial.repeat,
        outcome=verdict if result.end_state == "verdict" else result.end_state,
        final=final,
        control=control,
        duration_s=result.duration_s,
        cost_usd=result.cost_usd,
        remark=clean(remark),
    )
