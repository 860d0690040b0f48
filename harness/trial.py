"""One attempt at a trial, the same for every executor: sandbox, agent, work, hidden tests, end state.

It knows ports and records only. It raises nothing but cancellation and store errors: every other end is a
result, and the result is folded from the events, so that the record and the verdict cannot disagree.
"""

from __future__ import annotations

import errno
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import anyio

from harness.errors import DiskFullError, HarnessError, HealthcheckError, SandboxError, StoreError, TransferError
from harness.journal import AttemptTally
from harness.ports import (
    Agent,
    AgentContext,
    Recorder,
    Sandbox,
    SandboxProvider,
    SandboxRequest,
    TransferLimits,
    Verifier,
    VerifierContext,
)
from harness.schema.candidate import Candidate
from harness.schema.event import (
    AgentEnded,
    AnyEvent,
    AttemptOpened,
    Blob,
    CommandEnded,
    Failed,
    ImageReady,
    LimitHit,
    LimitReached,
    Noted,
    Phase,
    PhaseEnded,
    PhaseStarted,
    SandboxClosed,
    SandboxStarted,
    WorkCollected,
)
from harness.schema.plan import PlannedTrial, RunSettings
from harness.schema.result import AttemptResult
from harness.schema.sandbox import Process, WorkReport
from harness.schema.task import CollectHook, Healthcheck, NetworkPolicy, Task
from harness.schema.trouble import error_record
from harness.scoring.attempt import attempt_result

_OUTPUT_CHARS = 4_000
_ARTIFACT_LIMITS = TransferLimits(max_bytes=128 * 1024 * 1024, max_entries=10_000)
_ARTIFACT_S = 120.0
_LAST_LOOK_S = 10.0
_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
_FOLDERS = frozenset({"/logs/agent", "/logs/artifacts"})


@dataclass(frozen=True, kw_only=True)
class TrialSetup:
    """All that an attempt needs besides its number and its recorder. The ``env`` maps are resolved."""

    trial: PlannedTrial
    task: Task
    candidate: Candidate
    settings: RunSettings
    provider: SandboxProvider
    agent: Agent
    verifier: Verifier
    environment_env: Mapping[str, str]
    verifier_env: Mapping[str, str]
    labels: Mapping[str, str]
    on_line: Callable[[str], None] | None = None
    check_task: Callable[[], None] = lambda: None
    """Raises if the task is no longer the one that was planned. Called in a thread, before its files are used."""


async def run_attempt(setup: TrialSetup, number: int, recorder: Recorder) -> AttemptResult:
    """Run one attempt to its end and return how it ended, folded from what was recorded."""
    trial, task = setup.trial, setup.task
    tallying = _Tallying(recorder)
    tallying.emit(
        AttemptOpened(
            trial=trial.id,
            attempt=number,
            task=task.name,
            task_digest=task.digest,
            candidate=trial.candidate,
            repeat=trial.repeat,
        )
    )
    await _Attempt(setup, number, tallying).run()
    return attempt_result(trial.id, number, tallying.tally.summary())


class _Tallying:
    """A recorder that folds what it writes, so that a result cannot say anything else than the record."""

    def __init__(self, inner: Recorder) -> None:
        self._inner = inner
        self.tally = AttemptTally()

    def emit(self, event: AnyEvent) -> AnyEvent:
        written = self._inner.emit(event)
        self.tally.add(written)
        return written

    def blob(self, data: bytes, media_type: str) -> Blob:
        return self._inner.blob(data, media_type)

    @property
    def folder(self) -> Path:
        return self._inner.folder


def agent_time_s(task: Task, settings: RunSettings) -> float | None:
    """Return the agent's wall clock: the smaller of the task's and the run's limit, times the multiplier."""
    limits = [limit for limit in (task.agent.timeout_s, settings.limits.time_s) if limit is not None]
    return min(limits) * settings.timeout_multiplier if limits else None


def network_of(task_policy: NetworkPolicy, settings: RunSettings) -> NetworkPolicy:
    """Return the policy in force: the run may only tighten what the task allows."""
    order = ("none", "allowlist", "public")
    if settings.network is None or order.index(settings.network) >= order.index(task_policy.mode):
        return task_policy
    return NetworkPolicy(mode=settings.network, allowed_hosts=task_policy.allowed_hosts)


