"""Install distribution packages, by the one script that calls apt-get."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.errors import SettingsError

_SCRIPT = Path(__file__).with_name("apt-install.sh")


def install_packages(names: Sequence[str], say: Callable[[str], None]) -> None:
    """Install those of ``names`` that are missing. Raises ``SettingsError`` that says what to type instead."""
    lines: list[str] = []
    with subprocess.Popen(
        ["sh", str(_SCRIPT), *names],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stderr or ():
            lines.append(line.rstrip())
            if process.poll() is None:
                say(lines[-1])
    if process.returncode != 0:
        last = lines[-1] if lines else f"Installing {' '.join(names)} failed."
        raise SettingsError(last, detail="\n".join(lines[:-1]))
