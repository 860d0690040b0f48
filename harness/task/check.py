"""Looks for what makes a task folder fail, or lie, when it is run: more than reading it would refuse."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.errors import TaskError
from harness.schema.task import Task
from harness.task.harbor import read_task
from harness.task.support import unsupported

_REWARD = re.compile(rb"reward\.(txt|json)")
_FROM = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.IGNORECASE | re.MULTILINE)
_SAME_FROM_BYTES = 64
"""Smaller files (empty ``__init__.py``) may well be alike by chance."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something about a task folder. An ``error`` means that it cannot give a true result."""

    severity: Literal["error", "warning"]
    message: str


def check_task(folder: Path) -> list[Finding]:
    """Return everything that is wrong or doubtful, errors first; an empty list is a sound folder."""
    top = folder.resolve()
    findings = [*_reading(folder), *_scripts(top), *_rewards(top), *_leaks(top)]
    return sorted(findings, key=lambda finding: finding.severity != "error")


def _error(message: str) -> Finding:
    return Finding(severity="error", message=message)


def _warning(message: str) -> Finding:
    return Finding(severity="warning", message=message)


def _reading(folder: Path) -> Iterator[Finding]:
    try:
        task = read_task(folder)
    except TaskError as error:
        yield _error(str(error))
        for line in error.detail.splitlines():
            yield _error(line)
        return
    yield from (_warning(text) for text in task.warnings)
    reason = unsupported(task)
    if reason is not None:
        yield _warning(f"this version would refuse to run the task: {reason}")
    yield from _gaps(task)
    yield from _images(task)
    yield from _spoilers(task)


def _gaps(task: Task) -> Iterator[Finding]:
    for place in _phase_folders(task.path, "solution"):
        if not any((place / name).is_file() for name in ("solve.sh", "solve.bat")):
            shown = _shown(place / "solve.sh", task.path)
            yield _warning(f"{shown} is missing: the oracle cannot show that the task can be solved")
    if task.agent.timeout_s is None and not task.steps:
        yield _warning("task.toml: agent.timeout_sec is missing: the agent may work without end")
    resources = task.environment.resources
    if resources.memory_mb is None or resources.cpus is None:
        yield _warning(
            "task.toml: environment.cpus or environment.memory_mb is missing: results depend on the machine's load"
        )


def _images(task: Task) -> Iterator[Finding]:
    environment = task.environment
    named = [environment.docker_image] if environment.docker_image is not None else []
    if environment.context_dir is not None and environment.has_dockerfile:
        text = (environment.context_dir / "Dockerfile").read_text(encoding="utf-8", errors="replace")
        stages = {stage for _, stage in _FROM.findall(text)}
        named += [image for image, _ in _FROM.findall(text) if image not in stages and "$" not in image]
    for image in named:
        tag = image.rpartition("/")[2].partition("@")[0].partition(":")[2]
        if image != "scratch" and "@" not in image and tag in {"", "latest"}:
            yield _warning(f"the image {image} names no version: it will not stay the same")


def _spoilers(task: Task) -> Iterator[Finding]:
    instructions = {"instruction.md": task.instruction} | {
        f"steps/{step.name}/instruction.md": step.instruction for step in task.steps
    }
    hidden = {path.name for place in _phase_folders(task.path, "tests") for path in _files(place)}
    for shown, text in instructions.items():
        for place in ("/tests/", "/solution/", "/logs/verifier"):
            if place in text:
                yield _warning(f"{shown} names {place}, which the agent is not to know")
        for name in sorted(hidden):
            if len(name) > 5 and re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", text):
                yield _warning(f"{shown} names the hidden test file {name}")


def _scripts(top: Path) -> Iterator[Finding]:
    for kind in ("tests", "solution", "environment"):
        for place in _phase_folders(top, kind):
            for path in _files(place):
                if path.suffix == ".sh":
                    yield from _script(path, top, is_entry=path.name in {"test.sh", "solve.sh"})


def _script(path: Path, top: Path, *, is_entry: bool) -> Iterator[Finding]:
    data = path.read_bytes()
    shown = _shown(path, top)
    if b"\r\n" in data:
        line = data[: data.index(b"\r\n")].count(b"\n") + 1
        # In the image such a file may be what the task is about.
        found = _warning if shown.startswith("environment/") else _error
        yield found(f"{shown}:{line}: the line ends in CR LF, which a shell does not take; use LF")
    if not is_entry:
        return
    if not data.startswith(b"#!"):
        yield _warning(f"{shown}:1: no #! line: which shell runs it is left to chance")
    if not os.access(path, os.X_OK):
        yield _warning(f"{shown} is not executable; it is made so here, but not everywhere")


def _rewards(top: Path) -> Iterator[Finding]:
    """Somewhere in the tests the reward must be written; steps may use the task's own tests."""
    shared = top / "tests"
    for place in _phase_folders(top, "tests"):
        files = [*_files(place), *(_files(shared) if place != shared else [])]
        if files and not any(_REWARD.search(path.read_bytes()) for path in files):
            yield _error(
                f"nothing in {_shown(place, top)}/ names reward.txt or reward.json: no reward would be found"
            )


def _leaks(top: Path) -> Iterator[Finding]:
    """The agent's image must not hold what is hidden from the agent."""
    visible = {_digest(path): path for path in _files(top / "environment") if _is_telling(path)}
    for kind in ("tests", "solution"):
        for place in _phase_folders(top, kind):
            for path in _files(place):
                twin = visible.get(_digest(path)) if _is_telling(path) else None
                if twin is not None:
                    yield _warning(f"{_shown(twin, top)} is the same as {_shown(path, top)}: the agent can read it")


def _phase_folders(top: Path, kind: str) -> list[Path]:
    """Return the folders of this kind, of the task and of its steps, that should be there."""
    steps = sorted(path for path in (top / "steps").glob("*") if path.is_dir())
    return [place for place in (top / kind, *(step / kind for step in steps)) if place.is_dir() or not steps]


def _files(place: Path) -> list[Path]:
    return sorted(path for path in place.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def _is_telling(path: Path) -> bool:
    return path.stat().st_size >= _SAME_FROM_BYTES


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _shown(path: Path, top: Path) -> str:
    return path.relative_to(top).as_posix()
