"""What is looked at, and what each thing missing means. Reads the machine; changes nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Literal

from harness.doctor.engine import SYSTEM_PATH, Engine, find_engine

Severity = Literal["error", "warning", "info"]
Purpose = Literal["run", "tests"]

KNOWN_KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "OPENROUTER_API_KEY")
_HUB = "https://registry-1.docker.io"
_REGISTRY_TIMEOUT_S = 3
_GIB = 1024**3
_ENGINE_DISK_GIB = (2, 10)
_RUNS_DISK_GIB = (0.2, 2)


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at.

    ``severity`` is what it means when it is not ``ok``: an ``error`` stops runs, a ``warning`` may spoil
    them, ``info`` only informs. ``found`` says what is here, ``fix_hint`` what to do; ``fixable`` is true
    when ``repair`` can do it.
    """

    name: str
    ok: bool
    severity: Severity
    found: str
    fix_hint: str = ""
    fixable: bool = False


def examine(purpose: Purpose = "run", *, folder: Path | None = None) -> tuple[Check, ...]:
    """Look at everything that a run, or the tests, need. ``folder`` is where runs are written (default: here)."""
    engine = find_engine()
    answer = ask_registries(engine.facts.mirrors if engine.facts else ())
    checks = [check_python(), check_git(), *check_engine(engine), check_runs_disk(folder or Path.cwd())]
    checks += [check_host_settings(), check_keys(os.environ)]
    if purpose == "tests":
        checks.append(check_chromium())
    return (*checks, *check_images(answer()))


def check_python() -> Check:
    """Python's version."""
    found = f"Python {sys.version.split()[0]} ({sys.executable})"
    ok = sys.version_info >= (3, 11)
    return Check(name="python", ok=ok, severity="error", found=found, fix_hint="Use Python 3.11 or newer.")


def check_git() -> Check:
    """The git command, which workspaces and provenance are read with."""
    path = shutil.which("git")
    return Check(
        name="git",
        ok=path is not None,
        severity="error",
        found=path or "the git command is missing",
        fix_hint="Install git.",
        fixable=may_install(),
    )


def check_engine(engine: Engine) -> Iterator[Check]:
    """Whether a Docker Engine answers, how it stores images, and whether it has room."""
    facts = engine.facts
    if facts is None:
        fixable = may_install() and engine.state in {"absent", "stopped", "starting"}
        yield Check(
            name="engine", ok=False, severity="error", found=engine.sentence, fix_hint=engine.hint, fixable=fixable
        )
        return
    found = (
        f"Docker Engine {facts.version}, API {facts.api_version}, {facts.builder} builder, {facts.cpus} CPUs, "
        f"{facts.memory_mb / 1024:.1f} GiB memory, at {engine.endpoint.url} ({engine.endpoint.source})"
    )
    yield Check(name="engine", ok=True, severity="error", found=found)
    yield Check(
        name="storage driver",
        ok=facts.storage_driver != "vfs",
        severity="warning",
        found=facts.storage_driver,
        fix_hint="vfs copies the image for each container: slow and hungry. Give the engine a disk with overlay.",
    )
    if engine.endpoint.socket_path is None:
        return
    yield _check_ps()
    root = Path(facts.root_dir)
    if os.access(root.parent, os.R_OK) and root.parent.is_dir():
        yield _disk(
            "engine disk",
            root if root.is_dir() else root.parent,
            _ENGINE_DISK_GIB,
            "Remove images with: docker system prune",
        )


def _check_ps() -> Check:
    """The ps command, by which an engine lists a container's processes; needed where the engine is."""
    path = shutil.which("ps", path=SYSTEM_PATH)
    return Check(
        name="ps",
        ok=path is not None,
        severity="error",
        found=path or "the ps command is missing: the engine cannot list the processes of a container",
        fix_hint="Install procps.",
        fixable=may_install(),
    )


def check_runs_disk(folder: Path) -> Check:
    """Room for what runs write."""
    return _disk("run disk", folder, _RUNS_DISK_GIB, "Make room, or choose another place with: harness run -o DIR")


def check_keys(environ: Mapping[str, str]) -> Check:
    """Which providers' keys are set; their values are never looked at."""
    names = [name for name in KNOWN_KEYS if environ.get(name)]
    found = ", ".join(names) or "none set; the scripted players of the demo need none"
    hint = f"To call a model, set its provider's key, such as {KNOWN_KEYS[0]}."
    return Check(name="model keys", ok=bool(names), severity="info", found=found, fix_hint=hint)


