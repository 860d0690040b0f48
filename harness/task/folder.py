"""The files of a task folder: what is in it, its digest, its texts, and links that must not leave it.

Knows nothing of ``task.toml``.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from harness.errors import TaskError

_JUNK_FOLDERS = frozenset({"__pycache__"})
_JUNK_FILES = frozenset({".DS_Store"})
_CANARY = re.compile(r"<!--.*canary.*-->|#.*canary.*", re.IGNORECASE)
_REAL_CANARY = re.compile(r"guid|[0-9a-f]{8}-[0-9a-f]{4}|training|corpora", re.IGNORECASE)


def folder_digest(folder: Path) -> str:
    """Return the SHA-256, in hex, over every file: sorted ``relpath NUL sha256(file) LF``.

    Left out, because they come and go without changing the task: ``.git`` at the top, ``__pycache__`` and
    ``.DS_Store`` anywhere. A link to a file counts with the file's contents, any other link with its text.
    Raises ``TaskError`` for links that leave the folder and for what is no file, folder or link.
    """
    total = hashlib.sha256()
    for relative in sorted(_files(folder)):
        file_digest = _content_digest(folder, relative)
        total.update(relative.encode("utf-8", "surrogateescape") + b"\0" + file_digest.encode() + b"\n")
    return total.hexdigest()


def require_unchanged(folder: Path, digest: str) -> None:
    """Raise ``TaskError`` unless the folder still has this digest."""
    if folder_digest(folder) != digest:
        raise TaskError(
            f"The task in {folder} was changed while the run went on.",
            hint="Restore it and try again with --rerun infra, or start a new run (another -o).",
        )


def read_utf8(path: Path, shown: str) -> str:
    """Return a text file's contents without a byte order mark; ``shown`` is its name in messages."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TaskError(f"{path}: cannot be read ({error.strerror}).") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TaskError(
            f"{path.parent}: {shown}:{line}: not UTF-8 (byte 0x{data[error.start]:02x} at offset {error.start})."
        ) from error


def read_instruction(path: Path, shown: str) -> tuple[str, tuple[str, ...]]:
    """Return what the agent is told, without canary lines at the top, and warnings."""
    if not path.is_file():
        raise TaskError(f"{path.parent}: {shown} is missing.", hint="It tells the agent what to do.")
    lines = read_utf8(path, shown).split("\n")
    warnings: list[str] = []
    start = 0
    while start < len(lines) and _CANARY.fullmatch(lines[start].strip()):
        if not _REAL_CANARY.search(lines[start]):
            warnings.append(f"{shown}:{start + 1}: dropped as a canary marker: {lines[start].strip()[:80]!r}")
        start += 1
    while start < len(lines) and not lines[start].strip():
        start += 1
    text = "\n".join(lines[start:])
    if not text.strip():
        raise TaskError(f"{path.parent}: {shown} is empty.", hint="It tells the agent what to do.")
    return text, tuple(warnings)


def _files(folder: Path) -> Iterator[str]:
    """Yield relative paths, with slashes, of files and links."""

    def fail(error: OSError) -> None:
        raise TaskError(f"{folder}: {error.filename} cannot be read ({error.strerror}).") from error

    for here, folders, files in os.walk(folder, onerror=fail):
        inside = os.path.relpath(here, folder)
        prefix = "" if inside == "." else f"{Path(inside).as_posix()}/"
        links = [name for name in folders if Path(here, name).is_symlink()]
        junk = _JUNK_FOLDERS | ({".git"} if not prefix else set())
        folders[:] = [name for name in folders if name not in junk and name not in links]
        for name in (*files, *links):
            if name not in _JUNK_FILES and (prefix or name != ".git"):
                yield prefix + name


def _content_digest(folder: Path, relative: str) -> str:
    path = folder / relative
    if path.is_symlink():
        target = path.readlink()
        top = os.path.realpath(folder)
        end = os.path.realpath(path)
        if target.is_absolute() or not (end == top or end.startswith(top + os.sep)):
            raise TaskError(
                f"{folder}: {relative} is a link to {target}, which leaves the task folder.",
                hint="Put the file itself there.",
            )
        if not path.is_file():
            return hashlib.sha256(os.fsencode(target)).hexdigest()
    elif not stat.S_ISREG(path.lstat().st_mode):
        raise TaskError(f"{folder}: {relative} is neither a file, a folder nor a link.")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise TaskError(f"{folder}: {relative} cannot be read ({error.strerror}).") from error
