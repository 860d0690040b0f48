"""One row per planned trial, from the journal alone."""

from __future__ import annotations

import math
from collections.abc import Iterable

from pydantic import JsonValue

from harness.analysis.record import RunRecord, TrialRecord, read_record
from harness.analysis.tables import Outcome, TrialRow
from harness.ports import Store
from harness.schema.candidate import Candidate
from harness.schema.result import AttemptResult, EndState

RESULT_FIELDS = (
    "task",
    "candidate",
    "agent",
    "model",
    "repeat",
    "end_state",
    "passed",
    "reward",
    "rewards",
    "duration_s",
    "turns",
    "tokens",
    "cost_usd",
    "attempts",
    "flags",
    "error",
)
"""The keys of a line of ``harness results --json``, which scripts rely on."""


def result_rows(store: Store) -> tuple[TrialRow, ...]:
    """Return one row per planned trial, in the plan's order. Raises ``RecordError`` without a plan."""
    return trial_rows(read_record(store))


def result_object(row: TrialRow) -> dict[str, JsonValue]:
    """Return a row as the JSON object that ``harness results --json`` prints."""
    values = {name: getattr(row, name) for name in RESULT_FIELDS}
    return values | {"flags": list(row.flags)}


def trial_rows(record: RunRecord) -> tuple[TrialRow, ...]:
    """Return one row per planned trial, in the plan's order."""
    candidates = {candidate.name: candidate for candidate in record.plan.candidates}
    return tuple(_row(trial, candidates[trial.plan.candidate]) for trial in record.trials)


def model_name(candidate: Candidate) -> str | None:
    """Return the model as the user wrote it, ``None`` for agents without one."""
    return f"{candidate.model.provider}/{candidate.model.name}" if candidate.model else None


def _row(trial: TrialRecord, candidate: Candidate) -> TrialRow:
    counted = trial.counted
    shown = counted or trial.last
    state: EndState = counted.end_state if counted else "missing"
    scored = counted if counted and state in {"verdict", "limit"} else None
    cost, complete = _cost(trial)
    return TrialRow(
        trial=trial.plan.id,
        task=trial.plan.task,
        candidate=candidate.name,
        agent=candidate.agent,
        model=model_name(candidate),
        repeat=trial.plan.repeat,
        end_state=state,
        outcome=_outcome(state, scored.passed if scored else None),
        passed=scored.passed if scored else None,
        reward=scored.reward if scored else None,
        rewards=scored.rewards if scored else None,
        duration_s=shown.duration_s if shown else None,
        agent_s=shown.phases.get("agent") if shown else None,
        turns=shown.turns if shown else None,
        tool_calls=shown.tool_calls if shown else None,
        tool_errors=shown.tool_errors if shown else None,
        tokens=_tokens(trial),
        cost_usd=cost,
        cost_complete=complete,
        attempts=len(trial.started),
        attempt=shown.attempt if shown else max(trial.started, default=None),
        limit=shown.limit.kind if shown and shown.limit else None,
        flags=shown.flags if shown else (),
        error=_error(shown, trial),
        error_cause=shown.error.cause if shown and shown.error else None,
    )


def _outcome(state: EndState, passed: bool | None) -> Outcome:
    match state:
        case "infra" | "missing":
            return state
        case "limit":
            return "limit_unknown" if passed is None else "limit_passed" if passed else "limit_failed"
        case "verdict":
            return "passed" if passed else "failed" if passed is not None else "infra"


def _cost(trial: TrialRecord) -> tuple[float | None, bool]:
    """Money over all attempts, and whether it is all of it. Attempts cut off with the process are unknown."""
    known = [line.result.cost_usd for line in trial.ended] + [line.cost_usd for line in trial.discarded]
    complete = (
        not trial.open
        and all(cost is not None for cost in known)
        and all(r.result.cost_complete for r in trial.ended)
    )
    return known_sum(known), complete and bool(known)


def _tokens(trial: TrialRecord) -> int | None:
    counts = [line.result.tokens.total for line in trial.ended] + [line.tokens.total for line in trial.discarded]
    total = known_sum(counts)
    return None if total is None else int(total)


def known_sum(values: Iterable[float | None]) -> float | None:
    """Add the known values; ``None`` when none is known."""
    known = [value for value in values if value is not None]
    return math.fsum(known) if known else None


def _error(shown: AttemptResult | None, trial: TrialRecord) -> str | None:
    if shown and shown.error:
        return f"{shown.error.message} {shown.error.hint}".strip()
    if trial.counted is None and trial.discarded:
        return trial.discarded[-1].reason
    return None