def check_images(registry: str) -> list[Check]:
    """Where base images come from: a registry, or else debootstrap. ``registry`` is what answered, or empty."""
    if registry:
        return [Check(name="image registry", ok=True, severity="info", found=f"{registry} answers")]
    tool = shutil.which("debootstrap", path=SYSTEM_PATH)
    return [
        Check(
            name="image registry",
            ok=False,
            severity="info",
            found=f"none answers within {_REGISTRY_TIMEOUT_S} s; base images are built from distribution packages",
        ),
        Check(
            name="debootstrap",
            ok=tool is not None,
            severity="warning",
            found=tool or "missing: base images that are not here yet cannot be built",
            fix_hint="Install debootstrap, or make an image registry reachable.",
            fixable=may_install(),
        ),
    ]


def check_host_settings() -> Check:
    """Which of the host's certificates and package settings image builds will be given."""
    from harness.sandbox.host_trust import discover_host_settings

    trust = discover_host_settings().record()
    parts = [f"{trust.certificates} certificate authorities of its own"] if trust.certificates else []
    parts += [", ".join(trust.index_settings)] if trust.index_settings else []
    parts += [f"not handed on: {reason}" for reason in trust.skipped]
    found = "; ".join(parts) or "nothing of its own"
    return Check(name="host settings", ok=True, severity="info", found=found)


def check_chromium() -> Check:
    """A browser for the tests of the report, and the driver that steers it."""
    path = find_chromium()
    driver = subprocess.run([sys.executable, "-m", "playwright", "--version"], capture_output=True, check=False)
    complaint = driver.stderr.decode(errors="replace").strip().splitlines()[-1:] if driver.returncode else []
    found = str(path) if path else "no Chromium for the report's browser tests"
    return Check(
        name="chromium",
        ok=path is not None and driver.returncode == 0,
        severity="error",
        found="; ".join([found, *complaint]),
        fix_hint="Install chromium and libatomic1, or type: python -m playwright install --with-deps chromium",
        fixable=may_install(),
    )


def find_chromium() -> Path | None:
    """Return a Chromium that tests can drive: the distribution's, or the one that Playwright installed."""
    for name in ("chromium", "google-chrome", "google-chrome-stable"):
        if path := shutil.which(name):
            return Path(path)
    cache = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache/ms-playwright")
    found = [
        *cache.glob("chromium-*/chrome-linux*/chrome"),
        *cache.glob("chromium_headless_shell-*/*/*headless*shell"),
    ]
    return max(found, default=None)


def may_install() -> bool:
    """Return whether ``repair`` may install packages here: root, on a system with apt-get."""
    return sys.platform == "linux" and os.geteuid() == 0 and shutil.which("apt-get") is not None


def ask_registries(mirrors: tuple[str, ...] = ()) -> Callable[[], str]:
    """Ask image registries in the background; the function returned waits, at most seconds, for who answered.

    It returns the first host that answers like a registry, in the order ``mirrors`` then the public one,
    and an empty string if none does. A name server that hangs cannot hold it up.
    """
    answers: Queue[str] = Queue()
    urls = (*mirrors, _HUB)
    Thread(target=lambda: answers.put(next(filter(None, map(_registry_at, urls)), "")), daemon=True).start()

    def wait() -> str:
        try:
            return answers.get(timeout=_REGISTRY_TIMEOUT_S)
        except Empty:
            return ""

    return wait


def _registry_at(url: str) -> str:
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.parse import urlsplit
    from urllib.request import urlopen

    base = url.rstrip("/")
    try:
        with urlopen(f"{base}/v2/", timeout=_REGISTRY_TIMEOUT_S):
            return urlsplit(base).netloc
    except HTTPError as error:
        # A registry asks strangers to log in (401); a company's gate says that they may not pass (403).
        return urlsplit(base).netloc if error.code == 401 else ""
    except (OSError, ValueError, HTTPException):
        return ""


def _disk(name: str, folder: Path, limits_gib: tuple[float, float], hint: str) -> Check:
    try:
        free = shutil.disk_usage(folder).free / _GIB
    except OSError as error:
        return Check(name=name, ok=False, severity="warning", found=f"{folder}: {error.strerror}", fix_hint=hint)
    least, good = limits_gib
    severity: Severity = "error" if free < least else "warning"
    found = f"{free:.1f} GiB free at {folder}"
    return Check(name=name, ok=free >= good, severity=severity, found=found, fix_hint=hint)
