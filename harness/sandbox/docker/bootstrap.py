"""Make a root file system from a distribution's packages with debootstrap.

Owns debootstrap itself (installing it where it is missing), the choice of a mirror, and what the tree needs to
behave like the distribution's official container image. Leaves the import into Docker to ``base_images``.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio.abc import Process
from anyio.streams.text import TextReceiveStream

from harness.errors import ImageError
from harness.sandbox.docker.apt_sources import AptSettings
from harness.sandbox.docker.once import cache_folder
from harness.sandbox.docker.unreachable import Unreachable

_PROBE_S = 8
_LOG_LINES = 60


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """What differs between distributions.

    ``security`` is the last path segment of the mirror of security updates; ``script`` what debootstrap runs for
    suites that are newer than itself.
    """

    name: str
    security: str
    keyring: Path
    keyring_package: str
    components: tuple[str, ...]
    script: str


_APT_INSTALL = Path(__file__).parents[2] / "doctor" / "apt-install.sh"
_DEBOOTSTRAP = Path("/usr/share/debootstrap/scripts")
_DEFAULT_MIRROR = re.compile(r"(?:default_mirror +|DEF_MIRROR=\"?)(https?://[^\s\"]+)")

DISTRIBUTIONS = {
    "debian": Distribution(
        name="debian",
        security="debian-security",
        keyring=Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
        keyring_package="debian-archive-keyring",
        components=("main",),
        script="sid",
    ),
    "ubuntu": Distribution(
        name="ubuntu",
        security="ubuntu",
        keyring=Path("/usr/share/keyrings/ubuntu-archive-keyring.gpg"),
        keyring_package="ubuntu-keyring",
        components=("main", "universe", "restricted", "multiverse"),
        script="gutsy",
    ),
}

# The distributions' own container images carry settings to the same effect.
_APT_CONF = """\
APT::AutoRemove::SuggestsImportant "false";
Acquire::GzipIndexes "true";
Acquire::Languages "none";
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb || true"; };
"""
_DPKG_CONF = """\
force-unsafe-io
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/man/*
path-exclude /usr/share/info/*
path-exclude /usr/share/groff/*
path-exclude /usr/share/lintian/*
path-exclude /usr/share/locale/*
path-include /usr/share/locale/locale.alias
"""
_NO_SERVICES = "#!/bin/sh\n# Packages must not start services while an image is built.\nexit 101\n"


async def bootstrap_tree(
    suite: str,
    distribution: Distribution,
    tree: Path,
    *,
    mirror: str,
    apt: AptSettings,
    certificates: Mapping[str, bytes],
    on_line: Callable[[str], None],
) -> None:
    """Fill ``tree`` with a minimal system. Raises ``ImageError`` with the end of debootstrap's log."""
    await have_tools(distribution, on_line)
    _prepare(tree)
    include = ["--include=ca-certificates"] if mirror.startswith("https:") or certificates else []
    # A mount namespace of its own: what debootstrap mounts is gone with it, even after `kill -9`.
    command = ["unshare", "--mount", "debootstrap", "--variant=minbase", "--force-check-gpg"]
    packages = cache_folder() / "packages" / f"{distribution.name}-{suite}"
    packages.mkdir(parents=True, exist_ok=True)
    command += [f"--keyring={distribution.keyring}", f"--cache-dir={packages}", "--components=main", *include]
    command += [suite, str(tree), mirror]
    command += _script(suite, distribution)
    await _run_debootstrap(command, suite, on_line)
    sources = _sources(suite, distribution, mirror, apt)

    def finish() -> None:
        _configure_apt(tree, distribution, sources, apt)
        _forget_this_host(tree)
        _trust(tree, certificates)

    await anyio.to_thread.run_sync(finish)


async def find_mirror(suite: str, distribution: Distribution, apt: AptSettings, unreachable: Unreachable) -> str:
    """Return the first mirror that has the suite: the host's own for it, the host's others, debootstrap's default.

    Raises ``ImageError`` when none answers.
    """
    candidates = [*apt.mirrors_for(suite), *apt.mirrors_like(distribution.name), *_default_mirrors(distribution)]
    refusals: list[str] = []
    for mirror in dict.fromkeys(candidates):
        url = f"{mirror}/dists/{suite}/Release"
        refusal = unreachable.why(url) or await anyio.to_thread.run_sync(_probe, url, abandon_on_cancel=True)
        if not refusal:
            return mirror
        unreachable.remember(url, refusal)
        refusals.append(f"{mirror}: {refusal}")
    raise ImageError(
        f"No mirror of {distribution.name} {suite} answers, so no base image can be built from its packages.",
        hint="Point the host's apt at a mirror that has this suite, or make an image registry reachable.",
        detail="\n".join(refusals),
    )


def _default_mirrors(distribution: Distribution) -> list[str]:
    """Return the public mirrors that the installed debootstrap knows of the distribution."""
    places = (_DEBOOTSTRAP / distribution.script, Path(shutil.which("debootstrap") or _DEBOOTSTRAP / "none"))
    text = "\n".join(place.read_text(errors="replace") for place in places if place.is_file())
    known: list[str] = _DEFAULT_MIRROR.findall(text)
    return [mirror for mirror in known if mirror.rsplit("/", 1)[-1] == distribution.name]


def _script(suite: str, distribution: Distribution) -> list[str]:
    """Return debootstrap's script to use for a suite that is newer than the installed debootstrap."""
    return [] if (_DEBOOTSTRAP / suite).exists() else [str(_DEBOOTSTRAP / distribution.script)]


def _probe(url: str) -> str:
    """Return why a file of a mirror cannot be had; an empty text when it can."""
    request = urllib.request.Request(url, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=_PROBE_S):
            return ""
    except (OSError, ValueError) as error:  # URLError, HTTPError and time-outs are OSErrors
        return str(error) or type(error).__name__


async def have_tools(distribution: Distribution, on_line: Callable[[str], None]) -> None:
    """Have debootstrap and the distribution's keyring, installing them where we may.

    Raises ``ImageError`` that says what to install by hand.
    """
    if os.name != "posix" or os.geteuid() != 0:
        raise ImageError(
            "No image registry answers, and building a base image from distribution packages needs root.",
            hint="Run the same command once with sudo, or `docker pull` or `docker load` the base image.",
        )
    missing = [] if shutil.which("debootstrap") else ["debootstrap"]
    if not distribution.keyring.exists():
        missing.append(distribution.keyring_package)
    if not missing:
        return
    names = " ".join(missing)
    log = ""
    if shutil.which("apt-get"):
        on_line(f"installing {names} with apt-get")
        log = await _install(missing)
    if not shutil.which("debootstrap") or not distribution.keyring.exists():
        raise ImageError(
            f"No image registry answers, and {names}, needed to build a base image, cannot be installed.",
            hint=f"Install {names} with the system's package tool, or `docker load` the base image.",
            detail=log,
        )


async def _install(names: Sequence[str]) -> str:
    """Install packages with the harness's one script for that; return what it said."""
    done = await anyio.run_process(["sh", str(_APT_INSTALL), *names], check=False, stderr=subprocess.STDOUT)
    return done.stdout.decode(errors="replace")[-4000:]


def _prepare(tree: Path) -> None:
    shutil.rmtree(tree, ignore_errors=True)
    settings = tree / "etc/dpkg/dpkg.cfg.d"
    settings.mkdir(parents=True)
    # Before the first package is unpacked: what is never written costs no time.
    (settings / "container").write_text(_DPKG_CONF)


async def _run_debootstrap(command: Sequence[str], suite: str, on_line: Callable[[str], None]) -> None:
    log: list[str] = []
    seen: set[str] = set()
    async with await anyio.open_process(command, stderr=subprocess.STDOUT, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            rest = ""
            async for text in TextReceiveStream(process.stdout, errors="replace"):
                *lines, rest = (rest + text).split("\n")
                for line in lines:
                    log.append(line)
                    phase = _new_phase(line, seen)
                    if phase:
                        on_line(phase)
            await process.wait()
        except BaseException:
            _kill_group(process)
            raise
    if process.returncode != 0:
        raise ImageError(
            f"debootstrap could not make a {suite} system: {_last_error(log)}",
            hint="Check that the mirror works (`apt-get update`) and that there is space left on the disk.",
            detail="\n".join(log[-_LOG_LINES:]),
        )


_PHASES = {
    "Retrieving": "retrieving packages",
    "Extracting": "extracting the first packages",
    "Installing": "installing the first packages",
    "Unpacking": "unpacking the others",
    "Configuring": "configuring them",
}


def _new_phase(line: str, seen: set[str]) -> str | None:
    """Return a phase of debootstrap's the first time that a line speaks of it: it prints two lines a package."""
    verb = line.removeprefix("I: ").split(" ")[0]
    if verb in seen or verb not in _PHASES:
        return None
    seen.add(verb)
    return _PHASES[verb]


def _kill_group(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _last_error(log: Sequence[str]) -> str:
    errors = [line for line in log if line.startswith(("E: ", "W: "))]
    return (errors or list(log) or ["it said nothing"])[-1]


def _configure_apt(tree: Path, distribution: Distribution, sources: str, apt: AptSettings) -> None:
    folder = tree / "etc/apt/sources.list.d"
    folder.mkdir(parents=True, exist_ok=True)
    (tree / "etc/apt/sources.list").unlink(missing_ok=True)
    (folder / f"{distribution.name}.sources").write_text(sources)
    (tree / "etc/apt/apt.conf.d/90container").write_text(_APT_CONF + apt.configuration)
    services = tree / "usr/sbin/policy-rc.d"
    services.write_text(_NO_SERVICES)
    services.chmod(0o755)


def _forget_this_host(tree: Path) -> None:
    """Remove what debootstrap copied from here, and what an image does not carry."""
    for name in ("etc/hostname", "etc/resolv.conf", "etc/machine-id"):
        (tree / name).unlink(missing_ok=True)
    (tree / "etc/machine-id").touch()
    for pattern in ("var/cache/apt/archives/*.deb", "var/cache/apt/*.bin", "var/lib/apt/lists/*_*", "var/log/**/*"):
        for path in tree.glob(pattern):
            if path.is_file():
                path.unlink()


def _trust(tree: Path, certificates: Mapping[str, bytes]) -> None:
    if not certificates:
        return
    folder = tree / "usr/local/share/ca-certificates"
    folder.mkdir(parents=True, exist_ok=True)
    for name, pem in certificates.items():
        (folder / name).write_bytes(pem)
    subprocess.run(["chroot", str(tree), "update-ca-certificates"], check=True, capture_output=True)


def _sources(suite: str, distribution: Distribution, mirror: str, apt: AptSettings) -> str:
    beside = f"{mirror.rpartition('/')[0]}/{distribution.security}"
    security = (apt.mirrors_for(f"{suite}-security") or [beside])[0]
    places = ((mirror, f"{suite} {suite}-updates"), (security, f"{suite}-security"))
    return "\n".join(
        f"Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: {' '.join(distribution.components)}\n"
        f"Signed-By: {distribution.keyring}\n"
        for uri, suites in places
    )
