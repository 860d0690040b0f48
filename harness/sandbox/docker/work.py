"""What the agent changed: the container's differences from its image, as a git patch.

Owns reading both sides through the engine's archives and writing the patch. Nothing of the agent's is executed and
nothing of its files touches the host's file system: their bytes go straight into a bare repository that knows no
settings, attributes, filters or hooks.
"""

from __future__ import annotations

import posixpath
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import anyio

from harness.sandbox.docker.engine import Engine, NotThereError
from harness.sandbox.docker.transfer import ContainerFiles
from harness.sandbox.patches import Blob, PatchRepository
from harness.schema.sandbox import FileChange, WorkReport

MAX_BYTES = 64 * 1024 * 1024
MAX_FILES = 5_000
_MAX_CHANGES = 2_000
_MAX_STREAM = 2 * 1024**3
_SINGLY = 48
_KINDS: Mapping[int, Literal["modified", "added", "deleted"]] = {0: "modified", 1: "added", 2: "deleted"}

_HARNESS = ("/.sessions",)
_NOT_WORK = (
    "/proc", "/sys", "/dev", "/run", "/tmp", "/logs", "/tests", "/solution", "/boot", "/root/.cache",
    "/var/cache", "/var/lib/apt", "/var/lib/dpkg", "/var/log", "/var/tmp", "/usr/share/doc", "/usr/share/man",
    "/usr/share/locale", "/usr/share/info",
)  # fmt: skip
"""Left out of the patch when the whole file system is the place of work."""

_CACHES = frozenset(
    {
        ".git",
        "node_modules",
        "__pycache__",
        ".venv",
        "venv",
        ".tox",
        ".nox",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
    }
)


@dataclass(frozen=True, kw_only=True)
class StartingPoint:
    """How the container was when it started.

    ``twin`` makes one of the same image that is never started, gives its id and removes it. ``own`` are paths that
    the harness put in for itself; ``has_given_files`` is true when a task's files were put in beside the image.
    """

    twin: Callable[[], AbstractAsyncContextManager[str]]
    own: frozenset[str] = frozenset()
    has_given_files: bool = False


@dataclass(frozen=True, kw_only=True)
class _Change:
    path: str
    kind: Literal["modified", "added", "deleted"]


@dataclass(frozen=True, kw_only=True)
class _Wanted:
    """Paths to read: files at ``exact``, everything at and below ``whole`` (a deleted folder is listed alone)."""

    exact: frozenset[str]
    whole: frozenset[str] = frozenset()

    @property
    def paths(self) -> list[str]:
        return sorted(self.exact | self.whole)

    def covers(self, path: str) -> bool:
        return path in self.exact or any(place in self.whole for place in (path, *_parents(path)))


@dataclass(kw_only=True)
class _Side:
    """One side of the patch: blobs by path relative to the root, what did not fit, and the full paths met."""

    root: str
    entries: dict[str, Blob] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)
    bytes: int = 0

    def get(self, path: str) -> Blob | None:
        return self.entries.get(path)


class WorkReader:
    """Reads the work of one container."""

    def __init__(self, engine: Engine, container: str, *, root: str, start: StartingPoint) -> None:
        self._engine = engine
        self._container = container
        self._root = root
        self._start = start

    async def collect(self, patch: Path) -> WorkReport:
        """Write the patch and return what it covers."""
        before, after = _Side(root=self._root), _Side(root=self._root)
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="work-")))
            repository = await anyio.to_thread.run_sync(PatchRepository, folder)
            changes, twin = await self._changes(self._container), ""
            if self._start.has_given_files:
                twin = await stack.enter_async_context(self._start.twin())
                changes = _against_given(changes, await self._changes(twin))
            wanted, skipped = _below(self._root, changes)
            old = _Wanted(
                exact=frozenset(change.path for change in wanted if change.kind == "modified"),
                whole=frozenset(change.path for change in wanted if change.kind == "deleted"),
            )
            if old.paths:
                twin = twin or await stack.enter_async_context(self._start.twin())
                await self._read(twin, old, before, repository)
            new = _Wanted(exact=frozenset(change.path for change in wanted if change.kind != "deleted"))
            await self._read(self._container, new, after, repository)
            left_out = before.left_out | after.left_out
            for path in left_out:
                before.entries.pop(path, None)
                after.entries.pop(path, None)
            counts = await anyio.to_thread.run_sync(repository.write, before.entries, after.entries, patch)
        same = {posixpath.join(self._root, path) for path in before.entries if before.get(path) == after.get(path)}
        changes = [change for change in changes if change.path not in same]
        return WorkReport(
            root=self._root,
            changes=tuple(FileChange(path=item.path, change=item.kind) for item in changes[:_MAX_CHANGES]),
            changes_total=len(changes),
            files_changed=counts.files,
            insertions=counts.insertions,
            deletions=counts.deletions,
            patch_bytes=counts.patch_bytes,
            truncated=bool(left_out),
            skipped=(*skipped, *_summed(left_out)),
        )

    async def _changes(self, container: str) -> list[_Change]:
        raw = await self._engine.call(self._engine.api.diff, container)
        return _changes(((str(item["Path"]), int(item["Kind"])) for item in raw or []), self._start.own)

    async def _read(self, container: str, wanted: _Wanted, side: _Side, repository: PatchRepository) -> None:
        """Read the files that are wanted: one by one if they are few, else the folder they share at once."""
        files = ContainerFiles(self._engine, container)
        tops = wanted.paths if len(wanted.paths) <= _SINGLY else [posixpath.commonpath(wanted.paths)]
        for top in tops:
            await self._engine.call(_read_tree, files, top, wanted, side, repository)
        for path in wanted.exact - side.seen:
            side.left_out.setdefault(posixpath.relpath(path, side.root), "it could not be found in the container")


