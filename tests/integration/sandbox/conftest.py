"""A real engine, a Debian image, and providers with what each test wants in them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio
import pytest

from harness.ports import PreparedImage
from harness.sandbox.docker.base_images import ensure_base
from harness.sandbox.docker.engine import Engine, open_engine
from harness.sandbox.docker.images import ImageStore
from harness.sandbox.docker.provider import DockerSandboxProvider
from harness.schema.task import EnvironmentSpec


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def debian() -> str:
    return anyio.run(ensure_base, "debian:bookworm-slim").used


@pytest.fixture
async def engine(anyio_backend: str) -> AsyncIterator[Engine]:
    async with open_engine() as opened:
        yield opened


@pytest.fixture
async def provider(engine: Engine) -> DockerSandboxProvider:
    return DockerSandboxProvider(engine, images=ImageStore(engine.api))


@pytest.fixture
async def prepared(provider: DockerSandboxProvider, debian: str) -> PreparedImage:
    return await provider.prepare(EnvironmentSpec(docker_image=debian))
