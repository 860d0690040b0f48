"""Why a Docker Engine did not start: known causes, recognised at the end of its log. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """Another way to start the engine. ``note`` says what it changes for the user."""

    note: str
    options: tuple[str, ...] = ()
    legacy_iptables: bool = False


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A cause in a sentence, what to do, and another way to start where there is a safe one."""

    sentence: str
    hint: str
    remedy: Remedy | None = None


_UNKNOWN = Failure(
    sentence="The Docker Engine did not start.", hint="The end of its log says why; mend that and try again."
)

# There is no way on with --iptables=false: containers would have no network, and tasks would fail for it.
_KNOWN: tuple[tuple[str, Failure], ...] = (
    (
        r"no space left on device",
        Failure(
            sentence="The Docker Engine did not start: the disk is full.", hint="Make room below /var/lib/docker."
        ),
    ),
    (
        r"nf_tables|nft[: ].*not supported|Could not fetch rule set generation id",
        Failure(
            sentence="The Docker Engine cannot set up its network with this kernel's nftables.",
            hint="Load the nf_tables modules, or: update-alternatives --set iptables /usr/sbin/iptables-legacy",
            remedy=Remedy(note="Trying again with the older iptables, for the engine only.", legacy_iptables=True),
        ),
    ),
    (
        r"iptables.*(failed|not found|permission denied)|failed to create nat chain|creating default \"?bridge",
        Failure(
            sentence="The Docker Engine may not set up its network here.",
            hint="It needs iptables and the right to change network rules (CAP_NET_ADMIN).",
        ),
    ),
    (
        r"[Dd]evices cgroup isn't mounted|cgroup.*(no such file|not mounted|mountpoint does not exist)",
        Failure(
            sentence="The Docker Engine did not start: the kernel's control groups are not mounted.",
            hint="Type: mount -t cgroup2 none /sys/fs/cgroup   then try again.",
        ),
    ),
    (
        r"error initializing graphdriver|failed to start daemon.*(overlay|driver not supported)",
        Failure(
            sentence="The Docker Engine cannot use its storage driver on this file system.",
            hint="Give /var/lib/docker a file system that overlay works on (ext4, xfs).",
            remedy=Remedy(
                note="Trying again with the driver vfs, which works everywhere but is slow and takes much disk.",
                options=("--storage-driver=vfs",),
            ),
        ),
    ),
    (
        r"pid file found|process with PID \d+ is still running",
        Failure(
            sentence="The Docker Engine did not start: its pid file names a process that lives.",
            hint="If no dockerd runs, remove /var/run/docker.pid and try again.",
        ),
    ),
    (
        r"operation not permitted|permission denied|read-only file system",
        Failure(
            sentence="The Docker Engine may not do its work here: this machine is a container without the rights.",
            hint="Share the host's engine (its socket /var/run/docker.sock), or start this container privileged.",
        ),
    ),
)


def explain(log: str) -> Failure:
    """Return the known cause that the end of an engine's log tells of, else a general one."""
    fatal = "\n".join(line for line in log.splitlines() if "level=warning" not in line and "level=info" not in line)
    for pattern, failure in _KNOWN:
        if re.search(pattern, fatal, re.IGNORECASE):
            return failure
    return _UNKNOWN