class _Attempt:
    """The phases of one attempt, in order."""

    def __init__(self, setup: TrialSetup, number: int, recorder: Recorder) -> None:
        self._setup = setup
        self._number = number
        self._recorder = recorder

    async def run(self) -> None:
        """Go through the phases; the first failure ends them, recorded with the phase it happened in."""
        try:
            await self._phases()
        except _PhaseFailedError:
            return
        except StoreError:
            raise
        except Exception as error:
            self._recorder.emit(Failed(phase="teardown", error=error_record(error), fatal=False))

    async def _phases(self) -> None:
        setup = self._setup
        async with self._phase("image"):
            await anyio.to_thread.run_sync(setup.check_task)
            image = await setup.provider.prepare(setup.task.environment, on_line=setup.on_line)
            log = self._recorder.blob(image.log.encode(), "text/plain") if image.log else None
            self._recorder.emit(ImageReady(image=image.facts, log=log))
        request = SandboxRequest(
            environment=setup.task.environment,
            env=setup.environment_env,
            network=network_of(setup.task.environment.network, setup.settings),
            labels={**setup.labels, "trial": setup.trial.id, "attempt": str(self._number), "role": "main"},
        )
        async with AsyncExitStack() as stack:
            async with self._phase("sandbox"):
                sandbox = await stack.enter_async_context(setup.provider.open(request, image))
                self._recorder.emit(
                    SandboxStarted(container=sandbox.container, workdir=sandbox.workdir, user=setup.task.agent.user)
                )
            try:
                await self._inside(sandbox)
            finally:
                await self._last_look(sandbox)

    async def _inside(self, sandbox: Sandbox) -> None:
        healthcheck = self._setup.task.environment.healthcheck
        if healthcheck is not None:
            async with self._phase("healthcheck"):
                await wait_healthy(sandbox, healthcheck, self._recorder)
        async with self._phase("agent"):
            await self._agent(sandbox)
        async with self._phase("collect"):
            await self._collect(sandbox)
        async with self._phase("verifier"):
            await anyio.to_thread.run_sync(self._setup.check_task)
            await self._verify(sandbox)

    async def _agent(self, sandbox: Sandbox) -> None:
        """Let the agent work until it ends or its time is over; both are followed by verification."""
        setup = self._setup
        time_s = agent_time_s(setup.task, setup.settings)
        deadline = None if time_s is None else anyio.current_time() + time_s
        context = AgentContext(
            task=setup.task,
            candidate=setup.candidate,
            limits=setup.settings.limits,
            sandbox=sandbox,
            recorder=self._recorder,
            user=setup.task.agent.user,
            deadline=deadline,
        )
        started = time.monotonic()
        try:
            with anyio.CancelScope(deadline=math.inf if deadline is None else deadline) as scope:
                await setup.agent.work(context)
        except HarnessError as error:
            if error.cause != "agent":
                raise
            self._recorder.emit(Failed(phase="agent", error=error_record(error), fatal=False))
            self._recorder.emit(AgentEnded(reason="error", detail=error.message))
        if scope.cancelled_caught:
            hit = LimitHit(kind="time_s", limit=time_s, used=time.monotonic() - started)
            self._recorder.emit(LimitReached(limit=hit))
            self._recorder.emit(AgentEnded(reason="limit", detail="The agent's time was over."))

    async def _collect(self, sandbox: Sandbox) -> None:
        """Keep what the agent leaves: services, hooks' snapshots, artifacts, logs, the work as a patch."""
        services = await sandbox.processes()
        for hook in self._setup.task.verifier.collect:
            await self._run_hook(sandbox, hook)
        folder = self._recorder.folder
        await self._keep(sandbox, "/logs/agent", folder / "agent")
        await self._keep(sandbox, "/logs/artifacts", folder / "artifacts" / "logs" / "artifacts")
        for artifact in self._setup.task.artifacts:
            place = artifact.destination or artifact.source.lstrip("/")
            await self._keep(sandbox, artifact.source, folder / "artifacts" / place)
        await self._keep_work(sandbox, services)

    async def _run_hook(self, sandbox: Sandbox, hook: CollectHook) -> None:
        ran = await sandbox.exec(hook.command, user=hook.user, timeout_s=hook.timeout_s)
        self._recorder.emit(
            CommandEnded(
                role="collect",
                command=hook.command,
                exit_code=ran.exit_code,
                duration_s=ran.duration_s,
                timed_out=ran.timed_out,
                output=ran.output[-_OUTPUT_CHARS:],
            )
        )

    async def _keep(self, sandbox: Sandbox, source: str, target: Path) -> None:
        """Download a folder, or a file under its own name; trouble is recorded and the attempt goes on."""
        try:
            with anyio.fail_after(_ARTIFACT_S):
                data = None if source in _FOLDERS else await _file(sandbox, source)
                if data is None:
                    await sandbox.download(source, target, limits=_ARTIFACT_LIMITS)
                else:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    await anyio.Path(target).write_bytes(data)
        except (SandboxError, TimeoutError) as error:
            _require_lasting(error)
            self._recorder.emit(Noted(text=f"{source} could not be kept: {_said(error)}"))

    async def _keep_work(self, sandbox: Sandbox, services: tuple[Process, ...]) -> None:
        try:
            with anyio.fail_after(_ARTIFACT_S):
                work = await sandbox.collect_work(self._recorder.folder / "work.patch")
        except (SandboxError, TimeoutError) as error:
            _require_lasting(error)
            work = WorkReport(root=sandbox.workdir, skipped=(f"the work could not be read: {_said(error)}",))
        self._recorder.emit(WorkCollected(work=work, services=services))

    async def _verify(self, sandbox: Sandbox) -> None:
        setup = self._setup
        await setup.verifier.verify(
            VerifierContext(
                task=setup.task,
                sandbox=sandbox,
                recorder=self._recorder,
                timeout_s=setup.task.verifier.timeout_s * setup.settings.timeout_multiplier,
                env=setup.verifier_env,
            )
        )

    async def _last_look(self, sandbox: Sandbox) -> None:
        """Record how the container stood, without letting that hide what happened before."""
        with anyio.CancelScope(shield=True), anyio.move_on_after(_LAST_LOOK_S), suppress(SandboxError):
            self._recorder.emit(SandboxClosed(facts=await sandbox.facts()))

    @asynccontextmanager
    async def _phase(self, phase: Phase) -> AsyncIterator[None]:
        """Time a phase; turn whatever ends it badly into an event and stop the attempt there."""
        started = time.monotonic()
        self._recorder.emit(PhaseStarted(phase=phase))
        try:
            yield
        except StoreError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _NO_SPACE:
                raise DiskFullError(
                    f"No space left for the files of {self._recorder.folder}.",
                    hint="Make room, then repeat the command: the run goes on.",
                ) from error
            self._recorder.emit(Failed(phase=phase, error=error_record(error)))
            raise _PhaseFailedError from error
        finally:
            self._recorder.emit(PhaseEnded(phase=phase, duration_s=time.monotonic() - started))