def _changes(raw: Iterable[tuple[str, int]], own: frozenset[str] = frozenset()) -> list[_Change]:
    """Return the changes without the folders that are listed only because something in them changed."""
    found = {path: kind for path, kind in raw if not _is_below(path, _HARNESS)}
    holders = {parent for path in found for parent in _parents(path)}
    return [
        _Change(path=path, kind=_KINDS[kind])
        for path, kind in sorted(found.items())
        if _KINDS[kind] == "deleted" or path not in holders | own
    ]


def _against_given(changes: list[_Change], given: list[_Change]) -> list[_Change]:
    """Return the changes as seen from the image and the files that were put in beside it."""
    found = {change.path: change for change in changes}
    for change in given:
        present = found.get(change.path)
        kind: Literal["modified", "deleted"] = "deleted" if present is None else "modified"
        if present is None or present.kind == "added":
            found[change.path] = _Change(path=change.path, kind=kind)
    return [found[path] for path in sorted(found)]


def _below(root: str, changes: list[_Change]) -> tuple[list[_Change], list[str]]:
    """Return the changes that belong into the patch, and sentences about the others below ``root``."""
    prefix = root.rstrip("/") + "/"
    wanted: list[_Change] = []
    caches: Counter[str] = Counter()
    for change in changes:
        if change.path == root and change.kind == "deleted":
            wanted.append(change)
            continue
        if not change.path.startswith(prefix) or (root == "/" and _is_below(change.path, _NOT_WORK)):
            continue
        parts = change.path[len(prefix) :].split("/")
        cache = next((index for index, part in enumerate(parts) if part in _CACHES or part.endswith(".pyc")), None)
        if cache is None:
            wanted.append(change)
        else:
            caches["/".join(parts[: cache + 1])] += 1
    return wanted, [
        f"{path} ({count} changed {'path' if count == 1 else 'paths'})" for path, count in caches.items()
    ]


def _is_below(path: str, folders: Iterable[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def _read_tree(files: ContainerFiles, top: str, wanted: _Wanted, side: _Side, repository: PatchRepository) -> None:
    streamed = 0
    try:
        with files.open_archive(top) as tar:
            for entry in tar:
                streamed += entry.size
                if streamed > _MAX_STREAM:
                    side.left_out[posixpath.relpath(top, side.root)] = "its folder is too large to read"
                    return
                path = _full_path(top, entry.name)
                side.seen.add(path)
                if entry.isdir() and path in wanted.exact and path == top:
                    return  # a folder whose mode changed
                if wanted.covers(path):
                    _take(tar, entry, side, _Place(top=top, path=path), repository)
    except NotThereError:
        return  # gone again


def _full_path(top: str, name: str) -> str:
    """Return the path of an archive's entry: its first component is the base name of ``top``."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    below = parts[1:] if top != "/" else parts
    return posixpath.join(top, *below)


def _parents(path: str) -> Iterator[str]:
    while path not in ("/", ""):
        path = posixpath.dirname(path)
        yield path


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where an entry is: its path, and the path that the archive was asked for."""

    top: str
    path: str


def _take(
    tar: tarfile.TarFile, entry: tarfile.TarInfo, side: _Side, place: _Place, repository: PatchRepository
) -> None:
    relative = posixpath.relpath(place.path, side.root)
    if any(part in _CACHES for part in relative.split("/")):
        return
    if any(part.lower() == ".git" for part in relative.split("/")):
        side.left_out[relative] = "git takes no such name"
    elif entry.issym():
        side.entries[relative] = repository.add(entry.linkname.encode(errors="surrogateescape"), mode="120000")
    elif entry.islnk():
        original = side.entries.get(posixpath.relpath(_full_path(place.top, entry.linkname), side.root))
        if original is None:
            side.left_out[relative] = "it is a hard link to a file outside the patch"
        else:
            side.entries[relative] = original
    elif entry.isreg():
        if side.bytes + entry.size > MAX_BYTES:
            side.left_out[relative] = f"the patch is limited to {MAX_BYTES >> 20} MiB"
        elif len(side.entries) >= MAX_FILES:
            side.left_out[relative] = f"the patch is limited to {MAX_FILES} files"
        else:
            side.bytes += entry.size
            file = tar.extractfile(entry)
            mode = "100755" if entry.mode & 0o100 else "100644"
            side.entries[relative] = repository.add(file.read() if file else b"", mode=mode)
    elif not entry.isdir():
        side.left_out[relative] = "it is a device, a pipe or a socket"


def _summed(left_out: Mapping[str, str]) -> Iterator[str]:
    """Return one sentence per reason, with a few of its paths."""
    for reason in dict.fromkeys(left_out.values()):
        paths = [path for path, why in left_out.items() if why == reason]
        more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
        yield f"{', '.join(paths[:3])}{more}: {reason}"
