"""One started container, as the engine of the harness sees it.

Owns the sandbox's methods and what each is made of. Leaves execs to ``processes``, archives to ``transfer``, the
work's patch to ``work``, starting and removing to ``provider``.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from harness.ports import CommandResult, Session, TransferLimits
from harness.sandbox.docker.engine import Engine
from harness.sandbox.docker.processes import Command, ContainerProcesses, SessionSpace
from harness.sandbox.docker.state import read_facts, read_processes
from harness.sandbox.docker.transfer import ContainerFiles, NewFile
from harness.sandbox.docker.users import resolve_user
from harness.sandbox.docker.work import StartingPoint, WorkReader
from harness.sandbox.session import ShellSession, one_shot
from harness.schema.sandbox import ImageFacts, Process, SandboxFacts, WorkReport

SESSIONS = "/.sessions"
_BASHES = ("/bin/bash", "/usr/bin/bash", "/usr/local/bin/bash")
_USERS_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class ContainerSettings:
    """What is known of a container when it has started. ``image_user`` is the image's ``USER``."""

    container: str
    image: ImageFacts
    workdir: str
    image_user: str
    start: StartingPoint


class DockerSandbox:
    """A started container; see ``harness.ports.Sandbox``."""

    def __init__(self, engine: Engine, settings: ContainerSettings) -> None:
        self._engine = engine
        self._settings = settings
        self._files = ContainerFiles(engine, settings.container)
        self._processes = ContainerProcesses(engine, settings.container, image_user=settings.image_user)
        self._sessions = 0

    @property
    def container(self) -> str:
        """The engine's id of the container."""
        return self._settings.container

    @property
    def image(self) -> ImageFacts:
        """Where its image came from."""
        return self._settings.image

    @property
    def workdir(self) -> str:
        """The directory that commands start in."""
        return self._settings.workdir

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
        """Run one command in a process of its own."""
        words = one_shot(await self._find_shell(), command)
        order = Command(words=words, user=user, env=env or {}, workdir=await self._folder(workdir))
        return await self._processes.run(order, timeout_s=timeout_s, output_limit=output_limit)

    async def open_session(
        self, *, user: str | None = None, env: Mapping[str, str] | None = None, workdir: str | None = None
    ) -> Session:
        """Start a persistent shell."""
        order = Command(words=(), user=user, env=env or {})
        shell = await self._find_shell()
        self._sessions += 1
        session = ShellSession(
            SessionSpace(self._processes, order, partial(self._folder, workdir)),
            directory=f"{SESSIONS}/{self._sessions}",
            shell=shell,
        )
        await session.open()
        return session

    async def write_file(self, path: str, data: bytes, *, mode: int = 0o644, user: str | None = None) -> None:
        """Write one file, creating its parents; both belong to ``user`` (``None``: root)."""
        path = await self._files.follow(posixpath.normpath(path))
        uid, gid = await self._ids(user)
        folders = [
            NewFile(path=folder, data=None, mode=0o755, uid=uid, gid=gid)
            for folder in reversed(await self._missing_parents(path))
        ]
        await self._files.put([*folders, NewFile(path=path, data=data, mode=mode, uid=uid, gid=gid)])

    async def read_file(self, path: str, *, max_bytes: int = 16 * 1024 * 1024) -> bytes | None:
        """Return a regular file's bytes, following links within the container; ``None`` if there is none."""
        return await self._files.read(path, max_bytes)

    async def upload(self, source: Path, target: str, *, ignore: Callable[[str], bool] | None = None) -> None:
        """Copy a host folder's contents over ``target``, owned by root."""
        await self._files.upload(source, target, ignore)

    async def download(self, source: str, target: Path, *, limits: TransferLimits | None = None) -> int:
        """Copy a container folder's contents, or one file, under ``target``; symbolic links are left out."""
        return await self._files.download(source, target, limits or TransferLimits())

    async def collect_work(self, patch: Path) -> WorkReport:
        """Write what differs from the image below ``workdir`` as a git patch."""
        reader = WorkReader(self._engine, self.container, root=self.workdir, start=self._settings.start)
        return await reader.collect(patch)

    async def processes(self) -> tuple[Process, ...]:
        """Return what runs in the container, the harness's own processes left out."""
        return await read_processes(self._engine, self.container, await self._text("/etc/passwd"))

    async def facts(self) -> SandboxFacts:
        """Return how the container stands."""
        return await read_facts(self._engine, self.container)

    def close(self) -> None:
        """Hang up on what is still attached; the container is the provider's to remove."""
        self._processes.close()

    async def _find_shell(self) -> str:
        for path in _BASHES:  # asked anew each time: the agent may have removed it
            if await self._files.stat(path) is not None:
                return path
        return "/bin/sh"

    async def _folder(self, workdir: str | None = None) -> str:
        """Return where to start a process: ``/`` if the agent removed the folder, in which nothing could start."""
        wanted = workdir or self.workdir
        found = await self._files.stat(await self._files.follow(wanted))
        return wanted if found is not None and found.is_dir else "/"

    async def _missing_parents(self, path: str) -> list[str]:
        missing = []
        parent = posixpath.dirname(path)
        while parent != "/" and await self._files.stat(parent) is None:
            missing.append(parent)
            parent = posixpath.dirname(parent)
        return missing

    async def _ids(self, user: str | None) -> tuple[int, int]:
        if user in (None, "", "root", "0"):
            return 0, 0
        return resolve_user(user or "", await self._text("/etc/passwd"), await self._text("/etc/group"))

    async def _text(self, path: str) -> str:
        return (await self._files.read(path, _USERS_BYTES) or b"").decode(errors="replace")
