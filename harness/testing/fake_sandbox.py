"""A sandbox without Docker: real shells and real processes on this machine, in a private folder.

For tests of what stands on the sandbox port, and for benchmarks of it. The session is the real one. Absolute paths
of a container (``/app``, ``/logs``, ``/tests`` …) are mapped into the private folder by rewriting the text of
commands and of text files on their way in, and back on their way out. There is no isolation: give it trusted
commands only. What it cannot do: users, limits, networks, images; ``kill -9 -1`` would reach the whole machine.
"""

from __future__ import annotations

import os
import posixpath
import re
import secrets
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio

from harness.errors import SandboxError, SandboxGoneError, TransferError
from harness.ports import CommandResult, PreparedImage, SandboxRequest, Session, TransferLimits
from harness.sandbox.patches import Blob, PatchRepository
from harness.sandbox.session import MARK, SERVER_SCRIPT, ServerSettings, ShellSession, one_shot
from harness.sandbox.streams import Attached, Receiver
from harness.schema.sandbox import FileChange, ImageFacts, Process, SandboxFacts, WorkReport
from harness.schema.task import EnvironmentSpec
from harness.testing.local_processes import (
    Heard,
    LocalProcess,
    all_pids,
    command_of,
    descendants_of,
    environ_of,
    parent_of,
    start_process,
    started_at_s,
)

_ROOTS = ("logs", "tests", "solution", "tmp", "app", "work", "root", "home", ".sessions", "opt", "srv")
_SANDBOX = "HARNESS_FAKE"
_DRAIN_S = 0.2
_GRACE_TRIES, _KILL_TRIES = 10, 20
_TICK_S = 0.02
_REACHES_OUT = re.compile(r"\bkill\b[^;&|\n]*\s-?1(?![\w.])")
_OWN = ('eval "$HARNESS_', "--noprofile --norc --noediting -i")


class FakeSandboxProvider:
    """Makes fake sandboxes; every image is there."""

    def __init__(self, *, workdir: str = "/app") -> None:
        self._workdir = workdir

    async def prepare(
        self, environment: EnvironmentSpec, *, on_line: Callable[[str], None] | None = None
    ) -> PreparedImage:
        """Say that the image is there."""
        tag = environment.docker_image or "fake"
        return PreparedImage(facts=ImageFacts(tag=tag, image_id=f"fake:{tag}", origin="fake", asked=tag))

    @asynccontextmanager
    async def open(self, request: SandboxRequest, image: PreparedImage) -> AsyncIterator[FakeSandbox]:
        """Make a private folder; end what ran there and remove it when the block ends."""
        root = Path(tempfile.mkdtemp(prefix="fake-sandbox-"))
        environment = request.environment
        sandbox = FakeSandbox(root, image.facts, environment.workdir or self._workdir, dict(request.env))
        try:
            loose = environment.docker_image and not environment.has_dockerfile
            if loose and environment.context_dir and environment.context_dir.is_dir():
                await sandbox.upload(environment.context_dir, sandbox.workdir)
                sandbox.remember()
            yield sandbox
        finally:
            with anyio.CancelScope(shield=True):
                sandbox.vanish()
                await sandbox.let_go()
                await anyio.to_thread.run_sync(lambda: shutil.rmtree(root, ignore_errors=True))

    async def reap(self, labels: Mapping[str, str]) -> int:
        """Nothing is ever left behind."""
        return 0


