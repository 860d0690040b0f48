"""Mend what can be mended: install what is missing, start the Docker Engine, say how far it is.

Only root on a Debian or Ubuntu system gets things installed; everybody else is told what to type. Nothing is
ever stopped or killed here, and two repairs at the same time take turns.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.doctor.checks import Check, Purpose, examine, may_install
from harness.doctor.engine import (
    CONTAINERD_PID_FILE,
    PID_FILE,
    Engine,
    dockerd_path,
    find_engine,
    process_of,
)
from harness.doctor.failures import Failure, explain
from harness.doctor.packages import install_packages
from harness.errors import DaemonError, HarnessError, SettingsError

Say = Callable[[str], None]

LOG_FOLDER = Path("/var/log")
"""Where an engine that is started by hand writes its log, if that folder can be written."""

_PACKAGES = {
    "engine": ("docker.io", "iptables", "ca-certificates", "procps"),
    "ps": ("procps",),
    "git": ("git",),
    "debootstrap": ("debootstrap",),
    # Playwright's driver needs libatomic, which minimal systems lack.
    "chromium": ("chromium", "fonts-liberation", "libatomic1"),
}
_START_TIMEOUT_S = 90
_LOG_TAIL = 8_000


def repair(purpose: Purpose, say: Say) -> tuple[Check, ...]:
    """Mend what ``examine`` finds wanting and can be mended; return what it finds afterwards.

    ``say`` hears of each slow step. Raises ``HarnessError`` that says what to type when a step fails.
    """
    checks = examine(purpose)
    if not _wanting(checks):
        return checks
    with _one_at_a_time(say):
        checks = examine(purpose)
        wanting = _wanting(checks)
        names = {check.name for check in wanting}
        if "chromium" in names and _chromium_is_a_snap():
            names.remove("chromium")
            _playwright_chromium(say)
        if packages := [package for name in sorted(names - {"engine"}) for package in _PACKAGES[name]]:
            install_packages(packages, say)
        if "engine" in names:
            have_engine(say)
    return examine(purpose)


def have_engine(say: Say) -> Engine:
    """Return an engine that answers: the one that is here, else one installed and started now."""
    engine = find_engine()
    if engine.state == "absent":
        install_packages([*_PACKAGES["engine"], *_apparmor()], say)
        engine = find_engine()
    if engine.state == "starting":
        say("Waiting for the Docker Engine, which is starting already…")
        engine = _wait(lambda: process_of(PID_FILE, "dockerd") is not None, say)
    if engine.state == "starting":
        pid = process_of(PID_FILE, "dockerd")
        raise DaemonError(
            f"The Docker Engine (process {pid}) gave no answer in {_START_TIMEOUT_S} s.",
            hint="Its log says what it waits for: journalctl -u docker, or a file in /var/log.",
        )
    if engine.state == "ready":
        return engine
    if engine.state != "stopped" or not may_install():
        raise DaemonError(engine.sentence, hint=engine.hint)
    return _start(say)


# ------------------------------------------------------------------------------------------- starting it


@dataclass(frozen=True, kw_only=True)
class _Started:
    """A start that was tried: whether it may still come up, and how to read its log."""

    alive: Callable[[], bool]
    log: Callable[[], str]
    place: str


def _start(say: Say) -> Engine:
    for pid_file, program in ((PID_FILE, "dockerd"), (CONTAINERD_PID_FILE, "containerd")):
        _drop_stale(pid_file, program, say)
    if Path("/run/systemd/system").is_dir():
        return _outcome(_by_systemd(say), say)
    if (started := _by_service(say)) is not None:
        return _outcome(started, say)
    return _by_hand(say)


def _by_systemd(say: Say) -> _Started:
    say("Starting the Docker Engine with systemctl (a few seconds)…")
    _quietly(["systemctl", "reset-failed", "docker.service"])
    _quietly(["systemctl", "start", "--no-block", "docker.service"])
    return _Started(
        alive=lambda: _output(["systemctl", "is-active", "docker.service"]).strip() in {"active", "activating"},
        log=lambda: _output(["journalctl", "-u", "docker.service", "-n", "60", "--no-pager", "-o", "cat"]),
        place="journalctl -u docker",
    )


def _by_service(say: Say) -> _Started | None:
    """Start it by its init script; ``None`` where that does not work, as in many containers."""
    log = Path("/var/log/docker.log")
    if not Path("/etc/init.d/docker").exists():
        return None
    say("Starting the Docker Engine with its service script (a few seconds)…")
    if not _quietly(["service", "docker", "start"]):
        return None
    pid_file = Path("/var/run/docker-ssd.pid")
    started = _Started(
        alive=lambda: process_of(pid_file, "dockerd") is not None, log=lambda: _tail(log), place=str(log)
    )
    time.sleep(0.5)  # the script reports success before the engine has run its first line
    return started if started.alive() else None


def _by_hand(say: Say) -> Engine:
    """Start the engine as a process of its own, that outlives this one; try what a known failure asks for."""
    extra: tuple[str, ...] = ()
    path = os.environ.get("PATH", os.defpath)
    for last in (False, True):
        started = _launch(extra, path, say)
        engine = _wait(started.alive, say)
        if engine.state == "ready":
            return engine
        failure = explain(started.log())
        if last or failure.remedy is None or started.alive():
            raise _gave_up(failure, started)
        say(f"{failure.sentence} {failure.remedy.note}")
        extra = failure.remedy.options
        if failure.remedy.legacy_iptables:
            path = f"{_legacy_iptables()}{os.pathsep}{path}"
    raise AssertionError("the last try returns or raises")


def _launch(extra: Sequence[str], path: str, say: Say) -> _Started:
    program = dockerd_path() or "dockerd"
    log = _log_file()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program, *extra],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={**os.environ, "PATH": f"{path}{os.pathsep}/usr/sbin{os.pathsep}/sbin"},
            start_new_session=True,
        )
    say(f"Starting the Docker Engine itself: {program} (process {process.pid}, log {log})…")
    return _Started(alive=lambda: process.poll() is None, log=lambda: _tail(log), place=str(log))


def _outcome(started: _Started, say: Say) -> Engine:
    engine = _wait(started.alive, say)
    if engine.state == "ready":
        return engine
    raise _gave_up(explain(started.log()), started)


def _wait(alive: Callable[[], bool], say: Say) -> Engine:
    """Wait until the engine answers, its process ends or the time is over; return how it stands."""
    began = told = time.monotonic()
    while True:
        running = alive()
        engine = find_engine()
        now = time.monotonic()
        if engine.state in {"ready", "forbidden"} or not running or now - began > _START_TIMEOUT_S:
            return engine
        if now - told >= 5:
            told = now
            say(f"Waiting for the Docker Engine to answer ({now - began:.0f} s)…")
        time.sleep(0.2)


def _gave_up(failure: Failure, started: _Started) -> DaemonError:
    end = "\n".join(started.log().splitlines()[-12:])
    hint = f"{failure.hint} The whole log: {started.place}".strip()
    return DaemonError(failure.sentence, hint=hint, detail=end)


# -------------------------------------------------------------------------------------------- the pieces


def _wanting(checks: Sequence[Check]) -> list[Check]:
    return [check for check in checks if not check.ok and check.fixable]


def _chromium_is_a_snap() -> bool:
    """Ubuntu's package only points to a snap, which neither containers nor headless tests can use."""
    try:
        return "ID=ubuntu" in Path("/etc/os-release").read_text().splitlines()
    except OSError:
        return False


