"""Processes on this machine, for the fake sandbox: started like execs, found by what is in their environment."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.sandbox.streams import HeadAndTail, Receiver


async def start_process(
    words: Sequence[str], *, env: Mapping[str, str], folder: Path, receiver: Receiver, stdin: bool
) -> LocalProcess:
    """Start a process in a session of its own; ``receiver`` hears its output."""
    _, process = await asyncio.get_running_loop().subprocess_exec(
        lambda: LocalProcess(receiver),
        *words,
        stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
        cwd=folder,
        env=env,
        start_new_session=True,
    )
    return process


class Heard:
    """Keeps what a process prints, and tells when it is over."""

    def __init__(self, limit: int) -> None:
        self.output = HeadAndTail(limit)
        self.over = asyncio.Event()

    def received(self, stream: int, data: bytes) -> None:
        """Take a piece of output."""
        self.output.add(data)

    def ended(self) -> None:
        """Hear that nothing more will come."""
        self.over.set()


class LocalProcess(asyncio.SubprocessProtocol):
    """A process on this machine, with the face of an attached exec."""

    def __init__(self, receiver: Receiver) -> None:
        self.exited = asyncio.Event()
        self.exit_code = 0
        self._receiver = receiver
        self._open = 2
        self._transport: asyncio.SubprocessTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hear from the loop that it was started."""
        assert isinstance(transport, asyncio.SubprocessTransport)
        self._transport = transport

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Pass its output on."""
        self._receiver.received(fd, data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Note that it, and all that inherited it, closed a pipe."""
        self._open -= fd in (1, 2)
        if not self._open:
            self._receiver.ended()

    def process_exited(self) -> None:
        """Note its exit code, as a shell would count it."""
        code = self._transport.get_returncode() if self._transport else None
        self.exit_code = 0 if code is None else code if code >= 0 else 128 - code
        self.exited.set()

    def write(self, data: bytes) -> None:
        """Send to its standard input."""
        pipe = self._transport.get_pipe_transport(0) if self._transport else None
        if isinstance(pipe, asyncio.WriteTransport) and not pipe.is_closing():
            pipe.write(data)

    def close(self) -> None:
        """Let go of its pipes; it is not killed by it."""
        for fd in (0, 1, 2):
            if self._transport and (pipe := self._transport.get_pipe_transport(fd)):
                pipe.close()

    @property
    def running_pid(self) -> int | None:
        """Its pid, ``None`` once it has ended."""
        return self._transport.get_pid() if self._transport and not self.exited.is_set() else None

    async def let_go(self) -> None:
        """Wait for the end of a process that was killed, and release what the event loop holds for it."""
        await self.exited.wait()
        if self._transport:
            self._transport.close()


def all_pids() -> list[int]:
    """Return every process of the machine."""
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]


def environ_of(pid: int) -> bytes:
    """Return the environment that a process was started with; empty if it may not be read."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def command_of(pid: int) -> str:
    """Return a process's words, joined by blanks."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def parent_of(pid: int) -> int:
    """Return the parent's pid, 0 if there is no such process."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, ValueError):
        return 0


def descendants_of(roots: set[int]) -> set[int]:
    """Return everything that the given processes started, directly or not, themselves left out."""
    parents = {pid: parent_of(pid) for pid in all_pids()}
    found: set[int] = set()
    while grown := {pid for pid, parent in parents.items() if parent in found | roots} - found - roots:
        found |= grown
    return found


def started_at_s(pid: int) -> float:
    """Return when a process was started, in seconds of the machine's uptime; 0 if there is no such process."""
    try:
        ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError):
        return 0.0
    return ticks / os.sysconf("SC_CLK_TCK")