class FakeSandbox:
    """A folder that plays a container; see ``harness.ports.Sandbox``."""

    def __init__(self, root: Path, image: ImageFacts, workdir: str, env: Mapping[str, str]) -> None:
        self.container = f"fake-{secrets.token_hex(6)}"
        self.image = image
        self.workdir = workdir
        self._root = root
        self._gone = False
        self._sessions = 0
        self._started: list[LocalProcess] = []
        names = sorted({*_ROOTS, workdir.strip("/").split("/")[0]} - {""}, key=len, reverse=True)
        self._inward = re.compile(rf"(?<![\w.\-/])/(?=(?:{'|'.join(map(re.escape, names))})(?![\w.\-]))")
        for path in (workdir, "/logs/agent", "/logs/verifier", "/logs/artifacts", "/tmp", "/root", "/.sessions"):
            self.host_path(path).mkdir(parents=True, exist_ok=True)
        bare = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(root / "root"), "TMPDIR": str(root / "tmp")}
        self._env = {**bare, **{name: self._in(value) for name, value in env.items()}, _SANDBOX: self.container}
        self._before: dict[str, bytes] = {}
        self.remember()

    async def exec(
        self,
        command: str,
        *,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        workdir: str | None = None,
        timeout_s: float | None = None,
        output_limit: int = 64_000,
    ) -> CommandResult:
        """Run one command in a process of its own; ``user`` counts for nothing."""
        mark, started = f"{secrets.token_hex(6)}.0.", time.monotonic()
        heard = Heard(output_limit)
        words = one_shot(_shell(), self._in_command(command))
        process = await self._start(words, {**(env or {}), MARK: mark}, workdir, heard, stdin=False)
        try:
            with anyio.move_on_after(timeout_s) as limit:
                await process.exited.wait()
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self.end_command(mark, 0, 0.0)
            raise
        if limit.cancelled_caught:
            await self.end_command(mark, 0, 0.0)
        with anyio.move_on_after(_DRAIN_S):
            await heard.over.wait()
        process.close()
        self._check()
        return CommandResult(
            exit_code=None if limit.cancelled_caught else process.exit_code,
            output=self._out(heard.output.text()),
            output_bytes=heard.output.total,
            duration_s=time.monotonic() - started,
            timed_out=limit.cancelled_caught,
        )

    async def open_session(
        self, *, user: str | None = None, env: Mapping[str, str] | None = None, workdir: str | None = None
    ) -> Session:
        """Start a persistent shell; ``user`` counts for nothing."""
        self._sessions += 1
        space = _LocalSpace(self, env or {}, workdir)
        directory = str(self.host_path(f"/.sessions/{self._sessions}"))
        session = ShellSession(space, directory=directory, shell=_shell())
        await session.open()
        return _MappedSession(session, self._in_command, self._out)

    async def write_file(self, path: str, data: bytes, *, mode: int = 0o644, user: str | None = None) -> None:
        """Write one file, creating its parents."""
        self._check()
        place = self.host_path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(self._in_bytes(data))
        place.chmod(mode)

    async def read_file(self, path: str, *, max_bytes: int = 16 * 1024 * 1024) -> bytes | None:
        """Return a regular file's bytes."""
        self._check()
        place = self.host_path(path)
        if not place.exists():
            return None
        if not place.is_file():
            raise TransferError(f"{path} in the sandbox is not a regular file.")
        if place.stat().st_size > max_bytes:
            raise TransferError(f"{path} in the sandbox has more than {max_bytes} bytes.")
        return self._out_bytes(place.read_bytes())

    async def upload(self, source: Path, target: str, *, ignore: Callable[[str], bool] | None = None) -> None:
        """Copy a host folder's contents over ``target``."""
        self._check()
        await anyio.to_thread.run_sync(_copy, source, source, self.host_path(target), self._in_bytes, ignore)

    async def download(self, source: str, target: Path, *, limits: TransferLimits | None = None) -> int:
        """Copy a folder's contents, or one file, under ``target``; symbolic links are left out."""
        self._check()
        return await anyio.to_thread.run_sync(self._download, source, target, limits or TransferLimits())

    async def collect_work(self, patch: Path) -> WorkReport:
        """Write what differs from the start below ``workdir`` as a git patch."""
        self._check()
        after = self._files()
        kinds = {path: "added" if path not in self._before else "modified" for path in after}
        kinds |= dict.fromkeys(self._before.keys() - after.keys(), "deleted")
        changed = sorted(path for path in kinds if self._before.get(path) != after.get(path))
        with tempfile.TemporaryDirectory(prefix="work-") as folder:
            repository = PatchRepository(Path(folder))

            def blobs(files: Mapping[str, bytes]) -> dict[str, Blob]:
                return {path: repository.add(files[path], mode="100644") for path in changed if path in files}

            counts = repository.write(blobs(self._before), blobs(after), patch)
        changes = [{"path": posixpath.join(self.workdir, path), "change": kinds[path]} for path in changed]
        return WorkReport(
            root=self.workdir,
            changes=tuple(FileChange.model_validate(change) for change in changes),
            changes_total=len(changed),
            files_changed=counts.files,
            insertions=counts.insertions,
            deletions=counts.deletions,
            patch_bytes=counts.patch_bytes,
        )

    async def processes(self) -> tuple[Process, ...]:
        """Return what runs in the sandbox, the session's own processes left out."""
        self._check()
        found = ((pid, command_of(pid)) for pid in self._pids())
        return tuple(
            Process(pid=pid, user="fake", command=self._out(command))
            for pid, command in found
            if command and command != "cat" and not any(own in command for own in _OWN)
        )

    async def facts(self) -> SandboxFacts:
        """Return that it runs, or was made to vanish."""
        return SandboxFacts(running=not self._gone, exit_code=137 if self._gone else None)

    # ------------------------------------------------------------------------------- what only a fake has

    def host_path(self, path: str) -> Path:
        """Return where a container's path is on this machine."""
        return self._root / posixpath.normpath(path).lstrip("/")

    def remember(self) -> None:
        """Take the present files below ``workdir`` as those that the image came with."""
        self._before = self._files()

    def vanish(self) -> None:
        """Kill everything and be gone, as a container that was removed from outside."""
        self._gone = True
        for _ in range(3):
            _signal(self._own_tree(), signal.SIGKILL)

    async def let_go(self) -> None:
        """Release what is held for the processes that were ended by ``vanish``."""
        for process in self._started:
            await process.let_go()

    async def attach(
        self, settings: ServerSettings, env: Mapping[str, str], workdir: str | None, receiver: Receiver
    ) -> Attached:
        """Start a session's server."""
        words = ("sh", "-c", 'eval "$HARNESS_SERVER"', "session", *settings.arguments)
        return await self._start(words, {**env, "HARNESS_SERVER": SERVER_SCRIPT}, workdir, receiver, stdin=True)

    async def end_command(self, mark: str, worker: int, begun_s: float) -> None:
        """Interrupt, then kill all that a command started."""
        targets = self._started_by(mark, worker, begun_s)
        _signal((targets | {worker}) & self._own_tree(), signal.SIGINT)
        for tries in range(_GRACE_TRIES + _KILL_TRIES):
            targets = (targets & self._own_tree()) | self._started_by(mark, worker, begun_s)
            if not targets:
                return
            if tries >= _GRACE_TRIES:
                _signal(targets, signal.SIGKILL)
            await anyio.sleep(0.1)

    def end_server(self, root: int, worker: int) -> None:
        """Kill a session's worker and, unless ``root`` is 0, its server."""
        server = {root, *(pid for pid in all_pids() if parent_of(pid) == root)} if root > 1 else set()
        _signal((server | {worker}) & self._own_tree(), signal.SIGKILL)

    # --------------------------------------------------------------------------------------------- inside

    async def _start(
        self,
        words: Sequence[str],
        env: Mapping[str, str],
        workdir: str | None,
        receiver: Receiver,
        *,
        stdin: bool,
    ) -> LocalProcess:
        self._check()
        folder = self.host_path(workdir or self.workdir)
        folder = folder if folder.is_dir() else self.host_path("/")
        process = await start_process(
            words, env={**self._env, **env}, folder=folder, receiver=receiver, stdin=stdin
        )
        self._started.append(process)
        return process

    def _download(self, source: str, target: Path, limits: TransferLimits) -> int:
        place = self.host_path(source)
        files = [place] if place.is_file() else [path for path in sorted(place.rglob("*")) if not path.is_symlink()]
        total = sum(path.stat().st_size for path in files if path.is_file())
        if total > limits.max_bytes or len(files) > limits.max_entries:
            raise TransferError(f"{source} in the sandbox has {total} bytes in {len(files)} entries: too much.")
        target.mkdir(parents=True, exist_ok=True)
        for path in files:
            copy = target / (path.name if place.is_file() else path.relative_to(place))
            if path.is_dir():
                copy.mkdir(parents=True, exist_ok=True)
            elif path.is_file():
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(self._out_bytes(path.read_bytes()))
                copy.chmod(path.stat().st_mode & 0o755 | 0o600)
        return total

    def _own_tree(self) -> set[int]:
        """Return the processes that this sandbox started, and nothing else of the machine."""
        own = {*self._pids(), *(pid for process in self._started if (pid := process.running_pid))}
        return {pid for pid in own | descendants_of(own) if pid > 1}

    def _started_by(self, mark: str, worker: int, begun_s: float) -> set[int]:
        """Return what one command started, by the rules of ``session_kill.sh``, within this sandbox."""
        own = self._own_tree() - {worker}
        marked = {pid for pid in own if f"{MARK}={mark}".encode() in environ_of(pid)}
        others = {
            pid
            for pid in own
            if worker > 1
            and parent_of(pid) == worker
            and f"{MARK}=".encode() not in environ_of(pid)
            and started_at_s(pid) >= begun_s - _TICK_S
        }
        found = marked | others
        return (found | descendants_of(found)) & own

    def _check(self) -> None:
        if self._gone:
            raise SandboxGoneError("The fake sandbox is gone.")

    def _pids(self) -> list[int]:
        wanted = f"{_SANDBOX}={self.container}".encode()
        return [pid for pid in all_pids() if wanted in environ_of(pid)]

    def _files(self) -> dict[str, bytes]:
        top = self.host_path(self.workdir)
        paths = (path for path in top.rglob("*") if path.is_file() and not path.is_symlink())
        return {path.relative_to(top).as_posix(): self._out_bytes(path.read_bytes()) for path in paths}

    def _in_command(self, command: str) -> str:
        if _REACHES_OUT.search(command):
            raise SandboxError("The fake sandbox has no process 1 of its own: this would reach the whole machine.")
        return self._in(command)

    def _in(self, text: str) -> str:
        return self._inward.sub(f"{self._root}/", text)

    def _out(self, text: str) -> str:
        return text.replace(str(self._root), "")

    def _in_bytes(self, data: bytes) -> bytes:
        return self._in(data.decode()).encode() if _is_text(data) else data

    def _out_bytes(self, data: bytes) -> bytes:
        return data.replace(str(self._root).encode(), b"")