async def _file(sandbox: Sandbox, path: str) -> bytes | None:
    """Return a regular file's bytes, ``None`` for anything else: a folder, nothing, or too much at once."""
    try:
        return await sandbox.read_file(path)
    except TransferError:
        return None


async def wait_healthy(sandbox: Sandbox, check: Healthcheck, recorder: Recorder) -> None:
    """Poll the task's healthcheck until it passes; raises ``HealthcheckError`` after ``retries`` failures."""
    started = time.monotonic()
    failures = 0
    while True:
        ran = await sandbox.exec(check.command, timeout_s=check.timeout_s)
        if ran.exit_code == 0:
            break
        in_grace = time.monotonic() - started < check.start_period_s
        failures += 0 if in_grace else 1
        if failures >= check.retries:
            raise HealthcheckError(
                f"The healthcheck failed {failures} times in a row (exit code {ran.exit_code}): {check.command}",
                hint="Look at the service that the environment is to start.",
                detail=ran.output[-_OUTPUT_CHARS:],
            )
        await anyio.sleep(check.start_interval_s if in_grace else check.interval_s)
    recorder.emit(
        CommandEnded(
            role="healthcheck",
            command=check.command,
            exit_code=0,
            duration_s=time.monotonic() - started,
            output=ran.output[-_OUTPUT_CHARS:],
        )
    )


def _require_lasting(error: SandboxError | TimeoutError) -> None:
    """Raise what another attempt may cure; the rest comes of the agent's files, and its work is verified."""
    if isinstance(error, SandboxError) and error.retryable:
        raise error


def _said(error: SandboxError | TimeoutError) -> str:
    return str(error) or "it took too long"


class _PhaseFailedError(Exception):
    """A phase ended the attempt; its event says why."""
