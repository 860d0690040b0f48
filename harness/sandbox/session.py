"""A shell session: one process in the sandbox that takes commands as messages.

Owns the conversation with the session's server (``session_server.sh``): sending commands, timeouts, bringing the
shell back. Leaves to a ``ProcessSpace`` how processes are started and ended where the sandbox is. The reasons for
this design are in ``docs/decisions/0001-session.md``.
"""

from __future__ import annotations

import asyncio
import secrets
import shlex
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import anyio

from harness.errors import SandboxError, SessionError, ShellLostError
from harness.ports import CommandResult
from harness.sandbox.streams import STDERR, STDOUT, Attached, Receiver, clipped

SERVER_SCRIPT = Path(__file__).with_name("session_server.sh").read_text()
KILL_SCRIPT = Path(__file__).with_name("session_kill.sh").read_text()
MARK = "HARNESS_COMMAND"
"""The variable whose value tells what started a process. It is all that a session adds to the environment."""

OUTPUT_LIMIT = 30_000
_OPEN_S = 30.0
_PROBE_S = 0.1
_BACK_S = 2.0
_DATA_S = 10.0
_CLOSE_S = 1.0
_STARTS = 3
_ATTEMPTS = 4


def one_shot(shell: str, command: str) -> tuple[str, ...]:
    """Return the words that run ``command`` in a shell of its own.

    Output and errors share one pipe, because engines keep the order within a stream only. A parent that carries
    the mark stays, so that a command that clears its environment is still found when its time is over.
    """
    return (shell, "-c", 'exec 2>/dev/null; "$0" -c "$1" 2>&1; exit $?', shell, command)


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """How a session's server is started. ``directory`` holds its pipe and the commands' output."""

    directory: str
    key: str
    shell: str

    @property
    def arguments(self) -> tuple[str, ...]:
        """The server's positional parameters."""
        return (self.directory, self.key, str(OUTPUT_LIMIT), self.shell)


class ProcessSpace(Protocol):
    """Where a session's processes live."""

    async def attach(self, settings: ServerSettings, receiver: Receiver) -> Attached:
        """Start a server as the session's user. Raises ``SandboxGoneError`` when the sandbox is gone."""
        ...

    async def end_command(self, mark: str, worker: int, begun_s: float) -> None:
        """Interrupt, then kill all that the command with this mark started at this uptime of the machine."""
        ...

    async def end_processes(self, root: int, worker: int) -> None:
        """Kill the worker and, unless ``root`` is 0, the server with that pid; leave others alone."""
        ...


@dataclass(frozen=True)
class _Message:
    kind: str
    numbers: tuple[int, ...] = ()


_LOST = _Message("lost")
_COUNTS = {"W": 1, "R": 2, "D": 5, "X": 2, "G": 1}


def _parse(line: bytes) -> _Message | None:
    """Return the server's message on this line, ``None`` for anything else."""
    kind, *words = line.decode(errors="replace").split()[:6] or [""]
    try:
        numbers = tuple(int(word) for word in words)
    except ValueError:
        return None
    return _Message(kind, numbers) if _COUNTS.get(kind) == len(numbers) else None


class _Inbox:
    """What came from the server: messages in order, and the bytes of output that they announce."""

    def __init__(self) -> None:
        self.output = bytearray()
        self._messages: deque[_Message] = deque()
        self._line = bytearray()
        self._news = asyncio.Event()

    def received(self, stream: int, data: bytes) -> None:
        if stream == STDOUT:
            self.output += data
        elif stream == STDERR:
            self._line += data
            *lines, rest = self._line.split(b"\n")
            self._line = bytearray(rest)
            self._messages.extend(message for line in lines if (message := _parse(bytes(line))))
        self._news.set()

    def ended(self) -> None:
        self._messages.append(_LOST)
        self._news.set()

    async def message(self, timeout_s: float | None) -> _Message | None:
        """Wait for the next message, ``None`` when the time is over."""
        return self._messages.popleft() if await self._wait(lambda: bool(self._messages), timeout_s) else None

    def waiting(self) -> _Message | None:
        """Return the next message if there is one."""
        return self._messages.popleft() if self._messages else None

    async def take(self, count: int) -> bytes:
        """Wait for ``count`` bytes of output; fewer only if they do not come."""
        await self._wait(lambda: len(self.output) >= count, _DATA_S)
        data = bytes(self.output[:count])
        del self.output[:count]
        return data

    async def _wait(self, condition: Callable[[], bool], timeout_s: float | None) -> bool:
        with anyio.move_on_after(timeout_s):
            while not condition():
                self._news.clear()
                await self._news.wait()
        return condition()


