"""Which tasks a command means: a task folder, or folders of task folders."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.errors import TaskError
from harness.schema.task import Task
from harness.task.harbor import read_task

_DEPTH = 5
_NEVER_ENTERED = frozenset({"__pycache__", "node_modules"})


def find_tasks(paths: Sequence[Path]) -> tuple[Task, ...]:
    """Read every task at or below ``paths``, sorted by name; a path given twice counts once.

    Folders are searched to a depth of five, not into tasks or hidden folders. A task that cannot be read
    raises ``TaskError`` (naming all of them, if several), so that a run never quietly becomes smaller. So do
    a folder without tasks and two tasks of one name.
    """
    folders = dict.fromkeys(folder for path in paths for folder in _task_folders(path))
    tasks: list[Task] = []
    errors: list[TaskError] = []
    for folder in folders:
        try:
            tasks.append(read_task(folder))
        except TaskError as error:
            errors.append(error)
    if errors:
        raise _together(errors)
    tasks.sort(key=lambda task: (task.name, task.path))
    for first, second in itertools.pairwise(tasks):
        if first.name == second.name:
            raise TaskError(
                f"Two tasks are called {first.name!r}: {first.path} and {second.path}.",
                hint="Rename one ([task].name in task.toml, or the folder), or run them one after the other.",
            )
    return tuple(tasks)


def _task_folders(path: Path) -> list[Path]:
    if not path.exists():
        raise TaskError(f"{path} does not exist.")
    top = path.resolve()
    if top.name == "task.toml" and top.is_file():
        return [top.parent]
    if not top.is_dir():
        raise TaskError(f"{path} is no folder.", hint="Name a task folder, or a folder of task folders.")
    found = list(_search(top, _DEPTH))
    if not found:
        raise TaskError(f"{path} holds no task: {_what_is_missing(top)}")
    return found


def _search(folder: Path, depth: int) -> Iterator[Path]:
    if (folder / "task.toml").is_file():
        yield folder
        return
    if (folder / "task.yaml").is_file() or (folder / "instruction.md").is_file():
        raise TaskError(f"{folder} is no task: {_what_is_missing(folder)}")
    if depth == 0:
        return
    for inner in sorted(folder.iterdir()):
        if inner.is_dir() and not inner.name.startswith(".") and inner.name not in _NEVER_ENTERED:
            yield from _search(inner.resolve(), depth - 1)


def _what_is_missing(folder: Path) -> str:
    if (folder / "task.yaml").is_file():
        return "it has a task.yaml (the Terminal-Bench 1 format), which must be imported first."
    if not any(folder.iterdir()):
        return "it is empty."
    return "task.toml is missing."


def _together(errors: list[TaskError]) -> TaskError:
    if len(errors) == 1:
        return errors[0]
    return TaskError(
        f"{len(errors)} tasks cannot be read. The first: {errors[0].message}",
        hint=errors[0].hint,
        detail="\n".join(str(error) for error in errors),
    )
