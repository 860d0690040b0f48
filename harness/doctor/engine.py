"""Find the Docker Engine and tell why it does not answer: absent, stopped, starting, forbidden, unreachable.

Owns where an engine is looked for (``DOCKER_HOST``, the docker command's context, the usual socket: the order
that the docker library has, which runs use) and what is said of it. Starts nothing: that is ``mending``.
"""

from __future__ import annotations

import errno
import getpass
import grp
import os
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.errors import DaemonError

if TYPE_CHECKING:
    from docker import APIClient

EngineState = Literal["ready", "absent", "stopped", "starting", "forbidden", "unreachable"]

DEFAULT_SOCKET = "/var/run/docker.sock"
PID_FILE = Path("/var/run/docker.pid")
CONTAINERD_PID_FILE = Path("/var/run/docker/containerd/containerd.pid")
SYSTEM_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
"""Where commands are looked for: also where ordinary users' paths leave out."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where an engine is expected, and who said so. ``named`` is true when the user's settings name it."""

    url: str
    source: str
    named: bool = False

    @property
    def socket_path(self) -> str | None:
        """The socket's path, ``None`` for an engine that is reached over the network."""
        return self.url.removeprefix("unix://") if self.url.startswith("unix://") else None


@dataclass(frozen=True, kw_only=True)
class EngineFacts:
    """What an engine says of itself. ``root_dir`` is where it keeps images, on its own machine."""

    version: str
    api_version: str
    storage_driver: str
    builder: Literal["classic", "BuildKit"]
    root_dir: str
    memory_mb: int
    cpus: int
    system: str
    mirrors: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Engine:
    """An engine as it was found. ``sentence`` says what is the matter, ``hint`` what to do; empty when ready."""

    state: EngineState
    endpoint: Endpoint
    facts: EngineFacts | None = None
    sentence: str = ""
    hint: str = ""


def find_endpoint() -> Endpoint:
    """Return where the engine is: ``DOCKER_HOST``, else the docker command's context, else the usual socket."""
    from docker.context import ContextAPI

    if host := os.environ.get("DOCKER_HOST"):
        return Endpoint(url=host, source="DOCKER_HOST", named=True)
    try:
        context = ContextAPI.get_context(os.environ.get("DOCKER_CONTEXT"))
    except Exception as error:  # the library raises nothing narrower for a damaged context
        raise DaemonError(str(error), hint="Mend it, or choose another with: docker context use default") from error
    if context is None or context.Name == "default" or not context.Host:
        return Endpoint(url=f"unix://{DEFAULT_SOCKET}", source="default socket")
    url = context.Host.replace("http+unix://", "unix://")
    return Endpoint(url=url, source=f"docker context {context.Name}", named=True)


def find_engine(endpoint: Endpoint | None = None, *, timeout_s: float = 5) -> Engine:
    """Ask the engine who it is, within ``timeout_s``; never raises for an engine that is away."""
    endpoint = endpoint or find_endpoint()
    if endpoint.socket_path is not None and (trouble := _knock(endpoint, endpoint.socket_path, timeout_s)):
        return trouble
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    try:
        client = _connect(endpoint, timeout_s)
        try:
            return Engine(state="ready", endpoint=endpoint, facts=_facts(client))
        finally:
            client.close()
    except (DockerException, RequestException, OSError, ValueError) as error:
        return _no_answer(endpoint, error)


def require_engine() -> Engine:
    """Return the engine that a run will use. Raises ``DaemonError`` with a sentence and a way on."""
    engine = find_engine()
    if engine.state != "ready":
        raise DaemonError(engine.sentence, hint=engine.hint)
    return engine


def dockerd_path() -> str | None:
    """Return the engine's program, also where the path of ordinary users leaves it out."""
    return shutil.which("dockerd", path=SYSTEM_PATH)


def process_of(pid_file: Path, program: str) -> int | None:
    """Return the process that ``pid_file`` names if it lives and is ``program``, else ``None``.

    A process that ended but was never collected by its parent, as happens in containers, is not alive.
    """
    try:
        pid = int(pid_file.read_text())
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().partition("(")[2].rpartition(")")
    except (OSError, ValueError):
        return None
    return pid if name == program and rest.split()[0] not in {"Z", "X"} else None


def _connect(endpoint: Endpoint, timeout_s: float) -> APIClient:
    import docker

    if endpoint.named:  # with the certificates that the same settings name
        return docker.from_env(version="auto", timeout=timeout_s).api
    return docker.APIClient(base_url=endpoint.url, version="auto", timeout=timeout_s)


