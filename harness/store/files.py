"""Writing that is whole or not at all: appended lines, replaced files, and errors with a name.

Owns how bytes reach the disk; what they mean is left to ``run_store``.
"""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from harness.errors import DiskFullError, StoreError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REFUSED = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Translate the system's errors about ``path`` into the store's."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFullError(
                f"No space left for {path}.", hint="Make room, then repeat the command: the run goes on."
            ) from error
        if error.errno in _REFUSED:
            raise StoreError(
                f"{path} cannot be written ({error.strerror}).", hint="Choose a folder that you may write (-o)."
            ) from error
        raise StoreError(f"{path}: {error.strerror or error}.") from error


def write_whole(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data``: after a crash there is the old file or the new one, never a part."""
    with disk_errors(path):
        temporary = _temporary_beside(path, data, durable=True)
        _rename(temporary, path)
        sync_folder(path.parent)


def write_once(path: Path, data: bytes) -> None:
    """Write a file that is named by its contents, unless it is there. Atomic, but not forced to the disk."""
    if path.exists():
        return
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _rename(_temporary_beside(path, data, durable=False), path)


def sync_folder(folder: Path) -> None:
    """Force a folder's entries to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _temporary_beside(path: Path, data: bytes, *, durable: bool) -> str:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:32]}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            if durable:
                os.fsync(file.fileno())
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return name


def _rename(temporary: str, path: Path) -> None:
    try:
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


class LineFile:
    """A file of lines that only grows. A torn last line, left by a crash, is cut off when it is opened."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            # Not O_APPEND: after a short write the torn part must be overwritten, not followed.
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                self._end = _end_of_whole_lines(self._descriptor)
                if os.fstat(self._descriptor).st_size > self._end:
                    os.ftruncate(self._descriptor, self._end)
            except BaseException:
                os.close(self._descriptor)
                raise

    def append(self, line: str) -> None:
        """Hand one line to the kernel in one write; what is torn by a full disk is taken back."""
        data = line.encode("utf-8") + b"\n"
        with disk_errors(self._path):
            try:
                written = os.pwrite(self._descriptor, data, self._end)
                while written < len(data):
                    written += os.pwrite(self._descriptor, data[written:], self._end + written)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._descriptor, self._end)
                raise
        self._end += len(data)

    def sync(self) -> None:
        """Force what was appended to the disk."""
        with disk_errors(self._path):
            os.fsync(self._descriptor)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)


def _end_of_whole_lines(descriptor: int, block: int = 1 << 16) -> int:
    """Return the offset behind the last line feed."""
    end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - block)
        at = os.pread(descriptor, end - start, start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        end = start
    return 0
