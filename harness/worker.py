"""Runs one attempt: builds the candidate's agent anew and hands it, with the task, to the trial."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from harness.agent.calling import RetryDelay
from harness.agent.factories import AgentMaterial
from harness.ports import Agent, Model, Recorder, SandboxProvider, Tool, Verifier
from harness.schema.candidate import Candidate, ModelSettings
from harness.schema.plan import Plan, PlannedTrial
from harness.schema.result import AttemptResult
from harness.schema.task import Task
from harness.task import require_unchanged
from harness.trial import TrialSetup, run_attempt


@dataclass(frozen=True, kw_only=True)
class WorkerTask:
    """A task and its variables, resolved from the host."""

    task: Task
    environment_env: Mapping[str, str]
    verifier_env: Mapping[str, str]


class LocalWorker:
    """Runs attempts of one plan in this process."""

    def __init__(
        self,
        *,
        plan: Plan,
        tasks: Mapping[str, WorkerTask],
        provider: SandboxProvider,
        verifier: Verifier,
        shop: Shop,
        labels: Mapping[str, str],
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self._settings = plan.settings
        self._candidates = {candidate.name: candidate for candidate in plan.candidates}
        self._tasks = tasks
        self._provider = provider
        self._verifier = verifier
        self._shop = shop
        self._labels = labels
        self._on_line = on_line

    async def attempt(self, trial: PlannedTrial, number: int, recorder: Recorder) -> AttemptResult:
        """Run it to its end state. Raises nothing but cancellation and ``StoreError``."""
        candidate, task = self._candidates[trial.candidate], self._tasks[trial.task]
        async with AsyncExitStack() as stack:
            agent = await self._shop.agent(candidate, cache_key=trial.id, stack=stack)
            setup = TrialSetup(
                trial=trial,
                task=task.task,
                candidate=candidate,
                settings=self._settings,
                provider=self._provider,
                agent=agent,
                verifier=self._verifier,
                environment_env=task.environment_env,
                verifier_env=task.verifier_env,
                labels=self._labels,
                on_line=self._on_line,
                check_task=partial(require_unchanged, task.task.path, task.task.digest),
            )
            return await run_attempt(setup, number, recorder)


@dataclass(frozen=True, kw_only=True)
class Shop:
    """Where a worker gets agents: their factories by name, and what these build from."""

    agents: Callable[[str], Callable[[AgentMaterial], Agent]]
    models: Callable[[ModelSettings, str], Model]
    tools: Callable[[Sequence[str]], Sequence[Tool]]
    retry_delay: RetryDelay
    environ: Mapping[str, str]

    async def agent(self, candidate: Candidate, *, cache_key: str, stack: AsyncExitStack) -> Agent:
        """Build the candidate's agent; its model is closed with ``stack``."""
        model = None
        if candidate.model is not None:
            model = self.models(candidate.model, cache_key)
            stack.push_async_callback(model.close)
        material = AgentMaterial(
            candidate=candidate,
            model=model,
            tools=self.tools,
            retry_delay=self.retry_delay,
            environ=self.environ,
        )
        return self.agents(candidate.agent)(material)
