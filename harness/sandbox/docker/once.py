"""Do a piece of work once, however many ask at the same time: tasks of this process, and other processes.

Owns the folder for locks and half-made things (``$XDG_CACHE_HOME/harness``). Knows nothing of images.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Generic, TypeVar

import anyio

T = TypeVar("T")
_POLL_S = 0.1


def cache_folder() -> Path:
    """Return the harness's folder for things that can be made again, creating it."""
    top = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(top) / "harness"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@asynccontextmanager
async def machine_lock(name: str, *, on_wait: Callable[[], None] | None = None) -> AsyncIterator[None]:
    """Hold the lock of this name among all processes of this user. Let go of by the kernel if we die."""
    folder = cache_folder() / "locks"
    folder.mkdir(exist_ok=True)
    path = folder / f"{hashlib.sha256(name.encode()).hexdigest()[:24]}.lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        waited = False
        while not _try_lock(handle):
            if not waited and on_wait:
                on_wait()
            waited = True
            await anyio.sleep(_POLL_S)
        yield
    finally:
        os.close(handle)


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class _Flight(Generic[T]):
    def __init__(self) -> None:
        self.landed = anyio.Event()
        self.result: T | None = None
        self.error: Exception | None = None
        self.done = False


class SingleFlight(Generic[T]):
    """Shares one call among those who ask for the same key while it is under way; failures are shared too.

    If the one that does the work is cancelled, another of those waiting takes it up.
    """

    def __init__(self) -> None:
        self._flights: dict[str, _Flight[T]] = {}

    async def share(self, key: str, work: Callable[[], Awaitable[T]]) -> tuple[T, bool]:
        """Return what ``work`` gave, and whether this very call did it."""
        while (flight := self._flights.get(key)) is not None:
            await flight.landed.wait()
            if flight.error is not None:
                raise flight.error
            if flight.done:
                return flight.result, False  # type: ignore[return-value]
        flight = self._flights[key] = _Flight()
        try:
            flight.result = await work()
            flight.done = True
        except Exception as error:
            flight.error = error
            raise
        finally:
            del self._flights[key]
            flight.landed.set()
        return flight.result, True