class ShellSession:
    """The harness's end of a session. One command at a time; further calls wait their turn."""

    def __init__(self, space: ProcessSpace, *, directory: str, shell: str) -> None:
        self._space = space
        self._settings = ServerSettings(directory=directory, key=secrets.token_hex(6), shell=shell)
        self._lock = asyncio.Lock()
        self._inbox = _Inbox()
        self._line: Attached | None = None
        self._root = self._worker = 0
        self._number = 0
        self._busy = 0
        self._begun_at = 0.0
        self._command = ""
        self._attempt = 1
        self._starts = 0
        self._uptime_offset_s = 0.0
        self._restarted = False
        self._opened = self._closed = False

    async def open(self) -> None:
        """Start the server and the shell. Raises ``SessionError`` when they do not come up."""
        await self._connect()
        with anyio.move_on_after(_OPEN_S):
            while not self._worker:
                message = await self._inbox.message(None)
                if message == _LOST:
                    break
                await self._handle(message or _LOST, 0)
        if not self._worker:
            said = bytes(self._inbox.output).decode(errors="replace").strip()
            self._hang_up()
            raise SessionError(
                "A shell session could not be started in the sandbox.",
                hint="The image needs sh and the usual small tools (mkdir, mkfifo, cat, dd, tail, wc).",
                detail=said,
            )
        self._opened = True

    async def run(self, command: str, *, timeout_s: float | None = None) -> CommandResult:
        """Run a command in the shell; see ``harness.ports.Session``."""
        if "\0" in command:
            output = "The command holds a NUL byte, which no shell can take."
            return CommandResult(exit_code=126, output=output, output_bytes=len(output), duration_s=0.0)
        async with self._lock:
            await self._settle()
            self._number += 1
            self._busy, self._command, self._attempt = self._number, command, 1
            self._begun_at = time.monotonic()
            self._send(self._command_lines())
            reply = await self._reply(self._busy, timeout_s)
            timed_out = reply is None
            result = await self._result(reply or await self._stop(), timed_out=timed_out)
            self._busy, self._restarted = 0, False
            return result

    async def close(self) -> None:
        """End the shell and its foreground command. Background processes stay."""
        if self._closed:
            return
        self._closed = True
        with anyio.move_on_after(_OPEN_S, shield=True), suppress(SandboxError):
            if self._busy:
                await self._space.end_command(self._mark(self._busy), self._worker, self._begun_uptime_s())
            if self._busy or not await self._leave():
                await self._space.end_processes(self._root, self._worker)
        self._hang_up()

    # ------------------------------------------------------------------------------------ the conversation

    async def _reply(self, number: int, timeout_s: float | None) -> _Message | None:
        """Handle messages until command ``number`` is answered; ``None`` when the time is over.

        A command that takes longer than a moment is asked after once, with a line that the worker answers
        when it is back: it does so even if an error or a redefined ``printf`` swallowed the first answer.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        probe_at: float | None = time.monotonic() + _PROBE_S
        while True:
            times = [at for at in (deadline, probe_at) if at is not None]
            message = await self._inbox.message(max(0.0, min(times) - time.monotonic()) if times else None)
            if message is not None:
                if message.kind == "D" and message.numbers[0] == number:
                    return message
                await self._handle(message, number)
            elif deadline is not None and time.monotonic() >= deadline:
                return None
            elif probe_at is not None and time.monotonic() >= probe_at:
                self._send(self._probe(number))
                probe_at = None

    async def _handle(self, message: _Message, number: int) -> None:
        """Take in a message other than the answer to ``number``, the command in doubt (0 for none)."""
        match message.kind, message.numbers:
            case "W", (pid,):
                self._root = pid
            case "R", (pid, uptime):
                self._worker, self._starts = pid, 0
                self._uptime_offset_s = time.monotonic() - uptime / 100
            case "D", (_, _, _, head, tail):  # of a command that nobody waits for any more
                await self._inbox.take(head + tail)
            case "X", (refused, attempt) if refused == number and attempt in (0, self._attempt):
                await self._refused()
            case "G", _:
                self._count_start()
                self._send(f"\n{self._settings.key} sync {number}\n".encode() + self._setup())
            case "lost", _:
                await self._reconnect(number)

    async def _refused(self) -> None:
        """The command was not begun: its output file could not be opened. Try again, then with a new shell."""
        self._attempt += 1
        if self._attempt > _ATTEMPTS:
            raise ShellLostError(
                f"The session cannot write to {self._settings.directory} in the sandbox any more.",
                hint="Is its disk full, or were the session's limits set to nothing?",
            )
        if self._attempt == _ATTEMPTS - 1:
            await self._space.end_processes(0, self._worker)
        else:
            self._send(self._command_lines())

    async def _stop(self) -> _Message:
        """End the command that is running and return the server's answer to it, harder at every step."""
        number = self._busy
        await self._space.end_command(self._mark(number), self._worker, self._begun_uptime_s())
        self._send(self._probe(number))
        reply = await self._reply(number, _BACK_S)
        if reply is None:
            await self._space.end_processes(0, self._worker)
            reply = await self._reply(number, _BACK_S)
        if reply is None:
            await self._reconnect(number)
            reply = await self._reply(number, _OPEN_S)
        if reply is None:
            raise SessionError("The shell session does not answer any more.", hint="Another attempt may help.")
        return reply

    async def _settle(self) -> None:
        """Come to a shell that waits: what happened since the last command, and what a cancelled one left."""
        if self._closed:
            raise SessionError("The shell session is closed.")
        if self._line is None:
            await self._reconnect(0)
        while message := self._inbox.waiting():
            if not (message.kind == "D" and message.numbers[0] == self._busy):
                await self._handle(message, self._busy)
                continue
            await self._inbox.take(sum(message.numbers[3:]))
            self._busy = 0
        if self._busy:
            await self._inbox.take(sum((await self._stop()).numbers[3:]))
            self._busy = 0

    async def _reconnect(self, number: int) -> None:
        """Start the server anew after it was killed, and ask what became of command ``number``."""
        if self._closed:
            raise SessionError("The shell session was closed.")
        self._hang_up()
        self._count_start()
        if self._root:
            await self._space.end_processes(self._root, self._worker)
        await self._connect()
        if number:
            out = f"{self._settings.directory}/out.{number}"
            began = f"HARNESS_AT=0 HARNESS_CODE=137; [ ! -e {out} ] || HARNESS_AT={number}\n"
            self._send(began.encode() + self._report(number))

    def _count_start(self) -> None:
        self._restarted = True
        self._starts += 1
        if self._starts > _STARTS:
            error = ShellLostError if self._opened else SessionError
            raise error(
                "The session's shell cannot be started any more.",
                hint="Was the shell itself removed from the sandbox, or is it out of processes?",
            )

    async def _connect(self) -> None:
        self._inbox = _Inbox()
        self._root = self._worker = 0
        self._line = await self._space.attach(self._settings, self._inbox)
        self._send(self._setup())

    async def _leave(self) -> bool:
        """Let an idle shell and its server end by themselves; false if they do not."""
        if self._line is None:
            return True
        self._send(b"\\kill -KILL $$\n")  # not `exit`: no trap of the agent's may take its services along
        with anyio.move_on_after(_CLOSE_S):
            while (message := await self._inbox.message(None)) is not None:
                if message.kind in ("G", "lost"):
                    self._send(f"\n{self._settings.key} quit\n".encode())
                    return True
        return False

    async def _result(self, reply: _Message, *, timed_out: bool) -> CommandResult:
        number, code, total, head, tail = reply.numbers
        output = await self._inbox.take(head + tail)
        text = clipped(output[:head], output[head:], max(total, 0), OUTPUT_LIMIT)
        if total < 0:
            text = "[the file with this command's output was deleted before it ended]\n"
        return CommandResult(
            exit_code=None if timed_out else code,
            output=text,
            output_bytes=max(total, 0),
            duration_s=self._elapsed(),
            timed_out=timed_out,
            restarted=self._restarted,
            output_path=f"{self._settings.directory}/out.{number}",
        )

    # ------------------------------------------------------------------------------ what the worker is sent

    def _setup(self) -> bytes:
        directory, key = self._settings.directory, self._settings.key
        if self._settings.shell.endswith("bash"):
            quiet = "PS1= PS2= PROMPT_COMMAND=; \\unset HISTFILE MAILCHECK; \\set +o history +o histexpand"
        else:
            quiet = "PS1= PS2=; \\unset ENV"
        return (
            f"{quiet}\n{MARK}=0; \\export {MARK} PWD\n"
            f"\\read -r HARNESS_UP HARNESS_IDLE </proc/uptime\n"
            f"\\printf '\\n%s ready %s %s\\n' {key} $$ $HARNESS_UP\n"
            f'[ ! -f {directory}/env ] || . {directory}/env; \\cd -- "$PWD"\n'
        ).encode()

    def _command_lines(self) -> bytes:
        number, command, directory = self._number, self._command, self._settings.directory
        begin = f"{MARK}={self._mark(number)}\nHARNESS_AT=0 HARNESS_CODE=\n{{ HARNESS_AT={number}; \\eval "
        end = f"\n}} </dev/null >{directory}/out.{number} 2>&1\nHARNESS_CODE=$?\n"
        text = shlex.quote(f" {command}" if command.startswith("-") else command).encode(errors="surrogateescape")
        return begin.encode() + text + end.encode() + self._report(number) + self._snapshot()

    def _report(self, number: int) -> bytes:
        said = f"{self._settings.key} done {number}"
        values = f'"$HARNESS_CODE" "$HARNESS_AT" {self._attempt}'
        return f"\\printf '\\n%s %s %s %s %s %s\\n' {said} {values}\n".encode()

    def _probe(self, number: int) -> bytes:
        """The report once more, proof against redefined commands and a first one that was dropped."""
        late = "HARNESS_STATUS=$?; case $HARNESS_CODE in '') HARNESS_CODE=$HARNESS_STATUS;; esac\n"
        own = b"(POSIXLY_CORRECT=1; \\unset -f unset printf; " + self._report(number).strip() + b")\n"
        return late.encode() + own

    def _snapshot(self) -> bytes:
        """What a new shell takes over from this one."""
        return f"\\export -p >|{self._settings.directory}/env\n".encode()

    def _mark(self, number: int) -> str:
        return f"{self._settings.key}.{number}."

    def _elapsed(self) -> float:
        return time.monotonic() - self._begun_at

    def _begun_uptime_s(self) -> float:
        return max(0.0, self._begun_at - self._uptime_offset_s)

    def _send(self, data: bytes) -> None:
        if self._line is not None:
            self._line.write(data)

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None
