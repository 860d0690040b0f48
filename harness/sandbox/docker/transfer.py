"""Files in and out of a container, through the engine's archives; nothing in the container is executed for it.

What comes out is hostile: it is read entry by entry and written under a temporary name beside its place, with caps.
Regular files and folders are kept, hard links as copies; symbolic links, devices, pipes and sockets are left out.
"""

from __future__ import annotations

import io
import os
import posixpath
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from harness.errors import TransferError
from harness.ports import TransferLimits
from harness.sandbox.docker.engine import Engine, NotThereError, translated

_SPOOL = 8 << 20
_CHUNK = 1 << 20
_LINKS = 16
_GO_SYMLINK = 1 << 27
_GO_DIR = 1 << 31


@dataclass(frozen=True, kw_only=True)
class PathStat:
    """What a path in a container is. ``size`` in bytes; ``link`` is a symbolic link's resolved target."""

    is_dir: bool
    size: int
    link: str | None = None


@dataclass(frozen=True, kw_only=True)
class NewFile:
    """A file or folder (``data`` ``None``) to be put at an absolute path."""

    path: str
    data: bytes | None
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


class ArchiveReader(io.RawIOBase):
    """The engine's chunks as a file that can be read once."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        """Return true."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill ``buffer`` as far as the next chunk reaches."""
        if not self._rest:
            self._rest = next(self._chunks, b"")
        taken = self._rest[: len(buffer)]
        buffer[: len(taken)] = taken
        self._rest = self._rest[len(taken) :]
        return len(taken)


