"""Folds of the record, pure: a run's journal into the state of each trial, an attempt's events into its sums.

The journal is the authority on what was given out and how it ended; events are the authority on what was
spent. Reading and writing the files is the store's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import assert_never

from harness.schema.event import (
    AgentEnded,
    AnyEvent,
    AttemptOpened,
    ErrorRecord,
    Failed,
    ImageReady,
    LimitHit,
    LimitReached,
    ModelCalled,
    ModelReplied,
    PhaseEnded,
    PhaseStarted,
    SandboxStarted,
    ToolEnded,
    ToolStarted,
    VerifierEnded,
)
from harness.schema.message import Usage
from harness.schema.result import (
    AttemptDiscarded,
    AttemptEnded,
    AttemptResult,
    AttemptStarted,
    JournalLine,
    RunClosed,
    RunOpened,
    Tokens,
)
from harness.schema.sandbox import ImageFacts


@dataclass(frozen=True, kw_only=True)
class Spend:
    """What attempts used: sums of what is known. ``complete`` is false when some part is unknown."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    complete: bool = True

    def plus(self, tokens: Tokens, cost_usd: float | None, *, complete: bool) -> Spend:
        """Return the sum with one attempt's use."""
        return Spend(
            input_tokens=self.input_tokens + (tokens.input or 0),
            output_tokens=self.output_tokens + (tokens.output or 0),
            cost_usd=self.cost_usd + (cost_usd or 0.0),
            complete=self.complete and complete,
        )


@dataclass(frozen=True, kw_only=True)
class TrialState:
    """Where a trial stands by the journal.

    ``final`` is the result that counts, ``None`` while there is none or once a later attempt was started.
    ``attempts`` holds every result, in order; ``discarded`` the numbers of attempts cut off from outside.
    ``open_attempt`` was given out and neither ended nor was discarded. ``last_attempt`` is the highest
    number so far, 0 before the first. ``spend`` counts ended and discarded attempts alike.
    """

    final: AttemptResult | None = None
    attempts: tuple[AttemptResult, ...] = ()
    discarded: tuple[int, ...] = ()
    open_attempt: int | None = None
    last_attempt: int = 0
    spend: Spend = Spend()


@dataclass
class _Draft:
    final: AttemptResult | None = None
    attempts: list[AttemptResult] = field(default_factory=list)
    discarded: list[int] = field(default_factory=list)
    open_attempt: int | None = None
    last_attempt: int = 0
    spend: Spend = Spend()

    def start(self, number: int) -> None:
        self.final = None
        self.open_attempt = number
        self.last_attempt = max(self.last_attempt, number)

    def close(self, number: int) -> None:
        self.last_attempt = max(self.last_attempt, number)
        if self.open_attempt == number:
            self.open_attempt = None

    def freeze(self) -> TrialState:
        return TrialState(
            final=self.final,
            attempts=tuple(self.attempts),
            discarded=tuple(self.discarded),
            open_attempt=self.open_attempt,
            last_attempt=self.last_attempt,
            spend=self.spend,
        )


def fold_journal(lines: Iterable[JournalLine]) -> dict[str, TrialState]:
    """Return the state of every trial that the journal names, by trial id. Linear; any prefix folds."""
    drafts: dict[str, _Draft] = {}
    for line in lines:
        match line:
            case AttemptStarted():
                drafts.setdefault(line.trial, _Draft()).start(line.attempt)
            case AttemptEnded(result=result):
                draft = drafts.setdefault(result.trial, _Draft())
                draft.close(result.attempt)
                draft.attempts.append(result)
                draft.final = result if line.final else None
                draft.spend = draft.spend.plus(result.tokens, result.cost_usd, complete=result.cost_complete)
            case AttemptDiscarded():
                draft = drafts.setdefault(line.trial, _Draft())
                draft.close(line.attempt)
                draft.discarded.append(line.attempt)
                draft.spend = draft.spend.plus(line.tokens, line.cost_usd, complete=line.cost_usd is not None)
            case RunOpened() | RunClosed():
                pass
            case _:
                assert_never(line)
    return {trial: draft.freeze() for trial, draft in drafts.items()}


@dataclass(frozen=True, kw_only=True)
class AttemptSummary:
    """What an attempt did and used, folded from its events.

    A sum is ``None`` when one of its parts is unknown, and 0 when no model was called. ``cost_usd`` is the
    sum of known costs (``None`` if no call's cost is known, 0 without any call); ``cost_complete`` is false
    when some call's cost is unknown, a stream that broke off included. ``phases`` are seconds; a phase that
    never ended counts to the last event. ``error`` is the last fatal one.
    """

    opened: AttemptOpened | None = None
    started_at: str = ""
    ended_at: str = ""
    duration_s: float = 0.0
    phases: dict[str, float] = field(default_factory=dict)
    turns: int = 0
    tool_calls: int = 0
    tool_errors: int = 0
    model_calls: int = 0
    model_retries: int = 0
    tokens: Tokens = field(default_factory=Tokens)
    cost_usd: float | None = None
    cost_complete: bool = True
    served_models: tuple[str, ...] = ()
    image: ImageFacts | None = None
    container: str | None = None
    limit: LimitHit | None = None
    agent_end: AgentEnded | None = None
    verifier_end: VerifierEnded | None = None
    error: ErrorRecord | None = None
    last_seq: int | None = None

    @property
    def claim(self) -> str:
        """What the agent said of its own work."""
        return "" if self.agent_end is None else self.agent_end.claim

    @property
    def rewards(self) -> dict[str, float] | None:
        """What the verifier reported."""
        return None if self.verifier_end is None else self.verifier_end.rewards


