"""A desk to run the real command at, and a look at the containers of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import docker
import pytest

from harness.wiring import run_label
from tests.e2e.desk import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A desk in a fresh folder."""
    return Desk(tmp_path)


@pytest.fixture
def containers_of() -> Callable[[Path], list[str]]:
    """List the containers that carry a run's label."""

    def containers(run_dir: Path) -> list[str]:
        client = docker.from_env()
        try:
            found = client.containers.list(all=True, filters={"label": f"harness.run={run_label(run_dir)}"})
            return [str(container.id) for container in found]
        finally:
            client.close()

    return containers
