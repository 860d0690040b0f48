"""Users of an image by name or number, read from its own ``/etc/passwd`` and ``/etc/group``."""

from __future__ import annotations

from harness.errors import SandboxError


def resolve_user(user: str, passwd: str, group: str) -> tuple[int, int]:
    """Return uid and gid of ``name``, ``uid``, ``name:group`` or ``uid:gid``. Raises ``SandboxError``."""
    name, _, wanted_group = user.partition(":")
    uid, gid = _user(name, passwd)
    if wanted_group:
        gid = _number(wanted_group, group, "group")
    return uid, gid


def name_of(uid: str, passwd: str) -> str:
    """Return the name of a uid, the number itself where it has none."""
    return next((row[0] for row in _rows(passwd) if len(row) > 2 and row[2] == uid), uid)


def _user(name: str, passwd: str) -> tuple[int, int]:
    for row in _rows(passwd):
        if len(row) > 3 and name in (row[0], row[2]):
            return int(row[2]), int(row[3])
    if name.isdecimal():
        return int(name), 0
    raise SandboxError(f"The image has no user {name!r}.", hint="Check the user in task.toml and the Dockerfile.")


def _number(name: str, group: str, what: str) -> int:
    for row in _rows(group):
        if len(row) > 2 and name in (row[0], row[2]):
            return int(row[2])
    if name.isdecimal():
        return int(name)
    raise SandboxError(f"The image has no {what} {name!r}.")


def _rows(text: str) -> list[list[str]]:
    return [line.split(":") for line in text.splitlines() if line and not line.startswith("#")]
