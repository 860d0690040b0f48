"""Names of images: read one, and say which registry answers for it. Pure."""

from __future__ import annotations

from dataclasses import dataclass

_OFFICIAL = ("public.ecr.aws/docker/library/", "mirror.gcr.io/library/", "library/")
_HUB = "docker.io"


@dataclass(frozen=True, kw_only=True)
class ImageReference:
    """An image's name in its parts. ``tag`` is ``latest`` when neither tag nor digest was given."""

    registry: str
    repository: str
    tag: str | None
    digest: str | None

    @property
    def familiar(self) -> str:
        """The name as people write it: without the hub's host, with a tag, without the digest."""
        name = self.repository if self.registry == _HUB else f"{self.registry}/{self.repository}"
        for prefix in _OFFICIAL:
            name = name.removeprefix(prefix)
        return f"{name}:{self.tag or 'latest'}"

    @property
    def pull_name(self) -> str:
        """The name to pull, without tag or digest."""
        if self.registry != _HUB:
            return f"{self.registry}/{self.repository}"
        return self.repository

    @property
    def pull_tag(self) -> str:
        """The tag or digest to pull."""
        return self.digest or self.tag or "latest"


def parse_reference(text: str) -> ImageReference:
    """Read ``[registry/]repository[:tag][@digest]``."""
    name, _, digest = text.strip().partition("@")
    head, _, rest = name.partition("/")
    registry = _HUB
    if rest and ("." in head or ":" in head or head == "localhost"):
        registry = _HUB if head in {"index.docker.io", "registry-1.docker.io", _HUB} else head
        name = rest
    repository, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        repository, tag = name, ""
    return ImageReference(
        registry=registry,
        repository=repository,
        tag=tag or (None if digest else "latest"),
        digest=digest or None,
    )
