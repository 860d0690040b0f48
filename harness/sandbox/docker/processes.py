"""Processes in a container: one-shot commands, a session's server, ending what a command started.

Owns execs and their ends. Leaves the conversation of a session to ``harness.sandbox.session``.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import anyio
from pydantic import BaseModel

from harness.errors import SandboxError, SandboxGoneError
from harness.ports import CommandResult
from harness.sandbox.docker.engine import Engine, NotThereError
from harness.sandbox.session import KILL_SCRIPT, MARK, SERVER_SCRIPT, ServerSettings
from harness.sandbox.streams import Attached, HeadAndTail, Receiver

T = TypeVar("T")

_END_S = 60.0
_DRAIN_S = 3.0
_FIRST_LOOK_S = 0.5
_LOOK_S = 4.0
_CHECK_S = 1.0
_KILL_OUTPUT = 8_000

_END_PROCESSES = """
root=$1 worker=$2
[ "$root" = 0 ] || for folder in /proc/[0-9]*; do
    IFS= read -r line <"$folder/stat" || continue
    set -- ${line##*) }
    [ "$2" != "$root" ] || kill -KILL "${folder#/proc/}"
done
[ "$root" = 0 ] || kill -KILL "$root"
[ "$worker" = 0 ] || kill -KILL "$worker"
"""


@dataclass(frozen=True, kw_only=True)
class Command:
    """What is run: its words, and as whom, where and with what. ``user`` ``None`` is the image's."""

    words: Sequence[str]
    user: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    workdir: str | None = None


class _Exec(BaseModel):
    Running: bool
    ExitCode: int | None = None


class _Collector:
    """Keeps the ends of what a process prints and tells when it is over."""

    def __init__(self, limit: int) -> None:
        self.output = HeadAndTail(limit)
        self.over = asyncio.Event()

    def received(self, stream: int, data: bytes) -> None:
        self.output.add(data)

    def ended(self) -> None:
        self.over.set()

    async def wait(self, timeout_s: float) -> bool:
        """Wait for the end of the output; false when the time is over first."""
        with anyio.move_on_after(timeout_s):
            await self.over.wait()
        return self.over.is_set()


class ContainerProcesses:
    """Starts and ends processes in one container."""

    def __init__(self, engine: Engine, container: str, *, image_user: str) -> None:
        self._engine = engine
        self._container = container
        self._image_user = image_user
        self._attached: set[Attached] = set()

    async def run(self, command: Command, *, timeout_s: float | None, output_limit: int) -> CommandResult:
        """Run a command to its end, or to its timeout and the end of all that it started."""
        mark = f"{secrets.token_hex(6)}.0."
        started = time.monotonic()
        collector = _Collector(output_limit)
        exec_id = await self._create(command, {MARK: mark}, stdin=False)
        attached = await self._attach(exec_id, collector)
        try:
            ended = await self._watch(exec_id, collector, timeout_s)
            if not ended:
                await self.end_command(mark, 0, 0.0, user=command.user)
                await collector.wait(_DRAIN_S)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._abandon(mark, command.user)
            raise
        finally:
            self._hang_up(attached)
        return CommandResult(
            exit_code=await self._exit_code(exec_id) if ended else None,
            output=collector.output.text(),
            output_bytes=collector.output.total,
            duration_s=time.monotonic() - started,
            timed_out=not ended,
        )

    async def start_server(self, settings: ServerSettings, command: Command, receiver: Receiver) -> Attached:
        """Start a session's server and attach to it."""
        server = Command(
            words=("sh", "-c", 'eval "$HARNESS_SERVER"', "session", *settings.arguments),
            user=command.user,
            env={**command.env, "HARNESS_SERVER": SERVER_SCRIPT},
            workdir=command.workdir,
        )
        exec_id = await self._create(server, {}, stdin=True)
        return await self._attach(exec_id, receiver)

    async def end_command(self, mark: str, worker: int, begun_s: float, *, user: str | None) -> None:
        """Interrupt, then kill all that the command with this mark started.

        As the command's user first, because without privileges root cannot read the environment of others;
        then as root, for what the command started as root and for what was left.
        """
        left: list[str] = []
        with anyio.move_on_after(_END_S):
            for who in [user] if self._is_root(user) else [user, "root"]:
                words = (
                    "sh",
                    "-c",
                    'eval "$HARNESS_KILL"',
                    "end",
                    mark,
                    str(worker),
                    str(int(begun_s * 100)),
                    *left,
                )
                left = (await self._run_quietly(words, who, {"HARNESS_KILL": KILL_SCRIPT})).split()

    async def end_processes(self, root: int, worker: int) -> None:
        """Kill a session's worker and, unless ``root`` is 0, its server."""
        with anyio.move_on_after(_END_S):
            await self._run_quietly(("sh", "-c", _END_PROCESSES, "end", str(root), str(worker)), "root", {})

    def close(self) -> None:
        """Hang up on everything that is still attached."""
        for attached in tuple(self._attached):
            self._hang_up(attached)

    async def check(self) -> None:
        """Raise ``SandboxGoneError`` unless the container is running."""
        found = await self._engine.call(self._engine.api.inspect_container, self._container)
        if not found["State"]["Running"]:
            code = found["State"]["ExitCode"]
            raise SandboxGoneError(
                f"The container stopped with exit code {code}.",
                hint="It was killed or stopped from outside, or ended.",
            )

    # ---------------------------------------------------------------------------------------------- execs

    async def _run_quietly(self, words: Sequence[str], user: str | None, env: Mapping[str, str]) -> str:
        collector = _Collector(_KILL_OUTPUT)
        exec_id = await self._create(Command(words=words, user=user, env=env, workdir="/"), {}, stdin=False)
        attached = await self._attach(exec_id, collector)
        try:
            await self._while_running(asyncio.ensure_future(collector.over.wait()))
        finally:
            self._hang_up(attached)
        return collector.output.text()

    async def _create(self, command: Command, extra: Mapping[str, str], *, stdin: bool) -> str:
        created = await self._engine.call(
            self._engine.api.exec_create,
            self._container,
            list(command.words),
            stdin=stdin,
            user=command.user or "",
            environment={**command.env, **extra},
            workdir=command.workdir,
        )
        return str(created["Id"])

    async def _attach(self, exec_id: str, receiver: Receiver) -> Attached:
        attaching = asyncio.ensure_future(self._engine.attach(exec_id, receiver))
        await self._while_running(attaching)
        attached = attaching.result()
        self._attached.add(attached)
        return attached

    async def _while_running(self, work: asyncio.Future[T]) -> None:
        """Wait for ``work``, but not longer than the container runs: the engine may never answer for a dead one."""
        try:
            while not (await asyncio.wait({work}, timeout=_CHECK_S))[0]:
                await self.check()
        finally:
            work.cancel()

    def _hang_up(self, attached: Attached) -> None:
        self._attached.discard(attached)
        attached.close()

    async def _watch(self, exec_id: str, collector: _Collector, timeout_s: float | None) -> bool:
        """Wait for the command's end; false when its time is over first.

        A service that it left behind may hold its output open, so the process itself is looked at as well.
        """
        deadline = time.monotonic() + timeout_s if timeout_s is not None else float("inf")
        pause = _FIRST_LOOK_S
        while True:
            if await collector.wait(max(0.0, min(pause, deadline - time.monotonic()))):
                return True
            if time.monotonic() >= deadline:
                return False
            if not (await self._inspect(exec_id)).Running:
                await collector.wait(_FIRST_LOOK_S)
                return True
            pause = min(2 * pause, _LOOK_S)

    async def _exit_code(self, exec_id: str) -> int:
        for pause in (0.0, 0.05, 0.2, 0.5, 1.0):
            await anyio.sleep(pause)
            code = (await self._inspect(exec_id)).ExitCode
            if code is not None:
                if code in (126, 127, 128, 137):
                    await self.check()
                return int(code)
        await self.check()
        raise SandboxError("The Docker Engine lost track of a command in the container.")

    async def _inspect(self, exec_id: str) -> _Exec:
        try:
            return _Exec.model_validate(await self._engine.call(self._engine.api.exec_inspect, exec_id))
        except NotThereError:
            await self.check()
            raise

    async def _abandon(self, mark: str, user: str | None) -> None:
        """End a command that nobody waits for any more; what stood in the way is what counts."""
        with anyio.move_on_after(_DRAIN_S):
            try:
                await self.end_command(mark, 0, 0.0, user=user)
            except SandboxError:
                return

    def _is_root(self, user: str | None) -> bool:
        name = (self._image_user if user is None else user).split(":")[0]
        return name in ("", "0", "root")


class SessionSpace:
    """A session's processes in a container, for ``harness.sandbox.session.ProcessSpace``."""

    def __init__(
        self, processes: ContainerProcesses, command: Command, folder: Callable[[], Awaitable[str]]
    ) -> None:
        """``folder`` says where a server starts; it is asked anew each time, for the agent may have removed it."""
        self._processes = processes
        self._command = command
        self._folder = folder

    async def attach(self, settings: ServerSettings, receiver: Receiver) -> Attached:
        """Start a server as the session's user."""
        await self._processes.check()
        command = replace(self._command, workdir=await self._folder())
        return await self._processes.start_server(settings, command, receiver)

    async def end_command(self, mark: str, worker: int, begun_s: float) -> None:
        """Interrupt, then kill all that the command started."""
        await self._processes.end_command(mark, worker, begun_s, user=self._command.user)

    async def end_processes(self, root: int, worker: int) -> None:
        """Kill the worker and, unless ``root`` is 0, the server."""
        await self._processes.end_processes(root, worker)
