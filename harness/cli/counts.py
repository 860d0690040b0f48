"""A run in numbers, and the exit code that they mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.cli.interrupts import Interrupts
from harness.errors import EXIT_BUDGET, EXIT_INCOMPLETE, EXIT_OK
from harness.journal import TrialState
from harness.run import RunOutcome
from harness.schema.plan import Plan

_INCOMPLETE_SHARE = 0.02
"""Share of trials without a verdict above which a run is called incomplete (exit code 3)."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """The run in numbers, by end state."""

    planned: int
    verdict: int
    passed: int
    limit: int
    infra: int
    missing: int
    cost_usd: float | None

    @classmethod
    def of(cls, plan: Plan, states: Mapping[str, TrialState]) -> Counts:
        """Count the plan's trials by how they ended; the cost of failed attempts counts, an unknown one is said."""
        ended = [states[trial.id].final for trial in plan.trials if trial.id in states]
        results = [result for result in ended if result is not None]
        by_end = {end: sum(result.end_state == end for result in results) for end in ("verdict", "limit", "infra")}
        spend = [state.spend for state in states.values()]
        return cls(
            planned=len(plan.trials),
            verdict=by_end["verdict"],
            passed=sum(bool(result.passed) for result in results),
            limit=by_end["limit"],
            infra=by_end["infra"],
            missing=len(plan.trials) - len(results),
            cost_usd=sum(part.cost_usd for part in spend) if all(part.complete for part in spend) else None,
        )

    def as_json(self) -> dict[str, int | float | None]:
        """Return the keys of the last line of ``run --json``."""
        return {
            "planned": self.planned,
            "verdict": self.verdict,
            "passed": self.passed,
            "limit": self.limit,
            "infra": self.infra,
            "missing": self.missing,
            "cost_usd": self.cost_usd,
        }


def exit_code(counts: Counts, outcome: RunOutcome, interrupts: Interrupts) -> int:
    """Return what a script is told: signals first, then the budget, then trials without a verdict."""
    if interrupts.signal is not None and counts.missing:
        return interrupts.exit_code
    if outcome.reason == "budget":
        return EXIT_BUDGET
    without = counts.infra + counts.missing
    return EXIT_INCOMPLETE if without > _INCOMPLETE_SHARE * counts.planned else EXIT_OK
