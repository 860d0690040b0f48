"""The sandboxes that the contract holds for: Docker on an image with bash and on BusyBox alone, and the fake."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import docker
import pytest

from harness.ports import SandboxProvider
from harness.sandbox.docker.base_images import ensure_base
from harness.sandbox.docker.engine import open_engine
from harness.sandbox.docker.images import ImageStore
from harness.sandbox.docker.provider import DockerSandboxProvider
from harness.testing.fake_sandbox import FakeSandboxProvider
from tests.contract.sandbox.boxes import KINDS, NOT_DONE, Box, opened

_BUSYBOX = f"harness-test/busybox:{os.getpid()}"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def debian() -> str:
    return anyio.run(ensure_base, "debian:bookworm-slim").used


@pytest.fixture(scope="session")
def busybox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image that holds nothing but BusyBox, from the distribution's static build."""
    program = _busybox_program(tmp_path_factory.mktemp("busybox"))
    names = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout.split()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(program, "bin/busybox")
        for name in sorted({*names} - {"busybox"}):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        for name, text in {"passwd": "root:x:0:0:root:/root:/bin/sh\nplain:x:1000:1000::/:/bin/sh\n"}.items():
            file = tarfile.TarInfo(f"etc/{name}")
            file.size = len(text)
            tar.addfile(file, io.BytesIO(text.encode()))
    client = docker.APIClient(version="auto")
    client.import_image_from_data(archive.getvalue(), *_BUSYBOX.split(":"), changes=["ENV PATH=/bin"])
    yield _BUSYBOX
    client.remove_image(_BUSYBOX, force=True)
    client.close()


def _busybox_program(folder: Path) -> Path:
    if shutil.which("apt-get") is None:
        pytest.skip("BusyBox comes from the distribution's package, and there is no apt-get")
    order = ["apt-get", "download", "busybox-static"]
    if subprocess.run(order, cwd=folder, capture_output=True, check=False).returncode:
        subprocess.run(["apt-get", "update"], capture_output=True, check=True)
        subprocess.run(order, cwd=folder, capture_output=True, check=True)
    package = next(folder.glob("busybox-static*.deb"))
    subprocess.run(["dpkg-deb", "--extract", package, folder / "tree"], check=True)
    return next(path for path in (folder / "tree").rglob("bin/busybox") if path.is_file())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test on every kind of sandbox, but for what ``NOT_DONE`` says that a kind does not do."""
    if "kind" in metafunc.fixturenames:
        kinds = [kind for kind in KINDS if metafunc.function.__name__ not in NOT_DONE[kind]]
        marks = {kind: [] if kind == "fake" else [pytest.mark.docker] for kind in kinds}
        metafunc.parametrize("kind", [pytest.param(kind, marks=marks[kind]) for kind in kinds])


@pytest.fixture
def image(kind: str, request: pytest.FixtureRequest) -> str:
    match kind:
        case "docker-bash":
            return str(request.getfixturevalue("debian"))
        case "docker-busybox":
            return str(request.getfixturevalue("busybox"))
    return "fake"


@pytest.fixture
async def box(kind: str, image: str) -> AsyncIterator[Box]:
    if kind == "fake":
        async with opened(FakeSandboxProvider(), kind, image) as made:
            yield made
        return
    async with open_engine() as engine:
        provider: SandboxProvider = DockerSandboxProvider(engine, images=ImageStore(engine.api))
        async with opened(provider, kind, image) as made:
            yield made
