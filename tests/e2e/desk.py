"""A desk to run the real command at: tasks made on the spot, and what a run left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOP = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ran:
    """A finished command and the record of its run."""

    code: int
    out: str
    err: str
    folder: Path

    @property
    def summary(self) -> dict[str, Any]:
        """The last line of ``--json``."""
        line: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return line

    @property
    def rows(self) -> list[dict[str, Any]]:
        """What ``harness results --json`` says."""
        done = subprocess.run(
            [sys.executable, "-m", "harness", "results", str(self.folder), "--json"],
            capture_output=True,
            text=True,
            check=True,
            cwd=TOP,
        )
        return [json.loads(line) for line in done.stdout.splitlines()]

    def events(self, kind: str) -> list[dict[str, Any]]:
        """All events of a kind, over all attempts."""
        found = []
        for path in sorted(self.folder.glob("trials/*/*/events.jsonl")):
            found += [json.loads(line) for line in path.read_text().splitlines()]
        return [event for event in found if event["kind"] == kind]


@dataclass(frozen=True)
class Desk:
    """A folder to work in, with the command at hand."""

    folder: Path

    @property
    def run_dir(self) -> Path:
        """Where runs go."""
        return self.folder / "run"

    def start(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        """Start ``harness run`` in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "harness", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=TOP,
            env={**os.environ, **environ},
            start_new_session=True,
        )

    def ran(self, process: subprocess.Popen[str], timeout_s: float = 240) -> Ran:
        """Wait for a started command."""
        out, err = process.communicate(timeout=timeout_s)
        return Ran(process.returncode, out, err, self.run_dir)

    def run(self, *arguments: str, **environ: str) -> Ran:
        """Run tasks into ``run_dir``, with JSON at the end."""
        return self.ran(self.start("run", *arguments, "-o", str(self.run_dir), "--json", **environ))

    def ps(self) -> list[dict[str, Any]]:
        """What ``harness ps --json`` says."""
        found: list[dict[str, Any]] = json.loads(self.ran(self.start("ps", "--json")).out)
        return found

    def task(self, name: str = "hello", **files: str) -> Path:
        """Make a small task; ``files`` replace its own (``tests_test_sh`` is ``tests/test.sh``)."""
        from harness.task.scaffold import new_task

        folder = self.folder / "tasks" / name
        new_task(folder, name)
        for place, text in files.items():
            (folder / _PLACES[place]).write_text(text)
        return folder


_PLACES = {
    "dockerfile": "environment/Dockerfile",
    "task_toml": "task.toml",
    "test_sh": "tests/test.sh",
    "solve_sh": "solution/solve.sh",
    "instruction": "instruction.md",
}
