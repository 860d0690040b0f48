"""Containers from start to removal.

Owns what a container is made with, the labels that say whose it is, and removing it come what may. Leaves images to
whatever it is given for them, and what happens inside to ``container``.
"""

from __future__ import annotations

import secrets
import shlex
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import anyio
from docker.types import DeviceRequest, LogConfig
from pydantic import BaseModel, Field

from harness.errors import SandboxError, SandboxGoneError
from harness.ports import PreparedImage, SandboxRequest
from harness.sandbox.docker.container import SESSIONS, ContainerSettings, DockerSandbox
from harness.sandbox.docker.engine import Engine, NotThereError
from harness.sandbox.docker.owner import LABEL, Owner
from harness.sandbox.docker.processes import ContainerProcesses
from harness.sandbox.docker.state import KEEP_ALIVE, is_kept_alive
from harness.sandbox.docker.transfer import ContainerFiles, NewFile
from harness.sandbox.docker.work import StartingPoint
from harness.schema.task import EnvironmentSpec

PIDS_LIMIT = 4096
HOSTNAME = "sandbox"
_REMOVE_S = 60.0
_ENTRYPOINT_LOOKS = 30
_ENTRYPOINT_LOOK_S = 0.1
_LOGS = ("/logs/agent", "/logs/verifier", "/logs/artifacts")


class Images(Protocol):
    """Prepares images."""

    async def prepare(
        self, environment: EnvironmentSpec, *, on_line: Callable[[str], None] | None = None
    ) -> PreparedImage:
        """Have an environment's image."""
        ...


class RuntimeTrust(Protocol):
    """What of the host's settings goes into containers that may reach the network."""

    def files(self) -> Mapping[str, bytes]:
        """Return absolute path to bytes."""
        ...

    def env(self) -> Mapping[str, str]:
        """Return variables."""
        ...


class _ImageConfig(BaseModel):
    User: str = ""
    WorkingDir: str = ""
    Entrypoint: tuple[str, ...] | None = None


class _Image(BaseModel):
    Config: _ImageConfig | None = None


class _Listed(BaseModel):
    Id: str
    Labels: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Recipe:
    """What a container is made of: the same for the one that runs and for its twin that never does."""

    request: SandboxRequest
    image: PreparedImage
    workdir: str
    image_user: str
    entrypoint: tuple[str, ...]

    @property
    def loose_files(self) -> Path | None:
        """The files of a task that names an image and builds nothing; they are put into its workdir."""
        environment = self.request.environment
        if not environment.docker_image or environment.has_dockerfile or environment.has_compose:
            return None
        return environment.context_dir if environment.context_dir and environment.context_dir.is_dir() else None

    @property
    def is_public(self) -> bool:
        return self.request.network.mode == "public"


