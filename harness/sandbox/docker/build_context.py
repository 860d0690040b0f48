"""A task's build context: which files it has, their digest, and their tar for the engine.

Owns ``.dockerignore`` (the rules of the ``docker`` package, which are the client's), modes, links and the place
of a rewritten Dockerfile that the image must not see. Leaves the Dockerfile's text to ``dockerfile``.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO

from docker.utils.build import exclude_paths

from harness.errors import ImageError

DOCKERFILE = "Dockerfile"
REWRITTEN = ".harness.Dockerfile"
"""The rewritten Dockerfile in the tar. The engine takes it out of the context again, because ``.dockerignore``
names it: ``COPY . .`` then copies what the task's author sees, the original Dockerfile included."""

Modes = Sequence[tuple[str, int]]

_IGNORE = ".dockerignore"
_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class ContextFile:
    """One entry below the context's folder. ``link`` is a symbolic link's target, ``None`` for others."""

    path: str
    mode: int
    size: int
    mtime_ns: int
    link: str | None
    is_folder: bool


class BuildContext:
    """A context folder as the engine is to see it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files = tuple(_files(folder))

    def digest(self, known: dict[tuple[str, int, int], str]) -> str:
        """Return the SHA-256 over names, modes, links and contents.

        ``known`` remembers contents by path, size and time, so that asking again reads no file.
        """
        digest = hashlib.sha256()
        for file in self.files:
            content = file.link or ("" if file.is_folder else self._content(file, known))
            kind = "link" if file.link is not None else "folder" if file.is_folder else "file"
            digest.update(f"{file.path}\0{kind}\0{file.mode:o}\0{content}\n".encode(errors="surrogateescape"))
        return digest.hexdigest()

    def tar(self, rewritten: str | None, modes: Modes = ()) -> IO[bytes]:
        """Return the context as a tar, open at its start.

        ``rewritten`` is the Dockerfile to build instead, ``modes`` are octal modes for paths or patterns.
        """
        target = tempfile.TemporaryFile()  # noqa: SIM115 - closed by whoever builds with it
        try:
            with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as tar:
                for file in self.files:
                    if rewritten is None or file.path != _IGNORE:
                        self._add(tar, file, modes)
                for name, data in self._beside(rewritten).items():
                    tar.addfile(_plain(name, len(data)), io.BytesIO(data))
        except BaseException:
            target.close()
            raise
        target.seek(0)
        return target

    def _beside(self, rewritten: str | None) -> Mapping[str, bytes]:
        if rewritten is None:
            return {}
        own = next((file for file in self.files if file.path == _IGNORE), None)
        rules = (self.folder / _IGNORE).read_bytes().rstrip() + b"\n" if own else f"{_IGNORE}\n".encode()
        return {REWRITTEN: rewritten.encode(), _IGNORE: rules + f"{REWRITTEN}\n".encode()}

    def _content(self, file: ContextFile, known: dict[tuple[str, int, int], str]) -> str:
        path = self.folder / file.path
        key = (str(path), file.size, file.mtime_ns)
        if key not in known:
            with path.open("rb") as handle:
                known[key] = hashlib.file_digest(handle, "sha256").hexdigest()
        return known[key]

    def _add(self, tar: tarfile.TarFile, file: ContextFile, modes: Modes) -> None:
        info = _plain(file.path, 0)
        info.mode, info.mtime = _mode_of(file, modes), file.mtime_ns // 1_000_000_000
        if file.link is not None:
            info.type, info.linkname = tarfile.SYMTYPE, file.link
        elif file.is_folder:
            info.type = tarfile.DIRTYPE
        else:
            with (self.folder / file.path).open("rb") as handle:
                info.size = os.fstat(handle.fileno()).st_size
                tar.addfile(info, handle)
            return
        tar.addfile(info)


def _mode_of(file: ContextFile, modes: Modes) -> int:
    """Return the mode that is asked for a path, by its own name or that of a folder above it; else its own."""
    mode = file.mode
    parts = file.path.split("/")
    for source, asked in modes:
        pattern = source.removeprefix("./").strip("/")
        head = "/".join(parts[: pattern.count("/") + 1])
        if pattern in {"", "."} or fnmatchcase(head, pattern):
            mode = asked
    return mode


def _plain(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info


def _files(folder: Path) -> Iterator[ContextFile]:
    ignore = folder / _IGNORE
    patterns = []
    if ignore.is_file():
        lines = (line.strip() for line in ignore.read_text(encoding="utf-8", errors="replace").splitlines())
        patterns = [line for line in lines if line and not line.startswith("#")]
    kept: set[str] = exclude_paths(str(folder), patterns, dockerfile=DOCKERFILE)
    for name in sorted(path.replace(os.sep, "/") for path in kept):
        if name:
            yield _entry(folder, name)


def _entry(folder: Path, name: str) -> ContextFile:
    path = folder / name
    try:
        facts = path.lstat()
        link = str(path.readlink()) if stat.S_ISLNK(facts.st_mode) else None
    except OSError as error:
        raise ImageError(f"{path} of the build context cannot be read: {error.strerror}.") from error
    is_folder = stat.S_ISDIR(facts.st_mode)
    if link is None and not is_folder and not stat.S_ISREG(facts.st_mode):
        raise ImageError(
            f"{path} of the build context is neither a file, a folder nor a link.", hint="Remove it from the task."
        )
    return ContextFile(
        path=name,
        mode=stat.S_IMODE(facts.st_mode),
        size=facts.st_size,
        mtime_ns=facts.st_mtime_ns,
        link=link,
        is_folder=is_folder,
    )