class _MappedSession:
    """A session whose commands and results are mapped between the container's paths and this machine's."""

    def __init__(self, session: ShellSession, inward: Callable[[str], str], outward: Callable[[str], str]) -> None:
        self._session = session
        self._in = inward
        self._out = outward

    async def run(self, command: str, *, timeout_s: float | None = None) -> CommandResult:
        result = await self._session.run(self._in(command), timeout_s=timeout_s)
        path = self._out(result.output_path) if result.output_path else None
        return CommandResult(
            exit_code=result.exit_code,
            output=self._out(result.output),
            output_bytes=result.output_bytes,
            duration_s=result.duration_s,
            timed_out=result.timed_out,
            restarted=result.restarted,
            output_path=path,
        )

    async def close(self) -> None:
        await self._session.close()


class _LocalSpace:
    """A session's processes on this machine, for ``harness.sandbox.session.ProcessSpace``."""

    def __init__(self, sandbox: FakeSandbox, env: Mapping[str, str], workdir: str | None) -> None:
        self._sandbox = sandbox
        self._env = env
        self._workdir = workdir

    async def attach(self, settings: ServerSettings, receiver: Receiver) -> Attached:
        return await self._sandbox.attach(settings, self._env, self._workdir, receiver)

    async def end_command(self, mark: str, worker: int, begun_s: float) -> None:
        await self._sandbox.end_command(mark, worker, begun_s)

    async def end_processes(self, root: int, worker: int) -> None:
        self._sandbox.end_server(root, worker)


