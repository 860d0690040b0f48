"""A machine that has only git, make and Python, from nothing to an engine that starts containers.

The machine is a container of the host's own distribution, made with debootstrap, in which a second engine is
installed and started. It gets the host's certificates and package settings, as a company's machine would.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import docker
import pytest
from docker.models.containers import Container

TOP = Path(__file__).parents[3]
CHECKOUT = "/opt/harness"

pytestmark = [
    pytest.mark.docker,
    pytest.mark.full,
    pytest.mark.timeout(1200),
    pytest.mark.xdist_group("fresh-machine"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a machine with debootstrap"),
]

# An engine in a container needs its control groups writable; version 2 also wants processes out of the root.
PREPARE = r"""
for place in $(awk '$3 ~ /^cgroup/ { print $2 }' /proc/mounts); do mount -o remount,bind,rw "$place"; done
mount -o remount,rw /sys
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    cd /sys/fs/cgroup
    mkdir -p init
    while read -r process; do echo "$process" > init/cgroup.procs; done < cgroup.procs
    for one in $(cat cgroup.controllers); do echo "+$one"; done > cgroup.subtree_control
fi
useradd --create-home joe
git config --system --add safe.directory '*'
git clone --quiet /source /opt/harness
chown -R joe /opt/harness
"""

# The smallest image that can be made of what is there: a shell and its libraries.
START_A_CONTAINER = r"""
mkdir /tmp/root
for file in /bin/sh $(ldd /bin/sh | grep -o '/[^ )]*'); do
    mkdir -p "/tmp/root$(dirname "$file")"
    cp -L "$file" "/tmp/root$file"
done
tar -C /tmp/root -cf /tmp/root.tar .
.venv/bin/python - <<'PYTHON'
import docker
engine = docker.from_env()
engine.api.import_image(src="/tmp/root.tar", repository="probe")
command = ["/bin/sh", "-c", "echo started inside"]
print(engine.containers.run("probe", command, mem_limit="64m", remove=True).decode())
reading = engine.containers.run("probe", ["/bin/sh", "-c", "read line"], stdin_open=True, detach=True)
print("processes", len(reading.top()["Processes"]))
reading.remove(force=True)
PYTHON
"""


class Machine:
    def __init__(self, container: Container) -> None:
        self._container = container

    def type(self, command: str, user: str = "root") -> tuple[int, str]:
        """Type a command in the checkout; return its exit code and all that it printed."""
        done = self._container.exec_run(["bash", "-c", command], user=user, workdir=CHECKOUT)
        return done.exit_code, done.output.decode(errors="replace")


def release() -> str:
    lines = Path("/etc/os-release").read_text().splitlines()
    return next(line.partition("=")[2].strip('"') for line in lines if line.startswith("VERSION_CODENAME="))


def host_settings() -> tuple[dict[str, str], dict[str, str]]:
    """The host's variables for certificates, package clients and proxies, and the files that they name."""
    tails = ("_proxy", "_PROXY", "_CERT", "_CERT_FILE", "_CA_BUNDLE")
    environ = {key: text for key, text in os.environ.items() if key.startswith("PIP_") or key.endswith(tails)}
    files = [text for text in environ.values() if text.startswith("/") and Path(text).exists()]
    files += [path for path in ("/etc/pip.conf", "/etc/ssl/certs/ca-certificates.crt") if Path(path).exists()]
    return environ, {path: path for path in files}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    tool = shutil.which("debootstrap")
    assert tool, "debootstrap is missing: type harness doctor --fix --tests"
    folder = tmp_path_factory.mktemp("machine")
    tag = f"harness-test-fresh:{uuid4().hex[:12]}"
    packages = "ca-certificates,git,make,python3"
    subprocess.run(
        [tool, "--variant=minbase", f"--include={packages}", release(), str(folder / "root")],
        check=True,
        capture_output=True,
    )
    subprocess.run(["tar", "-C", str(folder / "root"), "-cf", str(folder / "root.tar"), "."], check=True)
    shutil.rmtree(folder / "root")
    engine = docker.from_env()
    engine.api.import_image(
        src=str(folder / "root.tar"), repository=tag.partition(":")[0], tag=tag.partition(":")[2]
    )
    (folder / "root.tar").unlink()
    yield tag
    engine.images.remove(tag, force=True)
    engine.close()


@pytest.fixture(scope="module")
def machine(image: str) -> Iterator[Machine]:
    environ, files = host_settings()
    with running(image, environ, {**files, str(TOP): "/source"}) as container:
        code, said = container.exec_run(["bash", "-ec", PREPARE])
        assert code == 0, said.decode()
        yield Machine(container)


@contextmanager
def running(image: str, environ: Mapping[str, str], files: Mapping[str, str]) -> Iterator[Container]:
    """A container that may run an engine: with the rights that takes, short of all that a privileged one has."""
    engine = docker.from_env()
    settings = engine.api.create_host_config(
        cap_add=["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE"],
        security_opt=["seccomp=unconfined", "apparmor=unconfined"],
        binds=[f"{path}:{inside}:ro" for path, inside in files.items()],
        mounts=[docker.types.Mount("/var/lib/docker", None)],
    )
    settings |= {"CgroupnsMode": "private", "MaskedPaths": [], "ReadonlyPaths": []}
    made = engine.api.create_container(image, ["sleep", "3600"], environment=dict(environ), host_config=settings)
    try:
        container = engine.containers.get(made["Id"])
        container.start()
        yield container
    finally:
        engine.api.remove_container(made["Id"], force=True, v=True)
        engine.close()


def test_a_fresh_machine_is_set_up_step_by_step(machine: Machine) -> None:
    """One story: each step finds what the one before left."""
    if machine.type("python3 -c 'import ensurepip'")[0] != 0:
        code, said = machine.type("make venv", user="joe")
        assert code == 2
        assert "Type: sudo apt-get update && sudo apt-get install -y --no-install-recommends python3." in said

    code, said = machine.type("make venv")
    assert code == 0, said
    assert machine.type("make venv") == (0, "")

    code, said = machine.type(".venv/bin/harness doctor --fix", user="joe")
    assert code == 2
    assert "No Docker Engine is installed on this machine." in said
    assert "sudo /opt/harness/.venv/bin/harness doctor --fix" in said

    # Killed while packages are being installed; the same again ends well.
    machine.type("setsid .venv/bin/harness doctor --fix & sleep 3; kill -9 -- -$!; wait")
    code, said = machine.type(".venv/bin/harness doctor --fix")
    assert code == 0, said
    code, said = machine.type(START_A_CONTAINER)
    assert code == 0, said
    assert "started inside" in said
    assert "processes 1" in said

    code, said = machine.type(".venv/bin/harness doctor --fix", user="joe")
    assert code == 2
    assert "joe may not use its socket" in said
    assert "sudo usermod -aG docker joe" in said

    # An engine that was killed leaves its socket and its pid files; two set-ups find them at the same time.
    code, said = machine.type("kill -9 $(cat /run/docker.pid); sleep 1; ls /run/docker.sock && make doctor")
    assert code == 2
    assert "was left by one that is gone" in said
    both = "(.venv/bin/harness doctor --fix; echo first $?) & .venv/bin/harness doctor --fix; echo second $?; wait"
    code, said = machine.type(both)
    assert ("first 0" in said, "second 0" in said) == (True, True), said
    assert said.count("Starting the Docker Engine itself") <= 1
