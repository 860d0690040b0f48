"""Who made a container: a mark of this very process, so that a later one can tell whether it still lives."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

LABEL = "harness.owner"


@dataclass(frozen=True, kw_only=True)
class Owner:
    """A process on a host. ``boot`` and ``started`` tell it from a later one with the same pid."""

    host: str
    boot: str
    pid: int
    started: str

    @classmethod
    def this_process(cls) -> Owner:
        """Return the owner that this process is."""
        return cls(host=socket.gethostname(), boot=_boot(), pid=os.getpid(), started=_started(os.getpid()) or "")

    @classmethod
    def parse(cls, label: str) -> Owner | None:
        """Return the owner that a label names, ``None`` if it is not one of ours."""
        host, *rest = label.split("|")
        if len(rest) != 3 or not rest[1].isdecimal():
            return None
        return cls(host=host, boot=rest[0], pid=int(rest[1]), started=rest[2])

    @property
    def label(self) -> str:
        """The label's value."""
        return f"{self.host}|{self.boot}|{self.pid}|{self.started}"

    def is_gone(self) -> bool:
        """Return whether the process has certainly ended; never true for one on another host."""
        if self.host != socket.gethostname():
            return False
        if self.boot != _boot():
            return True
        started = _started(self.pid)
        return started is None or started != self.started


def _boot() -> str:
    """Return what names this boot of the machine; empty where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _started(pid: int) -> str | None:
    """Return when a process started (clock ticks since boot), ``None`` if there is none; empty if not told."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    except OSError:
        return ""
    else:
        return stat.rpartition(")")[2].split()[19]
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""
