"""How an attempt and a trial ended, and the lines of a run's journal."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from harness.schema.base import SCHEMA_VERSION, Record
from harness.schema.event import ErrorRecord, LimitHit
from harness.schema.sandbox import ImageFacts

EndState = Literal["verdict", "limit", "infra", "missing"]


class Tokens(Record):
    """Sums over the model calls of an attempt; ``None`` where a provider did not say."""

    input: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    output: int | None = None
    reasoning: int | None = None

    @property
    def total(self) -> int | None:
        """Input plus output, ``None`` if either is unknown."""
        return None if self.input is None or self.output is None else self.input + self.output


class AttemptResult(Record):
    """How one attempt ended.

    ``verdict``: the verifier ran and gave a reward. ``limit``: the agent used up a limit, and was verified all
    the same. ``infra``: image, engine, provider or verifier failed, never the model's fault; ``error`` says
    which, and ``limit`` is set if one had been reached before.
    ``cost_usd`` is the sum of known costs, ``None`` when no call's cost is known; ``cost_complete`` is false
    when some call's cost is unknown. Durations in seconds; ``phases`` maps a phase to its duration.
    """

    trial: str
    attempt: int
    end_state: EndState
    rewards: dict[str, float] | None = None
    reward: float | None = None
    passed: bool | None = None
    limit: LimitHit | None = None
    error: ErrorRecord | None = None
    started_at: str
    ended_at: str
    duration_s: float
    phases: dict[str, float] = Field(default_factory=dict)
    turns: int = 0
    tool_calls: int = 0
    tool_errors: int = 0
    model_retries: int = 0
    tokens: Tokens = Tokens()
    cost_usd: float | None = None
    cost_complete: bool = True
    claim: str = ""
    image: ImageFacts | None = None
    served_models: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()


class RunOpened(Record):
    """A process took up the run."""

    kind: Literal["run_opened"] = "run_opened"
    schema_version: int = SCHEMA_VERSION
    at: str
    pid: int
    host: str
    version: str
    command: tuple[str, ...] = ()


class AttemptStarted(Record):
    """An attempt was given out."""

    kind: Literal["attempt_started"] = "attempt_started"
    at: str
    trial: str
    attempt: int


class AttemptEnded(Record):
    """An attempt ended by itself. ``final`` is false when another attempt will follow."""

    kind: Literal["attempt_ended"] = "attempt_ended"
    at: str
    result: AttemptResult
    final: bool = True


class AttemptDiscarded(Record):
    """An attempt that never ended by itself: the harness was stopped. What it spent counts."""

    kind: Literal["attempt_discarded"] = "attempt_discarded"
    at: str
    trial: str
    attempt: int
    reason: str
    tokens: Tokens = Tokens()
    cost_usd: float | None = None


class RunClosed(Record):
    """The process let go of the run in good order."""

    kind: Literal["run_closed"] = "run_closed"
    at: str
    reason: Literal["done", "interrupted", "budget", "disk_full", "error"]
    detail: str = ""


JournalLine = Annotated[
    RunOpened | AttemptStarted | AttemptEnded | AttemptDiscarded | RunClosed, Field(discriminator="kind")
]

JOURNAL_LINE: TypeAdapter[JournalLine] = TypeAdapter(JournalLine)
"""Reads one line of ``journal.jsonl``."""
