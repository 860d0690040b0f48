"""The journal folded per trial: which attempts there were, and which one counts. Reads no events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.errors import RecordError
from harness.ports import Store
from harness.schema.plan import Plan, PlannedTrial
from harness.schema.result import (
    AttemptDiscarded,
    AttemptEnded,
    AttemptResult,
    AttemptStarted,
    JournalLine,
    RunClosed,
    RunOpened,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialRecord:
    """One trial's attempts. ``started`` holds the numbers of attempts of which the journal tells."""

    plan: PlannedTrial
    started: frozenset[int]
    ended: tuple[AttemptEnded, ...]
    discarded: tuple[AttemptDiscarded, ...]

    @property
    def counted(self) -> AttemptResult | None:
        """The result that counts: the last final one, ``None`` while there is none."""
        return next((line.result for line in reversed(self.ended) if line.final), None)

    @property
    def last(self) -> AttemptResult | None:
        """The last attempt that ended by itself, final or not."""
        return self.ended[-1].result if self.ended else None

    @property
    def open(self) -> frozenset[int]:
        """Attempts that neither ended nor were discarded: running, or cut off with the process."""
        closed = {line.result.attempt for line in self.ended} | {line.attempt for line in self.discarded}
        return self.started - closed


@dataclass(frozen=True, kw_only=True, slots=True)
class RunRecord:
    """A plan and what the journal says of it. Lines of trials that the plan does not hold are left out."""

    plan: Plan
    trials: tuple[TrialRecord, ...]
    opened: tuple[RunOpened, ...]
    closed: RunClosed | None

    def results(self) -> Iterator[AttemptResult]:
        """Every attempt that ended by itself, also those that do not count."""
        return (line.result for trial in self.trials for line in trial.ended)


def read_record(store: Store) -> RunRecord:
    """Fold the journal of ``store``. Raises ``RecordError`` when the folder holds no plan."""
    plan = store.plan()
    if plan is None:
        raise RecordError(
            f"There is no plan in {store.folder}.", hint="Give the folder of a run: the one with plan.json."
        )
    return fold_journal(plan, store.journal())


def fold_journal(plan: Plan, journal: Sequence[JournalLine]) -> RunRecord:
    """Sort the journal's lines by trial, in the order of the plan."""
    started: dict[str, set[int]] = defaultdict(set)
    ended: dict[str, list[AttemptEnded]] = defaultdict(list)
    discarded: dict[str, list[AttemptDiscarded]] = defaultdict(list)
    opened: list[RunOpened] = []
    closed: RunClosed | None = None
    for line in journal:
        match line:
            case RunOpened():
                opened.append(line)
                closed = None
            case RunClosed():
                closed = line
            case AttemptStarted():
                started[line.trial].add(line.attempt)
            case AttemptEnded():
                started[line.result.trial].add(line.result.attempt)
                ended[line.result.trial].append(line)
            case AttemptDiscarded():
                started[line.trial].add(line.attempt)
                discarded[line.trial].append(line)
    trials = tuple(
        TrialRecord(
            plan=trial,
            started=frozenset(started.get(trial.id, ())),
            ended=tuple(ended.get(trial.id, ())),
            discarded=tuple(discarded.get(trial.id, ())),
        )
        for trial in plan.trials
    )
    return RunRecord(plan=plan, trials=trials, opened=tuple(opened), closed=closed)
