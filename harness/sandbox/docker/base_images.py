"""Stand-ins for the base images that tasks commonly ask for, built here from distribution packages.

Used where no image registry answers. Owns the build of a recipe (``recipes``) into a local image named
``harness-base/<tag>-<digest>``, found again by that name; never the official name, so that nobody mistakes one
for the other. Every use is told as a ``BaseSubstitution``.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from harness.errors import ImageError
from harness.sandbox.docker.apt_sources import AptSettings, read_apt_settings
from harness.sandbox.docker.bootstrap import DISTRIBUTIONS, bootstrap_tree, find_mirror, have_tools
from harness.sandbox.docker.builds import BuildOrder, engine_client, image_id, run_build, tar_of
from harness.sandbox.docker.classic import PlainFile
from harness.sandbox.docker.engine_stream import EngineCall, EngineRefusalError, follow
from harness.sandbox.docker.once import cache_folder, machine_lock
from harness.sandbox.docker.recipes import Bootstrap, LoadedRecipe, Recipe, find_recipe, load_recipes
from harness.sandbox.docker.unreachable import Unreachable
from harness.sandbox.host_trust import HostSettings, discover_host_settings
from harness.schema.sandbox import BaseSubstitution

if TYPE_CHECKING:
    from docker import APIClient

_FORMAT = "1"
"""Part of every digest: raised when the code here makes a different image of the same recipe."""

_BUILD_S = 1800.0
_CHUNK = 1 << 20
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


async def ensure_base(
    reference: str,
    *,
    client: APIClient | None = None,
    on_line: Callable[[str], None] | None = None,
    settings: HostSettings | None = None,
    reason: str = "asked for by name",
) -> BaseSubstitution:
    """Have a local stand-in for ``reference``, building it if need be; ``used`` is its tag.

    Safe to call from many processes at once: one builds, the others wait. Raises ``ImageError`` when no recipe
    answers to the name, or the build fails.
    """
    match = find_recipe(reference, load_recipes())
    if match is None:
        known = ", ".join(sorted({found.recipe.tag.split(":")[0] for found in load_recipes().values()}))
        raise ImageError(
            f"There is no recipe for a stand-in for the base image {reference}.",
            hint=f"Recipes exist for {known}. Make a registry reachable, or `docker load` the image.",
        )
    host = settings if settings is not None else await anyio.to_thread.run_sync(discover_host_settings)
    async with engine_client(client) as engine:
        maker = _Maker(
            engine,
            settings=host,
            apt=await anyio.to_thread.run_sync(read_apt_settings),
            say=lambda line: on_line(f"base image for {reference}: {line}") if on_line else None,
        )
        used, differs = await maker.ensure(match.found)
    return BaseSubstitution(asked=reference, used=used, reason=reason, differs=_told(match.differs, differs))


class _Maker:
    """Builds recipes with one client and one view of the host."""

    def __init__(
        self, engine: APIClient, *, settings: HostSettings, apt: AptSettings, say: Callable[[str], None]
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._apt = apt
        self._say = say
        self._unreachable = Unreachable()

    async def ensure(self, found: LoadedRecipe) -> tuple[str, str]:
        """Return the recipe's local tag, building the image if it is not there, and what of it differs."""
        recipe, bootstrap = found.recipe, found.recipe.bootstrap
        if recipe.derived_from:
            parent, differs = await self.ensure(_recipe(recipe.derived_from))
            tag = self._tag(found, parent)
            await self._once(tag, lambda: self._derive(found, tag, parent))
            return tag, _told(recipe.differs, differs)
        tag = self._tag(found, "")
        if bootstrap and bootstrap.otherwise and not await self._can_be_made(tag, bootstrap):
            other, differs = await self.ensure(_recipe(bootstrap.otherwise))
            return other, _told(bootstrap.otherwise_differs, differs)
        await self._once(tag, lambda: self._bootstrap(found, tag))
        return tag, recipe.differs

    async def _once(self, tag: str, build: Callable[[], Awaitable[None]]) -> None:
        if await image_id(self._engine, tag):
            return
        async with machine_lock(tag, on_wait=lambda: self._say("waiting for another process that builds it")):
            if not await image_id(self._engine, tag):
                await build()

    async def _can_be_made(self, tag: str, bootstrap: Bootstrap) -> bool:
        """Say whether a distribution's image is here already, or can be bootstrapped here."""
        if await image_id(self._engine, tag):
            return True
        distribution = DISTRIBUTIONS[bootstrap.distribution]
        if not distribution.keyring.exists():  # another distribution's host; its packages could not be checked
            return False
        try:
            await have_tools(distribution, self._say)
            await self._mirror(bootstrap)
        except ImageError:
            return False
        return True

    async def _mirror(self, bootstrap: Bootstrap) -> str:
        distribution = DISTRIBUTIONS[bootstrap.distribution]
        return await find_mirror(bootstrap.suite, distribution, self._apt, self._unreachable)

    def _tag(self, found: LoadedRecipe, parent: str) -> str:
        trusted = (hashlib.sha256(pem).hexdigest() for pem in self._settings.certificates.values())
        parts = [_FORMAT, found.digest, parent, repr(self._apt), *sorted(trusted)]
        return f"harness-base/{found.recipe.tag}-{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:10]}"

    async def _bootstrap(self, found: LoadedRecipe, tag: str) -> None:
        recipe = found.recipe
        assert recipe.bootstrap is not None
        self._announce(found, tag)
        folder = cache_folder() / "trees"
        folder.mkdir(exist_ok=True)
        # The name is fixed and we hold its lock, so that a tree here was left by a process that died.
        tree = folder / tag.replace("/", "_").replace(":", "_")
        try:
            await bootstrap_tree(
                recipe.bootstrap.suite,
                DISTRIBUTIONS[recipe.bootstrap.distribution],
                tree,
                mirror=await self._mirror(recipe.bootstrap),
                apt=self._apt,
                certificates=self._settings.certificates,
                on_line=self._say,
            )
            self._say("importing it into Docker")
            await self._import(tree, tag, found)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(lambda: shutil.rmtree(tree, ignore_errors=True))

    async def _import(self, tree: Path, tag: str, found: LoadedRecipe) -> None:
        repository, _, name = tag.partition(":")
        tar = _open_tar(tree)
        call = EngineCall(
            path="/images/create",
            params={"fromSrc": "-", "repo": repository, "tag": name, "changes": list(_changes(found))},
            headers={"Content-Type": "application/x-tar"},
            body=_pieces(tar),
        )
        try:
            await follow(self._engine, call, lambda _: None)
        except EngineRefusalError as error:
            raise ImageError(f"Docker did not take the new base image {tag}: {error}") from error
        finally:
            tar.kill()
            tar.wait()

    def _announce(self, found: LoadedRecipe, tag: str) -> None:
        self._say(f"building {tag} from distribution packages, about {found.recipe.about_s} s")

    async def _derive(self, found: LoadedRecipe, tag: str, base: str) -> None:
        self._announce(found, tag)
        text = _derived_dockerfile(found, base, self._settings.index)
        files = {"Dockerfile": PlainFile(data=text.encode())}
        if found.recipe.setup:
            files["setup.sh"] = PlainFile(data=found.script)
        order = BuildOrder(
            tag=tag,
            what=f"base image {tag}",
            context=tar_of(files),
            build_args=self._settings.build_args,
            labels=_labels(found),
            timeout_s=_BUILD_S,
        )
        await run_build(self._engine, order, self._say)


