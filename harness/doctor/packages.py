"""Install distribution packages, by the one script that calls apt-get."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.errors import SettingsError

_SCRIPT = Path(__file__).with_name("apt-install.sh")


def install_packages(names: Sequence[str], say: Callable[[str], None]) -> None:
    """Install those of ``names`` that are missing. Raises ``SettingsError`` that says what to type instead."""
    rest: list[str] = []
    with subprocess.Popen(
        ["sh", str(_SCRIPT), *names],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        for line in map(str.rstrip, process.stderr or ()):
            if line.endswith("…"):  # a slow step begins; everything else tells of a failure
                say(line)
            else:
                rest.append(line)
    if process.returncode != 0:
        last = rest[-1] if rest else f"Installing {' '.join(names)} failed."
        raise SettingsError(last, detail="\n".join(rest[:-1]))
