"""Task folders and image stores for tests, and their removal."""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path

import docker
from docker.errors import APIError

from harness.ports import PreparedImage, ProviderSettings
from harness.sandbox.docker.images import ImageStore
from harness.sandbox.docker.registry import Registries
from harness.sandbox.docker.unreachable import Unreachable
from harness.sandbox.host_trust import HostSettings
from harness.schema.task import EnvironmentSpec


class Workshop:
    """Makes task folders and stores, and removes the images that come of them."""

    def __init__(self, engine: docker.APIClient, folder: Path) -> None:
        self.engine = engine
        self.folder = folder
        self.marker = f"m{uuid.uuid4().hex[:12]}"
        self.unreachable = Unreachable(folder / "unreachable.json")
        self._tags: set[str] = set()

    def task(self, dockerfile: str | None, *, docker_image: str | None = None, **files: str) -> EnvironmentSpec:
        """Write a task folder; the marker makes its digest and its commands this test's own."""
        context = self.folder / f"task-{self.marker}" / "environment"
        context.mkdir(parents=True, exist_ok=True)
        (context / "marker").write_text(self.marker)
        for name, text in files.items():
            (context / name).write_text(text)
        if dockerfile is not None:
            (context / "Dockerfile").write_text(dockerfile)
        return EnvironmentSpec(
            context_dir=context,
            has_dockerfile=dockerfile is not None,
            docker_image=docker_image,
            build_timeout_s=240,
        )

    def store(self, settings: ProviderSettings | None = None, *, host: HostSettings | None = None) -> ImageStore:
        registries = Registries(self.engine, self.unreachable, answer_s=3)
        own = HostSettings() if host is None else host
        return ImageStore(self.engine, settings or ProviderSettings(), host=own, registries=registries)

    def keep_track(self, prepared: PreparedImage) -> PreparedImage:
        """Have the image removed when the test ends."""
        self._tags.add(prepared.facts.tag)
        return prepared

    def containers(self) -> list[str]:
        """Return the containers whose command carries this test's marker."""
        found = self.engine.containers(all=True)
        return [container["Id"] for container in found if self.marker in container["Command"]]

    def remove(self, tag: str) -> None:
        for container in self.containers():
            self.engine.remove_container(container, force=True)
        with contextlib.suppress(APIError):  # it is gone, or something else was made of it
            self.engine.remove_image(tag, force=True)

    def close(self) -> None:
        """Remove the images that were kept track of, and what builds that failed left in the engine's cache."""
        for tag in self._tags:
            if not tag.startswith("harness-base/"):
                self.remove(tag)
        for image in self.engine.images(filters={"dangling": True}):
            with contextlib.suppress(APIError):  # another test's, gone in the meantime
                if any(self.marker in step["CreatedBy"] for step in self.engine.history(image["Id"])):
                    self.remove(image["Id"])
