"""From what an attempt's events sum up to, to how it ended. Pure; decided by evidence, in this order:

rewards were reported after a limit → ``limit``; rewards were reported → ``verdict``; anything else → ``infra``,
with the error that says what broke, and the limit if one had been reached before.
"""

from __future__ import annotations

from harness.journal import AttemptSummary
from harness.schema.event import ErrorRecord
from harness.schema.result import AttemptResult, EndState
from harness.scoring.rewards import headline, passed

_UNEXPLAINED = ErrorRecord(
    type="AttemptIncomplete",
    cause="harness",
    retryable=False,
    message="The attempt ended without a reward and without an error.",
    hint="This is a defect of the harness; please report it with the record of the attempt.",
)


def attempt_result(trial: str, number: int, summary: AttemptSummary) -> AttemptResult:
    """Return how the attempt ended. Durations in seconds; an unknown cost stays ``None``."""
    rewards = summary.rewards
    end_state: EndState = "infra"
    if rewards is not None and summary.error is None:
        end_state = "limit" if summary.limit is not None else "verdict"
    scored = end_state != "infra" and rewards is not None
    return AttemptResult(
        trial=trial,
        attempt=number,
        end_state=end_state,
        rewards=rewards,
        reward=headline(rewards) if scored and rewards is not None else None,
        passed=passed(rewards) if scored and rewards is not None else None,
        limit=summary.limit,
        error=None if scored else summary.error or _UNEXPLAINED,
        started_at=summary.started_at,
        ended_at=summary.ended_at,
        duration_s=summary.duration_s,
        phases=summary.phases,
        turns=summary.turns,
        tool_calls=summary.tool_calls,
        tool_errors=summary.tool_errors,
        model_retries=summary.model_retries,
        tokens=summary.tokens,
        cost_usd=summary.cost_usd,
        cost_complete=summary.cost_complete,
        claim=summary.claim,
        image=summary.image,
        served_models=summary.served_models,
        flags=_flags(summary),
    )


def _flags(summary: AttemptSummary) -> tuple[str, ...]:
    """Return the integrity flags: marks on a result that may not mean what it seems."""
    forged = summary.verifier_end is not None and summary.verifier_end.forged
    return ("reward forged",) if forged else ()
