"""One writer per run: a lock that the kernel lets go of when its holder dies, so it is never stale."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
from pathlib import Path

from harness.errors import RunLockedError
from harness.store.files import disk_errors


class RunLock:
    """An exclusive lock on a file, whose contents tell others who holds it."""

    def __init__(self, path: Path) -> None:
        """Take the lock at once. Raises ``RunLockedError`` naming the holder."""
        with disk_errors(path):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunLockedError(
                    f"{path.parent} is being written by {_holder(self._descriptor)}.",
                    hint="Wait for it, end it, or use another folder (-o).",
                ) from error
            with disk_errors(path):
                os.ftruncate(self._descriptor, 0)
                os.pwrite(self._descriptor, _introduction(), 0)
        except BaseException:
            os.close(self._descriptor)
            raise

    def release(self) -> None:
        """Let go. The file stays: removing it would race with whoever takes the lock next."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)


def _introduction() -> bytes:
    return json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode() + b"\n"


def _holder(descriptor: int) -> str:
    try:
        holder = json.loads(os.pread(descriptor, 4096, 0))
        return f"process {int(holder['pid'])} on {holder['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
