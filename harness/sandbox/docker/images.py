"""The image of a task, ready to start: local, pulled, or built once however many trials want it.

Owns the decision between these ways, the name of a built image (a digest of everything that enters the build),
and the record of it. Leaves to others: reading Dockerfiles (``dockerfile``), contexts (``build_context``), pulls
(``registry``), builds (``builds``), stand-ins for bases (``base_images``), the host's settings (``host_trust``).
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from harness.errors import ImageError
from harness.ports import PreparedImage, ProviderSettings
from harness.sandbox.docker.base_images import ensure_base
from harness.sandbox.docker.build_context import DOCKERFILE, REWRITTEN, BuildContext
from harness.sandbox.docker.builds import BuildOrder, ensure_files_image, image_id, run_build
from harness.sandbox.docker.classic import Lowered, lower, platform_arguments
from harness.sandbox.docker.dockerfile import Dockerfile, parse_dockerfile
from harness.sandbox.docker.once import SingleFlight, machine_lock
from harness.sandbox.docker.recipes import find_recipe, load_recipes
from harness.sandbox.docker.registry import PullError, Registries
from harness.sandbox.docker.trust_image import TrustImages
from harness.sandbox.docker.unreachable import Unreachable
from harness.sandbox.host_trust import HostSettings, discover_host_settings
from harness.schema.sandbox import BaseSubstitution, ImageFacts
from harness.schema.task import EnvironmentSpec

if TYPE_CHECKING:
    from docker import APIClient

_FORMAT = "1"
"""Part of every digest: raised when the code here makes a different image of the same context."""

_BASE_PULL_S = 600.0

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class _Source:
    """What a build starts from. ``name`` is how messages call it, ``short`` the image's name.

    ``text`` is the Dockerfile as the task has it, ``dockerfile`` as the classic builder can read it.
    """

    name: str
    short: str
    context: BuildContext
    text: str
    dockerfile: Dockerfile
    lowered: Lowered
    build_args: Mapping[str, str]
    digest: str
    timeout_s: float


class ImageStore:
    """Prepares images with one client. One per run; safe to use from many tasks at once."""

    def __init__(
        self,
        client: APIClient,
        settings: ProviderSettings | None = None,
        *,
        host: HostSettings | None = None,
        registries: Registries | None = None,
    ) -> None:
        self._engine = client
        self._settings = settings or ProviderSettings()
        self._host = discover_host_settings(self._settings.host_settings) if host is None else host
        self._registries = registries or Registries(client, Unreachable())
        self._trust = TrustImages(client, self._host)
        self._flights: SingleFlight[PreparedImage] = SingleFlight()
        self._slots = anyio.Semaphore(max(1, self._settings.build_jobs))
        self._contents: dict[tuple[str, int, int], str] = {}

    @property
    def host(self) -> HostSettings:
        """What of the host's settings containers of this run are given."""
        return self._host

    async def prepare(self, environment: EnvironmentSpec, *, on_line: Say | None = None) -> PreparedImage:
        """Have the image of an environment.

        ``on_line`` hears what is going on. Raises ``ImageError`` with the end of the build log, ``DaemonError``
        when the engine is away.
        """
        key = f"{environment.docker_image}\0{environment.context_dir}\0{environment.has_dockerfile}"
        prepared, own = await self._flights.share(key, lambda: self._prepare(environment, on_line or _silent))
        if own or prepared.facts.origin != "built":
            return prepared
        cached = prepared.facts.model_copy(update={"origin": "cached", "build_s": 0.0})
        return PreparedImage(facts=cached)

    async def _prepare(self, environment: EnvironmentSpec, say: Say) -> PreparedImage:
        if environment.os != "linux":
            raise ImageError(
                "The task asks for a Windows container.", hint="This provider runs Linux containers only."
            )
        image = environment.docker_image
        if image and not (self._settings.build == "always" and environment.has_dockerfile):
            return await self._named(image, environment, say)
        if environment.has_dockerfile and environment.context_dir:
            return await self._from_dockerfile(environment, environment.context_dir, say)
        raise ImageError(
            f"The task{_place(environment)} names no image and has no Dockerfile.",
            hint="Set environment.docker_image in task.toml, or add environment/Dockerfile.",
        )

    # --------------------------------------------------------------------------------- images by name

    async def _named(self, image: str, environment: EnvironmentSpec, say: Say) -> PreparedImage:
        if found := await image_id(self._engine, image):
            return PreparedImage(facts=ImageFacts(tag=image, image_id=found, origin="local", asked=image))
        try:
            await self._pull(image, environment.build_timeout_s, say)
        except PullError as error:
            return await self._instead(image, environment, str(error), say)
        facts = ImageFacts(tag=image, image_id=await self._id(image), origin="pulled", asked=image)
        return PreparedImage(facts=facts)

    async def _instead(self, image: str, environment: EnvironmentSpec, why: str, say: Say) -> PreparedImage:
        """Use what stands in for an image that cannot be pulled: its Dockerfile, or a base of our own."""
        may_build = self._settings.build != "never"
        if may_build and environment.has_dockerfile and environment.context_dir:
            say(f"{image} could not be pulled ({why}); building it from the task's Dockerfile")
            built = await self._from_dockerfile(environment, environment.context_dir, say)
            note = f"{image} could not be pulled ({why}); built from the task's Dockerfile instead."
            return PreparedImage(facts=built.facts.model_copy(update={"asked": image, "note": note}), log=built.log)
        if may_build and find_recipe(image, load_recipes()):
            base = await self._substitute(image, why, say)
            facts = ImageFacts(
                tag=base.used,
                image_id=await self._id(base.used),
                origin="local",
                asked=image,
                substitutions=(base,),
                trust=self._host.record(),
            )
            return PreparedImage(facts=facts)
        way = "build it by hand, " if may_build else "allow building (`--build auto`), "
        raise ImageError(
            f"The image {image} could not be pulled: {why}.",
            hint=f"Check the name, log in with `docker login`, {way}or `docker load` it.",
        )

    async def _pull(self, image: str, timeout_s: float, say: Say) -> None:
        async with machine_lock(f"pull {image}", on_wait=lambda: say(f"waiting for the pull of {image}")):
            if not await image_id(self._engine, image):
                await self._registries.pull(image, timeout_s=timeout_s, on_line=say)

    async def _substitute(self, image: str, why: str, say: Say) -> BaseSubstitution:
        return await ensure_base(
            image, client=self._engine, on_line=say, settings=self._host, reason=f"it could not be pulled: {why}"
        )

    async def _id(self, tag: str) -> str:
        if found := await image_id(self._engine, tag):
            return found
        raise ImageError(f"The image {tag} was here a moment ago and is gone.", hint="Is something pruning images?")

    # -------------------------------------------------------------------------------- images by build

    async def _from_dockerfile(self, environment: EnvironmentSpec, folder: Path, say: Say) -> PreparedImage:
        source = await anyio.to_thread.run_sync(self._read, folder, environment.build_timeout_s)
        # First with the bases as asked for: once built, an image needs neither them nor a registry.
        plain = self._tag(source, {})
        if found := await image_id(self._engine, plain):
            return PreparedImage(facts=self._facts(source, plain, found, ()))
        if self._settings.build == "never":
            raise ImageError(
                f"The image of {source.name} is not built yet, and building is off.",
                hint="Run without `--build never` once.",
            )
        if source.lowered.aside:
            await ensure_files_image(self._engine, source.lowered.aside_tag, source.lowered.aside)
        bases = [await self._base(image, say) for image in source.dockerfile.external_images]
        substitutions = tuple(base for base in bases if base is not None)
        replace = {base.asked: base.used for base in substitutions}
        tag = self._tag(source, replace)
        async with machine_lock(tag, on_wait=lambda: say(f"waiting for the build of {source.name}")):
            if found := await image_id(self._engine, tag):
                return PreparedImage(facts=self._facts(source, tag, found, substitutions))
            async with self._slots:
                started = time.monotonic()
                log = await self._build(source, tag, replace, say)
                spent = time.monotonic() - started
        facts = self._facts(source, tag, await self._id(tag), substitutions)
        return PreparedImage(
            facts=facts.model_copy(update={"origin": "built", "build_s": round(spent, 2)}), log=log
        )

    def _read(self, folder: Path, timeout_s: float) -> _Source:
        path = folder / DOCKERFILE
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ImageError(f"{path} cannot be read: {error}.") from error
        build_args = {**platform_arguments(text), **self._host.build_args}
        lowered = lower(parse_dockerfile(text, build_args))
        dockerfile = parse_dockerfile(lowered.text, build_args)
        if not dockerfile.stages:
            raise ImageError(f"{path} has no FROM, so nothing can be built from it.")
        if lowered.left:
            raise ImageError(
                f"{path} uses what only BuildKit can do: {', '.join(lowered.left)}.",
                hint="Write it without, or build the image by hand and name it as docker_image.",
            )
        context = BuildContext(folder)
        owner = folder.parent if folder.name == "environment" else folder
        return _Source(
            name=f"the Dockerfile of {owner.name}",
            short=_short(owner.name),
            context=context,
            text=text,
            dockerfile=dockerfile,
            lowered=lowered,
            build_args=build_args,
            digest=context.digest(self._contents),
            timeout_s=timeout_s,
        )

    def _tag(self, source: _Source, replace: Mapping[str, str]) -> str:
        parts = [
            _FORMAT,
            source.digest,
            self._host.digest,
            *(f"{old}={new}" for old, new in sorted(replace.items())),
        ]
        return f"harness/{source.short}:{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:16]}"

    def _facts(
        self, source: _Source, tag: str, found: str, substitutions: tuple[BaseSubstitution, ...]
    ) -> ImageFacts:
        return ImageFacts(
            tag=tag,
            image_id=found,
            origin="cached",
            asked=DOCKERFILE,
            context_digest=source.digest,
            substitutions=substitutions,
            trust=self._host.record(),
        )

    async def _base(self, image: str, say: Say) -> BaseSubstitution | None:
        """Have a base; return what stands in for it, ``None`` when it is itself here."""
        if await image_id(self._engine, image):
            return None
        try:
            await self._pull(image, _BASE_PULL_S, say)
        except PullError as error:
            if not find_recipe(image, load_recipes()):
                raise ImageError(
                    f"The base image {image} could not be pulled: {error}; and no recipe makes a stand-in for it.",
                    hint="Make the registry reachable, or `docker load` the image.",
                ) from error
            return await self._substitute(image, str(error), say)
        return None

    async def _build(self, source: _Source, tag: str, replace: Mapping[str, str], say: Say) -> str:
        say(f"building {source.name}")
        rewritten = await self._trust.rewrite(source.dockerfile, replace)
        changed = rewritten != source.text
        tar = await anyio.to_thread.run_sync(
            source.context.tar, rewritten if changed else None, source.lowered.modes
        )
        order = BuildOrder(
            tag=tag,
            what=f"image of {source.name}",
            context=tar,
            dockerfile=REWRITTEN if changed else DOCKERFILE,
            build_args=source.build_args,
            labels={"harness.role": "task-image"},
            timeout_s=source.timeout_s,
        )
        return await run_build(self._engine, order, say)


def _silent(_: str) -> None:
    return None


def _place(environment: EnvironmentSpec) -> str:
    return f" at {environment.context_dir}" if environment.context_dir else ""


def _short(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "task"
