"""Run attempts in this process, a fixed number at a time."""

from __future__ import annotations

from harness.ports import Recorder, Worker
from harness.schema.plan import PlannedTrial
from harness.schema.result import AttemptResult


class LocalExecutor:
    """Gives each attempt to one worker object in the same event loop."""

    def __init__(self, worker: Worker, *, slots: int) -> None:
        self._worker = worker
        self._slots = slots

    @property
    def slots(self) -> int:
        """How many attempts may run at the same time."""
        return self._slots

    async def run(self, trial: PlannedTrial, number: int, recorder: Recorder) -> AttemptResult:
        """Run one attempt and return how it ended."""
        return await self._worker.attempt(trial, number, recorder)
