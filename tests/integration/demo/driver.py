"""Drives one demo task in a real container, as a runner of Harbor tasks does: work, hidden tests, reward.

It knows nothing of the engine, so that it can say whether a task is sound even when the engine is not.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from harness.data import data_folder
from harness.task import read_task

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

    from harness.schema.task import Task

SUITE = data_folder("tasks") / "demo"
TASKS = ("migrate-parsimonious", "repair-tidelog", "stock-service")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the hidden tests said: the reward, the names of tests that did not pass, and what was printed."""

    reward: str
    failed: frozenset[str]
    output: str


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a command did."""

    exit_code: int
    output: str


class Trial:
    """A running container of a task."""

    def __init__(self, task: Task, container: Container) -> None:
        self.task = task
        self.container = container

    def run(self, command: list[str], *, user: str | None = None) -> Outcome:
        """Run a command to its end."""
        done = self.container.exec_run(command, user=user or "")
        return Outcome(exit_code=done.exit_code, output=done.output.decode(errors="replace"))

    def bash(self, text: str) -> Outcome:
        """Run shell text as the agent's user, in the task's directory."""
        return self.run(["bash", "-c", text], user=self.task.agent.user)

    def upload(self, folder: Path, target: str) -> None:
        """Copy a folder into the container, owned by root."""
        self.container.put_archive("/", _packed(folder, target.strip("/")))

    def solve(self) -> Outcome:
        """Let the oracle work."""
        self.upload(self.task.path / "solution", "/solution")
        return self.bash("/solution/solve.sh")

    def verify(self) -> Verdict:
        """Bring in the hidden tests, run them, and read what they wrote."""
        self.upload(self.task.path / "tests", "/tests")
        command = ["bash", "-c", "chmod +x /tests/test.sh; /tests/test.sh 2>&1"]
        done = self.run(command, user=self.task.verifier.user)
        reward = self.run(["cat", "/logs/verifier/reward.txt"]).output.strip()
        report = self.run(["cat", "/logs/verifier/junit.xml"])
        cases = ET.fromstring(report.output).iter("testcase")
        failed = frozenset(str(case.get("name")) for case in cases if len(case))
        return Verdict(reward=reward, failed=failed, output=done.output)


@contextmanager
def trial(client: DockerClient, task: Task, image: str) -> Iterator[Trial]:
    """Start a container without network, with the folders for logs that every runner makes."""
    container = client.containers.run(
        image, ["sh", "-c", "sleep infinity"], detach=True, network_mode="none", mem_limit="1g", init=True
    )
    try:
        started = Trial(task, container)
        folders = "mkdir -p /logs/agent /logs/verifier /logs/artifacts; chmod 777 /logs/*"
        started.run(["sh", "-c", folders], user="root")
        yield started
    finally:
        container.remove(force=True, v=True)


def demo_task(name: str) -> Task:
    """Read one task of the suite."""
    return read_task(SUITE / name)


def _packed(folder: Path, prefix: str) -> bytes:
    def as_root(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        info.uid = info.gid = 0
        return None if "__pycache__" in info.name else info

    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.add(folder, arcname=prefix, filter=as_root)
    return stream.getvalue()