def fold_attempt(events: Iterable[AnyEvent]) -> AttemptSummary:
    """Sum up an attempt from its events, whole or cut off anywhere."""
    tally = AttemptTally()
    for event in events:
        tally.add(event)
    return tally.summary()


_NO_TOKENS = Tokens(input=0, cached=0, cache_write=0, output=0, reasoning=0)
"""Of an attempt that called no model: known, and nothing."""


class AttemptTally:
    """The fold of ``fold_attempt``, one event at a time and at a constant cost for each."""

    def __init__(self) -> None:
        self._opened: AttemptOpened | None = None
        self._first: AnyEvent | None = None
        self._last: AnyEvent | None = None
        self._phases: dict[str, float] = {}
        self._open_phases: dict[str, float] = {}
        self._turns = 0
        self._tool_calls = 0
        self._open_calls: dict[tuple[int, str], int] = {}
        self._tool_errors = 0
        self._model_calls = 0
        self._retries = 0
        self._usage = _UsageSum()
        self._cost: float | None = None
        self._cost_complete = True
        self._served: dict[str, None] = {}
        self._image: ImageFacts | None = None
        self._container: str | None = None
        self._limit: LimitHit | None = None
        self._agent_end: AgentEnded | None = None
        self._verifier_end: VerifierEnded | None = None
        self._error: ErrorRecord | None = None

    def add(self, event: AnyEvent) -> None:
        """Take in the next event."""
        self._first = self._first or event
        self._last = event
        match event:
            case ModelReplied() | ModelCalled():
                self._add_model(event)
            case ToolStarted() | ToolEnded():
                self._add_tool(event)
            case PhaseStarted():
                self._open_phases[event.phase] = event.t
            case PhaseEnded():
                self._open_phases.pop(event.phase, None)
                self._phases[event.phase] = self._phases.get(event.phase, 0.0) + event.duration_s
            case _:
                self._add_fact(event)

    def _add_fact(self, event: AnyEvent) -> None:
        match event:
            case AttemptOpened():
                self._opened = event
            case ImageReady():
                self._image = event.image
            case SandboxStarted():
                self._container = event.container
            case LimitReached():
                self._limit = event.limit
            case AgentEnded():
                self._agent_end = event
            case VerifierEnded():
                self._verifier_end = event
            case Failed(fatal=True):
                self._error = event.error
            case _:
                pass  # nothing to sum

    def _add_model(self, event: ModelReplied | ModelCalled) -> None:
        if isinstance(event, ModelCalled):
            self._model_calls += 1
            self._retries += event.try_number > 1
            # A stream that began was paid for, whatever became of it.
            if event.error is not None and event.first_event_s is not None:
                self._cost_complete = False
            return
        self._turns += 1
        self._usage.add(event.reply.usage)
        if event.reply.cost_usd is None:
            self._cost_complete = False
        else:
            self._cost = (self._cost or 0.0) + event.reply.cost_usd
        if event.reply.served_model is not None:
            self._served.setdefault(event.reply.served_model)

    def _add_tool(self, event: ToolStarted | ToolEnded) -> None:
        if isinstance(event, ToolStarted):
            key = (event.turn, event.call.call_id)
            self._open_calls[key] = self._open_calls.get(key, 0) + 1
            self._tool_calls += 1
            return
        key = (event.turn, event.result.call_id)
        if self._open_calls.get(key):
            self._open_calls[key] -= 1
            if not self._open_calls[key]:
                del self._open_calls[key]
        else:
            self._tool_calls += 1  # a rejected call that never started
        self._tool_errors += event.result.is_error

    def summary(self) -> AttemptSummary:
        """Return the sums so far."""
        now = 0.0 if self._last is None else self._last.t
        called = self._model_calls > 0 or self._turns > 0
        phases = dict(self._phases)
        for phase, since in self._open_phases.items():
            phases[phase] = phases.get(phase, 0.0) + max(0.0, now - since)
        return AttemptSummary(
            opened=self._opened,
            started_at="" if self._first is None else self._first.at,
            ended_at="" if self._last is None else self._last.at,
            duration_s=now,
            phases=phases,
            turns=self._turns,
            tool_calls=self._tool_calls,
            tool_errors=self._tool_errors,
            model_calls=self._model_calls,
            model_retries=self._retries,
            tokens=self._usage.tokens() if called else _NO_TOKENS,
            cost_usd=self._cost if called else 0.0,
            cost_complete=self._cost_complete,
            served_models=tuple(self._served),
            image=self._image,
            container=self._container,
            limit=self._limit,
            agent_end=self._agent_end,
            verifier_end=self._verifier_end,
            error=self._error,
            last_seq=None if self._last is None else self._last.seq,
        )


class _UsageSum:
    """Adds up usages; a kind that one of them does not know is unknown in the sum."""

    _KINDS = ("input", "cached", "cache_write", "output", "reasoning")

    def __init__(self) -> None:
        self._sums: dict[str, int | None] = {}

    def add(self, usage: Usage) -> None:
        for kind in self._KINDS:
            value: int | None = getattr(usage, f"{kind}_tokens")
            before = self._sums.get(kind, 0)
            self._sums[kind] = None if value is None or before is None else before + value

    def tokens(self) -> Tokens:
        return Tokens(**self._sums)
