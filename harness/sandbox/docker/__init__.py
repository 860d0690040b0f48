"""The Docker sandbox: images, containers, sessions and files through the Engine API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from harness.ports import ProviderSettings

if TYPE_CHECKING:
    from harness.sandbox.docker.provider import DockerSandboxProvider

__all__ = ["open_provider"]


@asynccontextmanager
async def open_provider(settings: ProviderSettings) -> AsyncIterator[DockerSandboxProvider]:
    """Connect to the Docker Engine and lend a provider of sandboxes. Raises ``DaemonError``."""
    import anyio

    from harness.sandbox.docker.engine import open_engine
    from harness.sandbox.docker.images import ImageStore
    from harness.sandbox.docker.provider import DockerSandboxProvider

    async with open_engine() as engine:
        images = await anyio.to_thread.run_sync(ImageStore, engine.api, settings)
        yield DockerSandboxProvider(engine, images=images, trust=images.host)
