"""Images of the demo tasks, prepared once, and a way to start trials of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import anyio
import docker
import pytest

from harness.sandbox.docker.images import ImageStore
from tests.integration.demo.driver import Trial, demo_task, trial

if TYPE_CHECKING:
    from harness.schema.task import Task


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    client = docker.from_env(timeout=600)
    yield client
    client.close()


def _prepared(client: docker.DockerClient, task: Task) -> str:
    async def prepare() -> str:
        return (await ImageStore(client.api).prepare(task.environment)).facts.tag

    return anyio.run(prepare)


@pytest.fixture
def start(engine: docker.DockerClient) -> Iterator[Callable[[str], Trial]]:
    """Start a trial of a task; it is removed when the test ends."""
    with ExitStack() as stack:

        def open_trial(name: str) -> Trial:
            task = demo_task(name)
            return stack.enter_context(trial(engine, task, _prepared(engine, task)))

        yield open_trial