class ContainerFiles:
    """Moves files in and out of one container."""

    def __init__(self, engine: Engine, container: str) -> None:
        self._engine = engine
        self._container = container

    async def stat(self, path: str) -> PathStat | None:
        """Return what is at ``path``, ``None`` if nothing is."""
        return await self._engine.call(self._stat, path)

    async def put(self, entries: list[NewFile]) -> None:
        """Write small files and folders; missing parents are made, owned by root."""
        with tempfile.SpooledTemporaryFile(_SPOOL) as spool:
            with tarfile.open(fileobj=spool, mode="w") as tar:
                for entry in entries:
                    _add_entry(tar, entry)
            await self._engine.call(self._put, spool)

    async def follow(self, path: str) -> str:
        """Return where a chain of symbolic links at ``path`` leads, the path itself if it is none."""
        return await self._engine.call(self._followed, path)

    async def read(self, path: str, max_bytes: int) -> bytes | None:
        """Return a regular file's bytes, following links within the container; ``None`` if there is none."""
        return await self._engine.call(self._read, path, max_bytes)

    async def upload(self, source: Path, target: str, ignore: Callable[[str], bool] | None) -> None:
        """Copy a host folder's contents over ``target``, owned by root."""
        await self._engine.call(self._upload, source, target, ignore)

    async def download(self, source: str, target: Path, limits: TransferLimits) -> int:
        """Copy a container folder's contents, or one file, under ``target``; return the bytes."""
        return await self._engine.call(self._download, source, target, limits)

    @contextmanager
    def open_archive(self, path: str) -> Iterator[tarfile.TarFile]:
        """Open what is at ``path`` as a tar stream, in a thread. Raises ``NotThereError``."""
        chunks, _ = translated(lambda: self._engine.api.get_archive(self._container, path, chunk_size=_CHUNK))
        try:
            with tarfile.open(fileobj=io.BufferedReader(ArchiveReader(chunks), _CHUNK), mode="r|") as tar:
                yield tar
        except tarfile.TarError as error:
            raise TransferError(f"The engine's archive of {path} cannot be read: {error}.") from error
        finally:
            chunks.close()

    # ------------------------------------------------------------------------------------------ in threads

    def _stat(self, path: str) -> PathStat | None:
        try:
            chunks, found = translated(lambda: self._engine.api.get_archive(self._container, path))
        except NotThereError:
            return None
        chunks.close()
        mode = int(found["mode"])
        link = str(found["linkTarget"]) if mode & _GO_SYMLINK else None
        return PathStat(is_dir=bool(mode & _GO_DIR), size=int(found["size"]), link=link)

    def _put(self, spool: IO[bytes]) -> None:
        spool.seek(0)
        translated(lambda: self._engine.api.put_archive(self._container, "/", spool))

    def _read(self, path: str, max_bytes: int) -> bytes | None:
        try:
            with self.open_archive(self._followed(path)) as tar:
                entry = tar.next()
                if entry is None or not entry.isreg():
                    raise TransferError(f"{path} in the sandbox is not a regular file.")
                if entry.size > max_bytes:
                    raise TransferError(f"{path} in the sandbox has {entry.size} bytes, more than {max_bytes}.")
                file = tar.extractfile(entry)
                return file.read() if file else b""
        except NotThereError:
            return None

    def _followed(self, path: str) -> str:
        for _ in range(_LINKS):
            found = self._stat(path)
            if found is None or found.link is None:
                return path
            path = posixpath.join(posixpath.dirname(path), found.link)
        raise TransferError(f"{path} in the sandbox is a link that leads in a circle.")

    def _upload(self, source: Path, target: str, ignore: Callable[[str], bool] | None) -> None:
        if not source.is_dir():
            raise TransferError(f"The folder {source} to copy into the sandbox does not exist.")
        with tempfile.SpooledTemporaryFile(_SPOOL) as spool:
            with tarfile.open(fileobj=spool, mode="w") as tar:
                if self._stat(target) is None:
                    _add_entry(tar, NewFile(path=target, data=None, mode=0o755))
                _add_tree(tar, source, target.strip("/"), ignore)
            self._put(spool)

    def _download(self, source: str, target: Path, limits: TransferLimits) -> int:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".partial", dir=target.parent))
        try:
            partial.chmod(0o755)
            size = self._extract(self._followed(source), partial, limits)
            _move_into_place(partial, target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return size

    def _extract(self, source: str, folder: Path, limits: TransferLimits) -> int:
        try:
            with self.open_archive(source) as tar:
                return _Extraction(folder, limits).run(tar)
        except NotThereError:
            return 0


class _Extraction:
    """Writes one hostile archive under a fresh folder."""

    def __init__(self, folder: Path, limits: TransferLimits) -> None:
        self._folder = folder
        self._limits = limits
        self._prefix: int | None = None
        self._entries = 0
        self._bytes = 0

    def run(self, tar: tarfile.TarFile) -> int:
        """Extract everything that is safe; return the bytes written."""
        for entry in tar:
            self._entries += 1
            if self._entries > self._limits.max_entries:
                raise TransferError(f"The sandbox's folder has more than {self._limits.max_entries} entries.")
            try:
                self._take(tar, entry)
            except (OSError, ValueError) as error:
                raise TransferError(f"{entry.name!r} from the sandbox could not be written: {error}.") from error
        return self._bytes

    def _take(self, tar: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
        path = self._place(entry)
        if entry.isdir():
            path.mkdir(parents=True, exist_ok=True)
        elif entry.isreg():
            self._count(entry)
            file = tar.extractfile(entry)
            assert file is not None
            self._write(path, file, entry.mode)
        elif entry.islnk():
            original = self._folder.joinpath(*self._parts(entry.linkname))
            if original.is_file():
                self._bytes += original.stat().st_size
                self._check_bytes()
                with original.open("rb") as file:
                    self._write(path, file, original.stat().st_mode)

    def _place(self, entry: tarfile.TarInfo) -> Path:
        if self._prefix is None:  # the archive of a folder names everything below its own name
            names = [name for name in entry.name.split("/") if name not in ("", ".")]
            self._prefix = len(names) if entry.isdir() else len(names) - 1
        return self._folder.joinpath(*self._parts(entry.name))

    def _parts(self, name: str) -> list[str]:
        parts = [part for part in name.split("/") if part not in ("", ".")]
        if ".." in parts or any("\0" in part for part in parts):
            raise TransferError(f"The sandbox's archive holds a name that leads out of it: {name!r}.")
        return parts[self._prefix or 0 :]

    def _count(self, entry: tarfile.TarInfo) -> None:
        self._bytes += entry.size
        self._check_bytes()

    def _check_bytes(self) -> None:
        if self._bytes > self._limits.max_bytes:
            raise TransferError(f"The sandbox's folder has more than {self._limits.max_bytes} bytes.")

    def _write(self, path: Path, file: IO[bytes], mode: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as target:
            shutil.copyfileobj(file, target, _CHUNK)
        path.chmod(mode & 0o755 | 0o600)


def _move_into_place(partial: Path, target: Path) -> None:
    """Let a complete folder appear as ``target``; into a folder that is there already, entry by entry."""
    if target.is_dir() and any(target.iterdir()):
        for entry in sorted(partial.iterdir()):
            place = target / entry.name
            if place.is_dir() and not place.is_symlink():
                shutil.rmtree(place)
            entry.replace(place)
        return
    if target.is_dir():
        target.rmdir()
    partial.rename(target)


def _add_entry(tar: tarfile.TarFile, entry: NewFile) -> None:
    info = tarfile.TarInfo(entry.path.strip("/"))
    info.mode, info.uid, info.gid = entry.mode, entry.uid, entry.gid
    info.mtime = int(time.time())
    if entry.data is None:
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
        return
    info.size = len(entry.data)
    tar.addfile(info, io.BytesIO(entry.data))


def _add_tree(tar: tarfile.TarFile, source: Path, target: str, ignore: Callable[[str], bool] | None) -> None:
    folders = [""]
    while folders:
        folder = folders.pop()
        for item in sorted(os.scandir(source / folder), key=lambda item: item.name):
            relative = f"{folder}{item.name}"
            is_dir = item.is_dir(follow_symlinks=False)
            if ignore is not None and ignore(f"{relative}/" if is_dir else relative):
                continue
            if is_dir:
                folders.append(f"{relative}/")
            _add_item(tar, source, relative, f"{target}/{relative}".lstrip("/"))


def _add_item(tar: tarfile.TarFile, source: Path, relative: str, name: str) -> None:
    path = source / relative
    info = tar.gettarinfo(str(path), arcname=name)
    if info is None or not (info.isreg() or info.isdir() or info.issym() or info.islnk()):
        raise TransferError(f"{path} is neither a file, a folder nor a link; it cannot be copied into the sandbox.")
    if info.issym():
        _check_link(source, relative)
    info.mode |= (info.mode & 0o500) >> 3 | (info.mode & 0o500) >> 6
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    if info.isreg():
        with path.open("rb") as file:
            tar.addfile(info, file)
    else:
        tar.addfile(info)


def _check_link(source: Path, relative: str) -> None:
    link = str((source / relative).readlink())
    inside = posixpath.normpath(posixpath.join(posixpath.dirname(relative), link))
    if posixpath.isabs(link) or inside == ".." or inside.startswith("../"):
        raise TransferError(
            f"The link {source / relative} leads out of its folder, to {link}.",
            hint="Only links to files within the folder can be copied into a sandbox.",
        )
