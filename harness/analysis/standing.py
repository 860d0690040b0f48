"""Who solved what, for how much: coverage, leaderboard, grid, spend, flags."""

from __future__ import annotations

import statistics as plain
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import TypeVar

from harness.analysis.record import RunRecord, TrialRecord
from harness.analysis.rows import known_sum
from harness.analysis.tables import Cell, Coverage, FlagRow, GridRow, Spend, Standing, TrialRow
from harness.schema.candidate import Candidate
from harness.statistics import cost_per_solved, outcome_bounds, solve_rate

Item = TypeVar("Item")

Scores = Mapping[str, Mapping[str, Sequence[float]]]
"""Candidate → task → outcomes (0 or 1) of the repeats that have a verdict."""


def scores_of(rows: Iterable[TrialRow], *, unscored_as: float | None = None) -> Scores:
    """Return the outcomes per candidate and task; trials without a verdict are left out, or count as given."""
    scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        value = float(bool(row.passed)) if row.scored else unscored_as
        if value is not None:
            scores[row.candidate][row.task].append(value)
    return scores


def coverage(candidates: Sequence[Candidate], rows: Sequence[TrialRow]) -> tuple[Coverage, ...]:
    """Count what became of every planned trial, candidate by candidate."""
    by_candidate = _by(rows, lambda row: row.candidate)
    return tuple(_coverage(candidate, by_candidate.get(candidate.name, [])) for candidate in candidates)


def _coverage(candidate: Candidate, rows: Sequence[TrialRow]) -> Coverage:
    states = [row.end_state for row in rows]
    passed = sum(row.passed is True and row.scored for row in rows)
    scored = sum(row.scored for row in rows)
    return Coverage(
        candidate=candidate.name,
        role=candidate.role,
        planned=len(rows),
        verdict=states.count("verdict"),
        limit=states.count("limit"),
        infra=states.count("infra"),
        missing=states.count("missing"),
        passed=passed,
        failed=scored - passed,
        limit_passed=sum(row.outcome == "limit_passed" for row in rows),
        unscored=len(rows) - scored,
        bounds=outcome_bounds(passed, scored - passed, len(rows) - scored),
    )


def leaderboard(
    names: Sequence[str], rows: Sequence[TrialRow], *, unsound: AbstractSet[str] = frozenset()
) -> tuple[Standing, ...]:
    """Order the candidates by rate over the sound tasks, then by cost per solved; without a rate last."""
    by_candidate = _by(rows, lambda row: row.candidate)
    standings = [_standing(name, by_candidate.get(name, []), unsound) for name in names]
    standings.sort(key=_place)
    return tuple(_ranked(standings))


def _place(standing: Standing) -> tuple[float, float, str]:
    cost = standing.cost_per_solved_usd
    rate = -1.0 if standing.rate is None else standing.rate.value
    return (-round(rate, 9), float("inf") if cost is None else cost, standing.candidate)


def _ranked(standings: Sequence[Standing]) -> Iterable[Standing]:
    """Give equal rates the same rank: cost orders the lines, it does not decide the place."""
    rank, seen = 0, None
    for position, standing in enumerate(standings, start=1):
        rate = None if standing.rate is None else round(standing.rate.value, 9)
        rank, seen = (rank, seen) if position > 1 and rate == seen else (position, rate)
        yield replace(standing, rank=rank)


def _standing(name: str, rows: Sequence[TrialRow], unsound: AbstractSet[str]) -> Standing:
    sound = [row for row in rows if row.task not in unsound]
    scored = [row for row in sound if row.scored]
    calls = sum(row.tool_calls or 0 for row in rows)
    errors = sum(row.tool_errors or 0 for row in rows)
    solved = sum(row.passed is True for row in scored)
    complete = bool(rows) and all(row.cost_complete for row in rows if row.attempts)
    price = cost_per_solved([row.cost_usd or 0.0 for row in sound], [row.passed is True for row in sound])
    return Standing(
        rank=0,
        candidate=name,
        rate=solve_rate(scores_of(scored).get(name, {})),
        solved=solved,
        scored=len(scored),
        planned=len(rows),
        cost_usd=known_sum(row.cost_usd for row in rows),
        cost_complete=complete,
        cost_per_solved_usd=price.value if complete and price else None,
        median_time_s=_median(row.duration_s if row.agent_s is None else row.agent_s for row in scored),
        median_turns=_median(row.turns for row in scored),
        median_tokens=_median(row.tokens for row in scored),
        tool_calls=calls,
        tool_error_rate=errors / calls if calls else None,
    )