def _told(*differences: str) -> str:
    return "; ".join(filter(None, differences))


def _recipe(name: str) -> LoadedRecipe:
    return load_recipes()[name]


def _open_tar(tree: Path) -> subprocess.Popen[bytes]:
    kept_out = ("./dev/*", "./proc/*", "./sys/*")
    command = [
        "tar",
        "--numeric-owner",
        *(f"--exclude={pattern}" for pattern in kept_out),
        "-C",
        str(tree),
        "-c",
        ".",
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def _pieces(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    assert process.stdout is not None
    with process.stdout as output:
        while piece := output.read(_CHUNK):
            yield piece
    if process.wait() != 0:  # cut short, the engine would import half a system
        raise OSError(f"tar ended with {process.returncode}")


def _labels(found: LoadedRecipe) -> dict[str, str]:
    return {"harness.role": "base-image", "harness.recipe": found.name}


def _changes(found: LoadedRecipe) -> Iterator[str]:
    yield f"CMD {json.dumps(list(found.recipe.cmd))}"
    yield f"ENV PATH={_PATH}"
    yield from (f"ENV {name}={value}" for name, value in found.recipe.env.items())
    yield from (f"LABEL {name}={value}" for name, value in _labels(found).items())


def _derived_dockerfile(found: LoadedRecipe, base: str, build_args: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in _derived_lines(found.recipe, base, build_args))


def _derived_lines(recipe: Recipe, base: str, build_args: Iterable[str]) -> Iterator[str]:
    yield f"FROM {base}"
    yield from (f"ENV {name}={value}" for name, value in recipe.env.items())
    yield from (f"ARG {name}" for name in ("DEBIAN_FRONTEND=noninteractive", *build_args))
    yield from (f"ARG {name}={json.dumps(value)}" for name, value in recipe.setup_env.items())
    steps = []
    if recipe.packages:
        steps.append("apt-get update -qq")
        steps.append(f"apt-get install -y -qq --no-install-recommends {' '.join(recipe.packages)}")
    if recipe.setup:
        yield "COPY setup.sh /tmp/setup.sh"
        steps.append("sh -eu /tmp/setup.sh")
    steps.append("rm -rf /tmp/setup.sh /var/lib/apt/lists/* /var/log/*.log /var/log/apt")
    yield f"RUN {' && '.join(steps)}"
    yield f"CMD {json.dumps(list(recipe.cmd))}"