class DockerSandboxProvider:
    """Starts containers with one engine; see ``harness.ports.SandboxProvider``."""

    def __init__(self, engine: Engine, *, images: Images, trust: RuntimeTrust | None = None) -> None:
        self._engine = engine
        self._images = images
        self._trust = trust
        self._owner = Owner.this_process()

    async def prepare(
        self, environment: EnvironmentSpec, *, on_line: Callable[[str], None] | None = None
    ) -> PreparedImage:
        """Have the image: local, pulled or built once."""
        return await self._images.prepare(environment, on_line=on_line)

    @asynccontextmanager
    async def open(self, request: SandboxRequest, image: PreparedImage) -> AsyncIterator[DockerSandbox]:
        """Start a container; remove it, and all that was made for it, when the block ends, come what may."""
        _refuse_what_cannot_be(request)
        recipe = await self._recipe(request, image)
        async with self._container(recipe, role=request.labels.get("role", "main")) as container:
            await self._start(container, recipe)
            settings = ContainerSettings(
                container=container,
                image=image.facts,
                workdir=recipe.workdir,
                image_user=recipe.image_user,
                start=StartingPoint(
                    twin=lambda: self._container(recipe, role="baseline"),
                    own=frozenset(entry.path for entry in self._first_files(recipe)),
                    has_given_files=recipe.loose_files is not None,
                ),
            )
            sandbox = DockerSandbox(self._engine, settings)
            try:
                yield sandbox
            finally:
                sandbox.close()

    async def reap(self, labels: Mapping[str, str]) -> int:
        """Remove containers that carry all these labels and were left by a process that is gone."""
        wanted = [LABEL, *(f"{name}={value}" for name, value in _labels(labels).items())]
        rows = await self._engine.call(self._engine.api.containers, all=True, filters={"label": wanted})
        removed = 0
        for row in (_Listed.model_validate(row) for row in rows):
            owner = Owner.parse(row.Labels.get(LABEL, ""))
            if owner is not None and owner.is_gone():
                await self._remove(row.Id)
                removed += 1
        return removed

    # ----------------------------------------------------------------------------------- making containers

    async def _recipe(self, request: SandboxRequest, image: PreparedImage) -> _Recipe:
        raw = await self._engine.call(self._engine.api.inspect_image, image.facts.image_id)
        config = _Image.model_validate(raw).Config or _ImageConfig()
        return _Recipe(
            request=request,
            image=image,
            workdir=request.environment.workdir or config.WorkingDir or "/",
            image_user=config.User,
            entrypoint=config.Entrypoint or (),
        )

    @asynccontextmanager
    async def _container(self, recipe: _Recipe, *, role: str) -> AsyncIterator[str]:
        """Create a container with its first files in place, not started; remove it at the end.

        The name is ours, so that it can be removed even if the engine's answer to its creation never came.
        """
        name = f"box-{secrets.token_hex(6)}"
        try:
            with anyio.CancelScope(shield=True):
                options = self._options(recipe, {**recipe.request.labels, "role": role})
                created = await self._engine.call(self._engine.api.create_container_from_config, options, name)
            container = str(created["Id"])
            await self._seed(container, recipe)
            yield container
        finally:
            with anyio.move_on_after(_REMOVE_S, shield=True), suppress(SandboxError):
                await self._remove(name)

    def _options(self, recipe: _Recipe, labels: Mapping[str, str]) -> dict[str, object]:
        trust = self._trust.env() if self._trust and recipe.is_public else {}
        api = self._engine.api
        return api.create_container_config(  # type: ignore[no-any-return]
            recipe.image.facts.image_id,
            ["sh", "-c", KEEP_ALIVE],
            hostname=HOSTNAME,
            environment={**trust, **recipe.request.env},
            working_dir=recipe.workdir,
            labels={LABEL: self._owner.label, **_labels(labels)},
            host_config=api.create_host_config(**_limits(recipe.request)),
        )

    async def _seed(self, container: str, recipe: _Recipe) -> None:
        """Put in what must be there before the first process."""
        files = ContainerFiles(self._engine, container)
        await files.put(self._first_files(recipe))
        if recipe.loose_files is not None:
            await files.upload(recipe.loose_files, recipe.workdir, None)

    def _first_files(self, recipe: _Recipe) -> list[NewFile]:
        """Return the harness's own files: log folders, the sessions' folder, what the host trusts."""
        entries = [NewFile(path="/logs", data=None, mode=0o755)]
        entries += [NewFile(path=path, data=None, mode=0o777) for path in _LOGS]
        entries += [NewFile(path=SESSIONS, data=None, mode=0o1777)]
        if self._trust and recipe.is_public:
            entries += [NewFile(path=path, data=data) for path, data in self._trust.files().items()]
        return entries

    async def _start(self, container: str, recipe: _Recipe) -> None:
        try:
            await self._engine.call(self._engine.api.start, container)
            processes = ContainerProcesses(self._engine, container, image_user="")
            await processes.check()
            if recipe.entrypoint:
                await self._await_entrypoint(container, processes)
        except SandboxGoneError as error:
            entry = f"The image's ENTRYPOINT is {shlex.join(recipe.entrypoint)}; it" if recipe.entrypoint else ""
            raise SandboxError(
                f"A container of {recipe.image.facts.tag} ended as soon as it was started: {error.message}",
                hint=f'{entry} must run the command that it is given, as exec "$@" does.' if entry else "",
            ) from error
        except SandboxError as error:
            raise SandboxError(
                f"A container of the image {recipe.image.facts.tag} could not be started: {error.message}",
                hint=_start_hint(error.message),
            ) from error

    async def _await_entrypoint(self, container: str, processes: ContainerProcesses) -> None:
        """Wait until an image's ENTRYPOINT has come to our command: one that cannot run it ends a moment later."""
        for _ in range(_ENTRYPOINT_LOOKS):
            await processes.check()
            with suppress(SandboxGoneError):  # the next check says how it ended
                if await is_kept_alive(self._engine, container):
                    return
            await anyio.sleep(_ENTRYPOINT_LOOK_S)

    async def _remove(self, container: str) -> None:
        with suppress(NotThereError, SandboxGoneError):
            await self._engine.call(self._engine.api.remove_container, container, v=True, force=True)


def _refuse_what_cannot_be(request: SandboxRequest) -> None:
    environment = request.environment
    if request.network.mode == "allowlist":
        raise SandboxError(
            "The task allows its sandbox some hosts only, and this version cannot enforce that.",
            hint="Run it with `--network none`, if it can do without.",
        )
    if environment.has_compose or environment.os != "linux" or environment.resources.tpu is not None:
        raise SandboxError("The task needs compose services, Windows or a TPU, which this version cannot give it.")


def _limits(request: SandboxRequest) -> dict[str, object]:
    resources = request.environment.resources
    limits: dict[str, object] = {
        "pids_limit": PIDS_LIMIT,
        "network_mode": "none" if request.network.mode == "none" else "bridge",
        "log_config": LogConfig(type="json-file", config={"max-size": "10m"}),
    }
    if resources.cpus is not None:
        limits["nano_cpus"] = int(resources.cpus * 1e9)
    if resources.memory_mb is not None:
        limits["mem_limit"] = limits["memswap_limit"] = resources.memory_mb * 1024 * 1024
    if resources.gpus:
        limits["device_requests"] = [DeviceRequest(count=resources.gpus, capabilities=[["gpu"]])]
    return limits


def _labels(labels: Mapping[str, str]) -> dict[str, str]:
    return {f"harness.{name}": value for name, value in labels.items()}


def _start_hint(message: str) -> str:
    if "executable file not found" in message or "no such file" in message.lower():
        return "The image needs a shell (`sh`), and an ENTRYPOINT that exists and runs the command it is given."
    if "device driver" in message:
        return "The task asks for a GPU, and the Docker Engine here has none to give."
    return ""
