"""``harness tasks``: list, show, check and make task folders."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from harness.errors import EXIT_OK, EXIT_USAGE
from harness.resolving import with_bundled
from harness.schema.task import Task
from harness.task import find_tasks, read_task, unsupported


def list_command(paths: Sequence[Path], *, as_json: bool) -> int:
    """Print one line per task."""
    tasks = find_tasks([with_bundled(path) for path in paths])
    if as_json:
        print(json.dumps([_brief(task) for task in tasks]))
        return EXIT_OK
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table("task", "agent s", "tests s", "category", "remark", box=SIMPLE_HEAD)
    table.columns[0].no_wrap = True
    for task in tasks:
        brief = _brief(task)
        limit = "no limit" if task.agent.timeout_s is None else f"{task.agent.timeout_s:g}"
        table.add_row(
            task.name,
            limit,
            f"{task.verifier.timeout_s:g}",
            str(brief["category"] or ""),
            str(brief["unsupported"] or ""),
        )
    Console().print(table)
    return EXIT_OK


def show_command(path: Path, *, as_json: bool) -> int:
    """Print a task as the harness reads it."""
    task = read_task(with_bundled(path))
    if as_json:
        print(task.model_dump_json(indent=2))
        return EXIT_OK
    environment = task.environment
    image = environment.docker_image or ("environment/Dockerfile" if environment.has_dockerfile else "none")
    limit = "no time limit" if task.agent.timeout_s is None else f"{task.agent.timeout_s:g} s"
    facts = {
        "task": task.name,
        "folder": task.path,
        "digest": task.digest,
        "image": image,
        "network": environment.network.mode,
        "agent": f"{limit}, user {task.agent.user or 'of the image'}",
        "tests": f"{task.verifier.timeout_s:g} s, user {task.verifier.user or 'of the image'}",
        "solution": "yes" if task.solution_dir else "none",
    }
    for name, value in facts.items():
        print(f"{name:9} {value}")
    reason = unsupported(task)
    for remark in [*task.warnings, *([f"cannot be run: {reason}"] if reason else [])]:
        print(f"warning   {remark}")
    print(f"\n{task.instruction.strip()}")
    return EXIT_OK


def check_command(paths: Sequence[Path], *, as_json: bool) -> int:
    """Print what is wrong with task folders; exit code 2 if anything is an error."""
    from harness.task.check import check_task

    found = [
        (folder, finding)
        for folder in _folders([with_bundled(path) for path in paths])
        for finding in check_task(folder)
    ]
    if as_json:
        print(
            json.dumps(
                [
                    {"task": str(folder), "severity": finding.severity, "message": finding.message}
                    for folder, finding in found
                ]
            )
        )
    else:
        for folder, finding in found:
            print(f"{folder}: {finding.severity}: {finding.message}")
        if not found:
            print("Nothing to complain about.")
    return EXIT_USAGE if any(finding.severity == "error" for _, finding in found) else EXIT_OK


def new_command(folder: Path) -> int:
    """Make a small working task."""
    from harness.task.scaffold import new_task

    new_task(folder, folder.name)
    print(f"Made {folder}. Try it: harness run {folder} -a oracle -a nop")
    return EXIT_OK


def _folders(paths: Sequence[Path]) -> list[Path]:
    """Return task folders by their task.toml: a folder that cannot be read is to be checked all the same."""
    found: list[Path] = []
    for path in paths:
        inner = sorted(place.parent for place in path.rglob("task.toml")) if path.is_dir() else []
        found.extend(inner or [path])
    return found


def _brief(task: Task) -> dict[str, str | float | None]:
    category = task.metadata.get("category")
    return {
        "task": task.name,
        "path": str(task.path),
        "digest": task.digest,
        "agent_timeout_s": task.agent.timeout_s,
        "verifier_timeout_s": task.verifier.timeout_s,
        "category": str(category) if category is not None else None,
        "unsupported": unsupported(task),
    }