def _signal(pids: Iterable[int], how: signal.Signals) -> None:
    for pid in sorted(pids):
        with suppress(ProcessLookupError):
            os.kill(pid, how)


def _shell() -> str:
    return shutil.which("bash") or "/bin/sh"


def _copy(
    top: Path, folder: Path, target: Path, mapped: Callable[[bytes], bytes], ignore: Callable[[str], bool] | None
) -> None:
    if not folder.is_dir():
        raise TransferError(f"The folder {folder} to copy into the sandbox does not exist.")
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.iterdir()):
        relative = path.relative_to(top).as_posix()
        is_dir = path.is_dir() and not path.is_symlink()
        if ignore is not None and ignore(f"{relative}/" if is_dir else relative):
            continue
        copy = target / path.name
        if path.is_symlink():
            if not path.resolve().is_relative_to(top.resolve()) or path.readlink().is_absolute():
                raise TransferError(f"The link {path} leads out of its folder, to {path.readlink()}.")
            copy.unlink(missing_ok=True)
            copy.symlink_to(path.readlink())
        elif is_dir:
            _copy(top, path, copy, mapped, ignore)
        else:
            copy.write_bytes(mapped(path.read_bytes()))
            mode = path.stat().st_mode & 0o777
            copy.chmod(mode | (mode & 0o500) >> 3 | (mode & 0o500) >> 6)


def _is_text(data: bytes) -> bool:
    try:
        return "\0" not in data.decode()
    except UnicodeDecodeError:
        return False
