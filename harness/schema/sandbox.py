"""Facts about sandboxes that enter the record: where an image came from, what ran, what was left."""

from __future__ import annotations

from typing import Literal

from harness.schema.base import Record


class BaseSubstitution(Record):
    """A base image that was asked for and the local one that stood in for it."""

    asked: str
    used: str
    reason: str
    differs: str = ""


class HostTrust(Record):
    """What of the host's certificate and package settings reached a build or a container.

    ``certificates`` counts the authorities added beyond the public ones; ``index_settings`` names the
    variables that were handed on (never their values); ``skipped`` says what was left out and why.
    """

    certificates: int = 0
    index_settings: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


class ImageFacts(Record):
    """The image of a sandbox. ``origin`` says how it came to be here.

    ``tag`` is the local name, ``image_id`` the engine's content id, ``context_digest`` the digest that a
    built image is named by. ``note`` tells why a Dockerfile was used although the task names an image.
    """

    tag: str
    image_id: str
    origin: Literal["local", "pulled", "built", "cached", "fake"]
    asked: str = ""
    context_digest: str | None = None
    substitutions: tuple[BaseSubstitution, ...] = ()
    trust: HostTrust = HostTrust()
    note: str = ""
    build_s: float = 0.0


class Process(Record):
    """A process that was running in a sandbox."""

    pid: int
    user: str
    command: str


class SandboxFacts(Record):
    """How a container stood when it was looked at. Peak memory in MiB, ``None`` where the engine cannot tell."""

    running: bool
    oom_killed: bool = False
    exit_code: int | None = None
    memory_peak_mb: float | None = None
    cpu_s: float | None = None


class FileChange(Record):
    """One path that differs from the image. Paths are absolute in the container."""

    path: str
    change: Literal["added", "modified", "deleted"]


class WorkReport(Record):
    """What the agent changed in the file system.

    ``changes`` lists changed paths (capped, ``changes_total`` counts all); the patch covers text and binary
    files below ``root``. ``skipped`` says which files are not in the patch and why.
    """

    root: str
    changes: tuple[FileChange, ...] = ()
    changes_total: int = 0
    files_changed: int = 0
    insertions: int = 0
    deletions: int = 0
    patch_bytes: int = 0
    truncated: bool = False
    skipped: tuple[str, ...] = ()
