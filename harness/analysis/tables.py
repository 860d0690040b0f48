"""The typed tables that every report is made from. Data only: how they come about is in the neighbours' modules.

All of them are JSON-able (``TABLES`` serialises and describes them). Rates and shares are fractions, money is
in USD, times in seconds. Unknown is ``None``, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.schema.base import SCHEMA_VERSION
from harness.schema.result import EndState
from harness.schema.sandbox import BaseSubstitution
from harness.statistics import Interval, PairedDifference, Rate

Outcome = Literal["passed", "failed", "limit_passed", "limit_failed", "limit_unknown", "infra", "missing"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialRow:
    """One planned trial and how it stands.

    ``end_state``, ``rewards``, ``duration_s``, ``turns``, tools and ``error`` are those of the attempt that
    counts (``attempt``); ``tokens`` (input plus output) and ``cost_usd`` sum over all ``attempts``, also failed
    and discarded ones. A trial whose last attempt awaits another is ``missing`` and keeps that attempt's error.
    ``cost_complete`` is false when some of the money is unknown.
    """

    trial: str
    task: str
    candidate: str
    agent: str
    model: str | None
    repeat: int
    end_state: EndState
    outcome: Outcome
    passed: bool | None
    reward: float | None
    rewards: dict[str, float] | None
    duration_s: float | None
    agent_s: float | None
    turns: int | None
    tool_calls: int | None
    tool_errors: int | None
    tokens: int | None
    cost_usd: float | None
    cost_complete: bool
    attempts: int
    attempt: int | None
    limit: str | None
    flags: tuple[str, ...]
    error: str | None
    error_cause: str | None

    @property
    def scored(self) -> bool:
        """Whether hidden tests gave a verdict on this trial."""
        return self.passed is not None and self.end_state in {"verdict", "limit"}


@dataclass(frozen=True, kw_only=True, slots=True)
class CandidateFacts:
    """What a candidate is, for readers. ``note`` is shown wherever the name is ("scripted player")."""

    name: str
    role: Literal["candidate", "control"]
    agent: str
    model: str | None
    api: str | None
    effort: str | None
    note: str
    served_models: tuple[str, ...]

    @property
    def label(self) -> str:
        """The name with its note."""
        return f"{self.name} ({self.note})" if self.note else self.name


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFacts:
    """What was run, when and by what. ``repeats`` is the least and the greatest number per task and candidate."""

    name: str
    created_at: str
    started_at: str | None
    ended_at: str | None
    closed: str | None
    harness_version: str
    commit: str | None
    dirty: bool
    platform: str
    hosts: tuple[str, ...]
    tasks: int
    candidates: int
    controls: int
    trials: int
    repeats: tuple[int, int]
    limits: dict[str, float]
    timeout_multiplier: float
    network: str | None
    prices_version: str
    substitutions: tuple[BaseSubstitution, ...]
    certificates: int
    index_settings: tuple[str, ...]
    trust_skipped: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """What became of a candidate's planned trials. ``passed`` and ``unscored`` cut across the four end states.

    ``bounds`` are the least and greatest share of solved trials that the ``unscored`` ones allow.
    """

    candidate: str
    role: Literal["candidate", "control"]
    planned: int
    verdict: int
    limit: int
    infra: int
    missing: int
    passed: int
    failed: int
    limit_passed: int
    unscored: int
    bounds: Interval | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """A candidate's place. Rates are over the sound tasks; money is over all attempts of all its trials.

    ``cost_per_solved_usd`` is ``None`` when nothing was solved or some cost is unknown.
    Medians are over trials with a verdict; ``tool_error_rate`` over all tool calls of attempts that count.
    """

    rank: int
    candidate: str
    rate: Rate | None
    solved: int
    scored: int
    planned: int
    cost_usd: float | None
    cost_complete: bool
    cost_per_solved_usd: float | None
    median_time_s: float | None
    median_turns: float | None
    median_tokens: float | None
    tool_calls: int
    tool_error_rate: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One candidate's repeats on one task, as positions in ``Tables.trials``."""

    candidate: str
    trials: tuple[int, ...]
    passed: int
    scored: int


@dataclass(frozen=True, kw_only=True, slots=True)
class GridRow:
    """One task. ``disagreement`` is the greatest minus the least rate among candidates, ``None`` without two."""

    task: str
    digest: str
    sound: bool
    disagreement: float | None
    cells: tuple[Cell, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Two candidates on the tasks they share; ``a`` stands higher.

    ``p_adjusted`` is Holm's over all pairs of the run. ``settled`` says what the data settle, also in the worst
    case for the trials without a verdict. ``worst`` is the difference's range over those cases.
    ``better_a`` and ``better_b`` name the tasks on which one did better, ``left_out`` those that are unsound or
    without a verdict on one side.
    """

    a: str
    b: str
    difference: PairedDifference
    p_adjusted: float | None
    settled: Literal["tasks like these", "these tasks", "no"]
    worst: Interval
    better_a: tuple[str, ...]
    better_b: tuple[str, ...]
    left_out: tuple[str, ...]
    unscored: int
    tasks_needed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlCheck:
    """Whether a task does what it should for a control: the oracle passes, the nop does not."""

    task: str
    control: str
    expected: Literal["pass", "fail"]
    status: Literal["ok", "unsound", "unchecked"]
    trials: tuple[int, ...]
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FairnessCheck:
    """Whether all candidates met the same conditions. ``bad`` blocks the verdict, ``warn`` is for the reader."""

    name: str
    status: Literal["ok", "warn", "bad"]
    text: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Spend:
    """Money and tokens of a candidate by what became of the attempt. ``None`` is unknown, not nothing.

    ``unknown_attempts`` counts attempts whose cost is unknown, wholly or in part.
    """

    candidate: str
    attempts: int
    counted_usd: float | None
    failed_usd: float | None
    discarded_usd: float | None
    total_usd: float | None
    unknown_attempts: int
    tokens: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class FlagRow:
    """An integrity flag and the trials that carry it, as positions in ``Tables.trials``."""

    flag: str
    trials: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tables:
    """All that a report is made from."""

    schema_version: int = SCHEMA_VERSION
    run: RunFacts
    candidates: tuple[CandidateFacts, ...]
    trials: tuple[TrialRow, ...]
    coverage: tuple[Coverage, ...]
    leaderboard: tuple[Standing, ...]
    grid: tuple[GridRow, ...]
    comparisons: tuple[Comparison, ...]
    controls: tuple[ControlCheck, ...]
    fairness: tuple[FairnessCheck, ...]
    spend: tuple[Spend, ...]
    flags: tuple[FlagRow, ...]

    def candidate(self, name: str) -> CandidateFacts:
        """Return the candidate of this name."""
        return next(facts for facts in self.candidates if facts.name == name)

    @property
    def unsound(self) -> tuple[str, ...]:
        """Tasks whose oracle fails or whose nop passes."""
        return tuple(row.task for row in self.grid if not row.sound)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Which candidate to pick, in a sentence.

    ``settled`` is true when the data decide; ``scope`` for what. ``pick`` is then the candidate's name.
    ``advice`` says what would settle it or how far it reaches; ``notes`` are cautions that a reader must see.
    """

    text: str
    settled: bool
    scope: Literal["tasks like these", "these tasks"] | None
    pick: str | None
    advice: str
    notes: tuple[str, ...]
