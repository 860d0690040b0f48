"""A real engine, and bases that are built once for all workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import anyio
import docker
import pytest

from harness.sandbox.docker.base_images import ensure_base
from tests.integration.images.image_workshop import Workshop


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.APIClient]:
    client = docker.APIClient(version="auto")
    yield client
    client.close()


@pytest.fixture(scope="session")
def debian() -> str:
    """The local tag of a Debian stand-in; the first of all workers builds it, the others wait."""
    return anyio.run(ensure_base, "debian:bookworm-slim").used


@pytest.fixture(scope="session")
def python() -> str:
    return anyio.run(ensure_base, "python:3.11-slim").used


@pytest.fixture
def workshop(engine: docker.APIClient, tmp_path: Path) -> Iterator[Workshop]:
    made = Workshop(engine, tmp_path)
    yield made
    made.close()


@pytest.fixture
def run(engine: docker.APIClient) -> Callable[[str, str], str]:
    """Run a command in an image and return what it printed."""

    def go(tag: str, command: str) -> str:
        container = engine.create_container(tag, command=["sh", "-c", command])["Id"]
        try:
            engine.start(container)
            code = engine.wait(container)["StatusCode"]
            output: str = engine.logs(container).decode()
            assert code == 0, output
            return output
        finally:
            engine.remove_container(container, force=True)

    return go