def _knock(endpoint: Endpoint, path: str, timeout_s: float) -> Engine | None:
    """What is the matter with the socket, ``None`` if somebody listens."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as knocking:
        knocking.settimeout(timeout_s)
        try:
            knocking.connect(path)
        except PermissionError:
            return _forbidden(endpoint, path)
        except OSError as error:
            return _away(endpoint, path, left_over=error.errno == errno.ECONNREFUSED)
    return None


def _forbidden(endpoint: Endpoint, path: str) -> Engine:
    user = getpass.getuser()
    try:
        owner = grp.getgrgid(Path(path).stat().st_gid)
        group, members = owner.gr_name, owner.gr_mem
    except (OSError, KeyError):
        group, members = "docker", []
    if user in members:
        hint = f"You are in the group {group}, but this session is older: log in again, or type: newgrp {group}"
    else:
        hint = f"Type: sudo usermod -aG {group} {user}   then log in again."
    sentence = f"The Docker Engine is there, but {user} may not use its socket {path}."
    return Engine(state="forbidden", endpoint=endpoint, sentence=sentence, hint=hint)


def _away(endpoint: Endpoint, path: str, *, left_over: bool) -> Engine:
    if endpoint.named:
        sentence = f"No Docker Engine listens on {path}, which {endpoint.source} names."
        hint = "Start that engine, or remove the setting to use the machine's own."
        return Engine(state="unreachable", endpoint=endpoint, sentence=sentence, hint=hint)
    if process_of(PID_FILE, "dockerd"):
        sentence = "The Docker Engine is starting and does not answer yet."
        return Engine(state="starting", endpoint=endpoint, sentence=sentence, hint=_hint_to_fix())
    if own := _own_socket():
        sentence = f"A Docker Engine of your own listens on {own}, but nothing tells the harness so."
        hint = f"Type: export DOCKER_HOST=unix://{own}"
        return Engine(state="unreachable", endpoint=endpoint, sentence=sentence, hint=hint)
    if dockerd_path() is None:
        sentence = "No Docker Engine is installed on this machine."
        return Engine(state="absent", endpoint=endpoint, sentence=sentence, hint=_hint_to_fix())
    why = f"; {path} was left by one that is gone" if left_over else ""
    sentence = f"The Docker Engine is installed but not running{why}."
    return Engine(state="stopped", endpoint=endpoint, sentence=sentence, hint=_hint_to_fix())


def _own_socket() -> Path | None:
    """The socket of an engine that runs as the user: rootless Docker, Docker Desktop."""
    folders = [Path(os.environ.get("XDG_RUNTIME_DIR") or "/nonexistent"), Path.home() / ".docker/run"]
    return next((folder / "docker.sock" for folder in folders if (folder / "docker.sock").is_socket()), None)


def _hint_to_fix() -> str:
    if sys.platform != "linux":
        return "Install and start Docker Desktop, Colima or another Docker Engine, then try again."
    return f"Type: {'' if os.geteuid() == 0 else 'sudo '}{Path(sys.prefix, 'bin', 'harness')} doctor --fix"


def _no_answer(endpoint: Endpoint, error: Exception) -> Engine:
    reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
    sentence = f"The Docker Engine at {endpoint.url} ({endpoint.source}) gives no usable answer: {reason}."
    if endpoint.named:
        hint = f"Check the engine and what {endpoint.source} says, or remove the setting to use the machine's own."
    else:
        hint = "See the engine's log (journalctl -u docker, or /var/log/docker.log), and restart it."
    return Engine(state="unreachable", endpoint=endpoint, sentence=sentence, hint=hint)


def _facts(client: APIClient) -> EngineFacts:
    info = client.info()
    version = client.version()
    builder = client.get(f"{client.base_url}/_ping").headers.get("Builder-Version", "1")
    return EngineFacts(
        version=str(version.get("Version", "unknown")),
        api_version=str(version.get("ApiVersion", "unknown")),
        storage_driver=str(info.get("Driver", "unknown")),
        builder="BuildKit" if builder == "2" else "classic",
        root_dir=str(info.get("DockerRootDir", "")),
        memory_mb=int(info.get("MemTotal", 0)) // (1024 * 1024),
        cpus=int(info.get("NCPU", 0)),
        system=str(info.get("OperatingSystem", "unknown")),
        mirrors=tuple((info.get("RegistryConfig") or {}).get("Mirrors") or ()),
    )