def _playwright_chromium(say: Say) -> None:
    say("Installing Playwright's Chromium (about a minute)…")
    command = [sys.executable, "-m", "playwright", "install", "--with-deps", "chromium"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode != 0:
        output = (done.stdout + done.stderr).decode(errors="replace")
        raise SettingsError(
            "Playwright's Chromium could not be installed.",
            hint=f"Type: {' '.join(command)}",
            detail=output[-_LOG_TAIL // 4 :],
        )


def _apparmor() -> tuple[str, ...]:
    """Where the kernel enforces AppArmor, the engine starts no container without its parser."""
    try:
        enforced = Path("/sys/module/apparmor/parameters/enabled").read_text().startswith("Y")
    except OSError:
        enforced = False
    return ("apparmor",) if enforced else ()


def _drop_stale(pid_file: Path, program: str, say: Say) -> None:
    """Remove a pid file whose number now belongs to another program: the engine would wait for that one."""
    if pid_file.exists() and process_of(pid_file, program) is None:
        say(f"Removing {pid_file}, left by a {program} that is gone.")
        pid_file.unlink(missing_ok=True)


def _legacy_iptables() -> Path:
    """Make a folder in which ``iptables`` is the older variant; the system's own choice stays as it is."""
    folder = Path(tempfile.mkdtemp(prefix="harness-iptables-"))
    for name in ("iptables", "ip6tables"):
        (folder / name).symlink_to(f"/usr/sbin/{name}-legacy")
    return folder


def _log_file() -> Path:
    folder = LOG_FOLDER if os.access(LOG_FOLDER, os.W_OK) else Path(tempfile.gettempdir())
    return folder / "harness-dockerd.log"


def _tail(path: Path) -> str:
    try:
        return path.read_bytes()[-_LOG_TAIL:].decode(errors="replace")
    except OSError:
        return ""


def _quietly(command: Sequence[str]) -> bool:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _output(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode(errors="replace")


@contextmanager
def _one_at_a_time(say: Say) -> Iterator[None]:
    """Let repairs take turns: `make demo` and `make test` side by side install and start things once."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    folder = Path("/run/lock")
    name = f"harness-setup-{os.geteuid()}.lock"
    path = (folder if os.access(folder, os.W_OK) else Path(tempfile.gettempdir())) / name
    try:
        lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise HarnessError(
            f"The lock file {path} cannot be opened: {error.strerror}.", hint="Remove it."
        ) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Waiting for another set-up on this machine to finish…")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)
