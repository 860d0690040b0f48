"""``.harborignore``: which files of ``tests/`` and ``solution/`` stay on the host (gitignore's rules, nested)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pathspec import GitIgnoreSpec

from harness.task.folder import read_utf8

_NAME = ".harborignore"


def ignored(folder: Path) -> Callable[[str], bool]:
    """Return a test for paths relative to ``folder`` (folders end in ``/``): true means "do not upload".

    Rules come from the ``.harborignore`` files of the task's top, of the folders between it and ``folder``,
    and below; as in git, deeper rules win and nothing below an ignored folder can be taken back.
    """
    top = _task_top(folder)
    above = [parent for parent in (folder, *folder.parents) if parent == top or top in parent.parents]
    places = [*reversed(above), *sorted(path.parent for path in folder.rglob(_NAME) if path.parent != folder)]
    specs = [
        ("" if place == top else f"{place.relative_to(top).as_posix()}/", _spec(place / _NAME))
        for place in places
        if (place / _NAME).is_file()
    ]
    if not specs:
        return lambda _path: False
    prefix = "" if folder == top else f"{folder.relative_to(top).as_posix()}/"

    def is_ignored(path: str) -> bool:
        whole = prefix + path
        ends = [at + 1 for at, letter in enumerate(whole[:-1]) if letter == "/" and at + 1 > len(prefix)]
        return any(_decide(specs, whole[:end]) for end in (*ends, len(whole)))

    return is_ignored


def _decide(specs: list[tuple[str, GitIgnoreSpec]], path: str) -> bool:
    decision = False
    for base, spec in specs:
        if path.startswith(base) and path != base:
            verdict = spec.check_file(path[len(base) :]).include
            decision = decision if verdict is None else verdict
    return decision


def _spec(path: Path) -> GitIgnoreSpec:
    return GitIgnoreSpec.from_lines(read_utf8(path, _NAME).splitlines())


def _task_top(folder: Path) -> Path:
    return next((place for place in (folder, *folder.parents) if (place / "task.toml").is_file()), folder)
