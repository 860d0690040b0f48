"""The dispatcher: takes a plan to its end and is the only writer of the record.

It hands pending trials to an executor, owns the retries of attempts and the run's budget, and stops in good
order. What is done is read from the journal, so the same call again finishes what is left.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Literal

import anyio
from anyio.abc import TaskGroup

from harness import __version__
from harness.clock import utc_now
from harness.errors import HarnessError, unwrapped
from harness.journal import TrialState, fold_attempt, fold_journal
from harness.planning import pending
from harness.ports import Executor, Store, Watcher
from harness.schema.event import ErrorRecord
from harness.schema.plan import Plan, PlannedTrial
from harness.schema.result import (
    AttemptDiscarded,
    AttemptEnded,
    AttemptResult,
    AttemptStarted,
    RunClosed,
    RunOpened,
)

CloseReason = Literal["done", "interrupted", "budget", "disk_full", "error"]


@dataclass(frozen=True, kw_only=True)
class RunPolicy:
    """How the dispatcher goes about a run; none of it changes an outcome.

    ``attempts`` caps the tries at one trial, ``backoff_s`` is the wait before the second (doubling).
    ``max_cost_usd`` stops new attempts once the run, failed attempts included, has spent that much.
    ``rerun`` names end states that are tried again although they are final.
    """

    attempts: int = 3
    backoff_s: float = 2.0
    max_cost_usd: float | None = None
    rerun: frozenset[str] = frozenset()
    command: tuple[str, ...] = ()


@dataclass(kw_only=True)
class Control:
    """How a person stops a run: ``drain`` lets running attempts finish, ``stop`` ends them now."""

    draining: bool = False
    stopped: bool = False
    scope: anyio.CancelScope | None = None

    def drain(self) -> None:
        """Start nothing new."""
        self.draining = True

    def stop(self) -> None:
        """End what runs; its spend is kept and it is tried anew later."""
        self.draining = self.stopped = True
        if self.scope is not None:
            self.scope.cancel()


@dataclass(frozen=True, kw_only=True)
class RunOutcome:
    """How the dispatcher left the run. ``fault`` is what stopped it before its end, if anything did."""

    reason: CloseReason
    detail: str = ""
    fault: ErrorRecord | None = None


async def execute(
    plan: Plan,
    store: Store,
    executor: Executor,
    *,
    watcher: Watcher,
    policy: RunPolicy,
    control: Control,
) -> RunOutcome:
    """Run every pending trial of the plan; return why it ended. Raises ``StoreError`` only."""
    dispatch = _Dispatch(plan, store, executor, watcher=watcher, policy=policy, control=control)
    return await dispatch.run()


class _Dispatch:
    """One process's work on one run."""

    def __init__(
        self,
        plan: Plan,
        store: Store,
        executor: Executor,
        *,
        watcher: Watcher,
        policy: RunPolicy,
        control: Control,
    ) -> None:
        self._plan = plan
        self._store = store
        self._executor = executor
        self._watcher = watcher
        self._policy = policy
        self._control = control
        self._queue: deque[PlannedTrial] = deque()
        self._waiting = 0
        self._running = 0
        self._changed = anyio.Event()
        self._attempts: dict[str, int] = {}
        self._tries: dict[str, int] = {}
        self._spent_usd = 0.0
        self._barred: set[str] = set()
        self._outcome: RunOutcome | None = None

    async def run(self) -> RunOutcome:
        self._store.append(
            RunOpened(
                at=utc_now(),
                pid=os.getpid(),
                host=socket.gethostname(),
                version=__version__,
                command=self._policy.command,
            )
        )
        states = self._discard_open(fold_journal(self._store.journal()))
        self._attempts = {trial: state.last_attempt for trial, state in states.items()}
        self._spent_usd = sum(state.spend.cost_usd for state in states.values())
        todo = pending(self._plan, states, rerun=self._policy.rerun)
        self._watcher.planned(self._plan, todo)
        self._queue.extend(todo)
        try:
            await self._work(min(self._executor.slots, max(len(todo), 1)))
        except HarnessError as error:
            self._close(RunOutcome(reason="disk_full" if error.reach == "run" else "error", detail=str(error)))
            raise
        outcome = self._outcome or RunOutcome(reason="interrupted" if self._control.draining else "done")
        if self._control.stopped:
            outcome = RunOutcome(reason="interrupted")
        self._close(outcome)
        return outcome

    async def _work(self, slots: int) -> None:
        with anyio.CancelScope() as self._control.scope:
            try:
                async with anyio.create_task_group() as group:
                    for _ in range(slots):
                        group.start_soon(self._slot, group)
            except BaseExceptionGroup as errors:
                raise unwrapped(errors) from errors

    async def _slot(self, group: TaskGroup) -> None:
        """Take trials until none is left, none waits for another attempt, and none runs that might."""
        while True:
            trial = await self._next()
            if trial is None:
                return
            try:
                await self._attempt(trial, group)
            finally:
                self._running -= 1
                self._wake()

    async def _next(self) -> PlannedTrial | None:
        while True:
            self._stop_at_budget()
            if self._control.draining or self._outcome is not None:
                return None
            while self._queue:
                trial = self._queue.popleft()
                if trial.candidate not in self._barred:
                    self._running += 1
                    return trial
            if not self._waiting and not self._running:
                return None
            await self._changed.wait()

    async def _attempt(self, trial: PlannedTrial, group: TaskGroup) -> None:
        # Past what no line of the journal names, too: a lost journal must not mix two attempts in one file.
        number = max(self._attempts.get(trial.id, 0), *self._store.attempts(trial.id), 0) + 1
        self._attempts[trial.id] = number
        tries = self._tries[trial.id] = self._tries.get(trial.id, 0) + 1
        self._store.append(AttemptStarted(at=utc_now(), trial=trial.id, attempt=number))
        self._watcher.started(trial, number)
        try:
            hear = partial(self._watcher.event, trial, number)
            with self._store.recorder(trial.id, number, on_event=hear) as recorder:
                result = await self._executor.run(trial, number, recorder)
        except BaseException:
            with suppress(HarnessError):
                self._discard(trial.id, number, "the harness was stopped")
            raise
        again = _worth_another(result) and tries < self._policy.attempts and not self._control.draining
        self._store.append(AttemptEnded(at=utc_now(), result=result, final=not again))
        self._spent_usd += result.cost_usd or 0.0
        self._watcher.ended(trial, result, final=not again)
        if again:
            self._waiting += 1
            group.start_soon(self._again_later, trial, self._policy.backoff_s * 2 ** (tries - 1))
        elif result.end_state == "infra" and result.error is not None:
            self._consider_fault(trial, result.error)

    async def _again_later(self, trial: PlannedTrial, delay_s: float) -> None:
        """Wait without holding a slot, then queue the trial for another attempt."""
        self._watcher.line(f"{trial.task} · {trial.candidate}: another attempt in {delay_s:g} s")
        await anyio.sleep(delay_s)
        self._waiting -= 1
        self._queue.appendleft(trial)
        self._wake()

    def _consider_fault(self, trial: PlannedTrial, error: ErrorRecord) -> None:
        """Stop starting what the same fault would meet again: the whole run, or one candidate."""
        if error.reach == "run" and self._outcome is None:
            self._watcher.line(f"Starting no more trials: {error.message} {error.hint}".rstrip())
            self._outcome = RunOutcome(reason="error", detail=error.message, fault=error)
        elif error.reach == "candidate" and trial.candidate not in self._barred:
            self._watcher.line(f"Starting no more trials of {trial.candidate}: {error.message}")
            self._barred.add(trial.candidate)

    def _stop_at_budget(self) -> None:
        limit = self._policy.max_cost_usd
        if limit is not None and self._spent_usd >= limit and self._outcome is None and self._queue:
            detail = f"${self._spent_usd:.2f} of ${limit:.2f} is spent"
            self._watcher.line(f"Starting no more trials: {detail}.")
            self._outcome = RunOutcome(reason="budget", detail=detail)

    def _discard_open(self, states: dict[str, TrialState]) -> dict[str, TrialState]:
        """Book attempts that a dead process left open: what they spent counts, and they are tried anew."""
        open_attempts = [(trial, state.open_attempt) for trial, state in states.items() if state.open_attempt]
        for trial, number in open_attempts:
            self._discard(trial, number, "the harness died")
        return fold_journal(self._store.journal()) if open_attempts else states

    def _discard(self, trial: str, number: int, reason: str) -> None:
        summary = fold_attempt(self._store.events(trial, number))
        self._store.append(
            AttemptDiscarded(
                at=utc_now(),
                trial=trial,
                attempt=number,
                reason=reason,
                tokens=summary.tokens,
                cost_usd=summary.cost_usd,
            )
        )

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def _close(self, outcome: RunOutcome) -> None:
        with suppress(HarnessError):
            self._store.append(RunClosed(at=utc_now(), reason=outcome.reason, detail=outcome.detail))


def _worth_another(result: AttemptResult) -> bool:
    return result.end_state == "infra" and result.error is not None and result.error.retryable