def grid(
    tasks: Sequence[tuple[str, str]],
    names: Sequence[str],
    rows: Sequence[TrialRow],
    *,
    unsound: AbstractSet[str] = frozenset(),
) -> tuple[GridRow, ...]:
    """Return a row per task (name and digest given), most disagreement among candidates first."""
    places: dict[tuple[str, str], list[int]] = defaultdict(list)
    for position, row in enumerate(rows):
        places[row.task, row.candidate].append(position)
    table = [
        GridRow(
            task=task,
            digest=digest,
            sound=task not in unsound,
            disagreement=_disagreement(cells),
            cells=cells,
        )
        for task, digest in tasks
        for cells in [tuple(_cell(name, places.get((task, name), []), rows) for name in names)]
    ]
    return tuple(sorted(table, key=lambda row: -(row.disagreement or 0.0)))


def _cell(name: str, places: Sequence[int], rows: Sequence[TrialRow]) -> Cell:
    scored = [rows[place] for place in places if rows[place].scored]
    return Cell(
        candidate=name, trials=tuple(places), passed=sum(row.passed is True for row in scored), scored=len(scored)
    )


def _disagreement(cells: Sequence[Cell]) -> float | None:
    rates = [cell.passed / cell.scored for cell in cells if cell.scored]
    return max(rates) - min(rates) if len(rates) > 1 else None


def spend(candidates: Sequence[Candidate], record: RunRecord) -> tuple[Spend, ...]:
    """Return what each candidate's attempts cost, also the ones that do not count."""
    trials = _by(record.trials, lambda trial: trial.plan.candidate)
    return tuple(_spend(candidate.name, trials.get(candidate.name, [])) for candidate in candidates)


def _spend(name: str, trials: Sequence[TrialRecord]) -> Spend:
    counted = [trial.counted for trial in trials if trial.counted]
    failed = [line.result for trial in trials for line in trial.ended if line.result is not trial.counted]
    discarded = [line for trial in trials for line in trial.discarded]
    unknown = sum(r.cost_usd is None or not r.cost_complete for r in (*counted, *failed))
    unknown += sum(line.cost_usd is None for line in discarded) + sum(len(trial.open) for trial in trials)
    costs = [known_sum(r.cost_usd for r in results) for results in (counted, failed, discarded)]
    used = [result.tokens for result in (*counted, *failed)] + [line.tokens for line in discarded]
    tokens = known_sum(item.total for item in used)
    return Spend(
        candidate=name,
        attempts=sum(len(trial.started) for trial in trials),
        counted_usd=costs[0],
        failed_usd=costs[1],
        discarded_usd=costs[2],
        total_usd=known_sum(costs),
        unknown_attempts=unknown,
        tokens=None if tokens is None else int(tokens),
    )


def flag_rows(rows: Sequence[TrialRow]) -> tuple[FlagRow, ...]:
    """Return each integrity flag with the trials that carry it, the most frequent first."""
    found: dict[str, list[int]] = defaultdict(list)
    for position, row in enumerate(rows):
        for flag in row.flags:
            found[flag].append(position)
    ordered = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    return tuple(FlagRow(flag=flag, trials=tuple(places)) for flag, places in ordered)


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(plain.median(known)) if known else None


def _by(items: Iterable[Item], key: Callable[[Item], str]) -> dict[str, list[Item]]:
    groups: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        groups[key(item)].append(item)
    return groups
