"""Every pair of candidates, task by task, and what the data settle between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from harness.analysis.standing import scores_of
from harness.analysis.tables import Comparison, TrialRow
from harness.statistics import (
    Interval,
    PairedDifference,
    holm,
    paired_difference,
    planned_variance,
    task_means,
    tasks_needed,
)

ALPHA = 0.05
"""The chance of a false finding in the whole run that a settled verdict allows."""

PLANNED_DIFFERENCE = 0.10
"""The difference to plan for where none was seen."""

Outcomes = Mapping[str, Sequence[float]]
Settled = Literal["tasks like these", "these tasks", "no"]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Side:
    """One candidate's outcomes per task: as seen, and with every unknown one a failure or a success."""

    name: str
    seen: Outcomes
    worst: Outcomes
    best: Outcomes
    unscored: int


def comparisons(
    ordered: Sequence[str], rows: Sequence[TrialRow], *, unsound: AbstractSet[str] = frozenset()
) -> tuple[Comparison, ...]:
    """Compare all pairs of ``ordered`` (best first) on their sound tasks; pairs without one are left out."""
    sound = [row for row in rows if row.task not in unsound]
    tasks = tuple(dict.fromkeys(row.task for row in rows))
    sides = [_side(name, [row for row in sound if row.candidate == name]) for name in ordered]
    pairs = [
        (a, b, difference)
        for a, b in combinations(sides, 2)
        if (difference := paired_difference(a.seen, b.seen)) is not None
    ]
    adjusted = iter(holm([seen.p_value for _, _, seen in pairs if seen.p_value is not None]))
    return tuple(
        _comparison(
            a, b, seen, p_adjusted=None if seen.p_value is None else next(adjusted), pairs=len(pairs), tasks=tasks
        )
        for a, b, seen in pairs
    )


def _side(name: str, rows: Sequence[TrialRow]) -> _Side:
    return _Side(
        name=name,
        seen=scores_of(rows).get(name, {}),
        worst=scores_of(rows, unscored_as=0.0).get(name, {}),
        best=scores_of(rows, unscored_as=1.0).get(name, {}),
        unscored=sum(not row.scored for row in rows),
    )


def _comparison(
    a: _Side, b: _Side, seen: PairedDifference, *, p_adjusted: float | None, pairs: int, tasks: tuple[str, ...]
) -> Comparison:
    means_a, means_b = task_means(a.seen), task_means(b.seen)
    shared = means_a.keys() & means_b.keys()
    lowest = paired_difference(a.worst, b.best) or seen
    highest = paired_difference(a.best, b.worst) or seen
    return Comparison(
        a=a.name,
        b=b.name,
        difference=seen,
        p_adjusted=p_adjusted,
        settled=_settled(a, b, seen, p_adjusted=p_adjusted, pairs=pairs),
        worst=Interval(low=lowest.value, high=highest.value, level=1.0),
        better_a=tuple(task for task in tasks if task in shared and means_a[task] > means_b[task]),
        better_b=tuple(task for task in tasks if task in shared and means_a[task] < means_b[task]),
        left_out=tuple(task for task in tasks if task not in shared),
        unscored=a.unscored + b.unscored,
        tasks_needed=_tasks_needed(a, b, seen),
    )


def _settled(a: _Side, b: _Side, seen: PairedDifference, *, p_adjusted: float | None, pairs: int) -> Settled:
    """Say what holds as seen and also with every unknown outcome against the one that seems better."""
    level = 1 - ALPHA / pairs
    ahead = seen.value > 0
    unkind = (a.worst, b.best) if ahead else (a.best, b.worst)
    hard = paired_difference(*unkind, level=level) or seen
    if seen.value == 0 or (hard.value > 0) is not ahead:
        return "no"
    like = p_adjusted is not None and p_adjusted < ALPHA and seen.like is not None and seen.like.excludes(0)
    if like and hard.p_value is not None and hard.p_value * pairs < ALPHA:
        return "tasks like these"
    again = paired_difference(a.seen, b.seen, level=level) or seen
    return "these tasks" if again.these.excludes(0) and hard.these.excludes(0) else "no"


def _tasks_needed(a: _Side, b: _Side, seen: PairedDifference) -> int:
    """Plan with the spread seen between tasks; with values from the literature where too few tasks show one."""
    if seen.sd and seen.tasks >= 6:
        variance = seen.sd**2
    else:
        shared = a.seen.keys() & b.seen.keys()
        repeats = [sum(len(side.seen[task]) for task in shared) / seen.tasks for side in (a, b)]
        variance = planned_variance(repeats[0], repeats[1])
    return tasks_needed(variance, abs(seen.value) if abs(seen.value) >= 0.01 else PLANNED_DIFFERENCE)
