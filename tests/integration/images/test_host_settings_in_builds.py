"""The host's authorities and index reach a build, and leave no trace in the image's environment.

An index with a certificate of a private authority listens on the engine's bridge, as a company's mirror would.
"""

from __future__ import annotations

import io
import ssl
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import docker
import pytest
import trustme

from harness.errors import ImageError
from harness.sandbox.host_trust import BUNDLE_PATH, HostSettings, discover_host_settings
from tests.integration.images.image_workshop import Workshop

pytestmark = [pytest.mark.docker, pytest.mark.anyio]

PACKAGE = "harness_trust_probe"
WHEEL = f"{PACKAGE}-1.0-py3-none-any.whl"


def _wheel() -> bytes:
    buffer = io.BytesIO()
    folder = f"{PACKAGE}-1.0.dist-info"
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(f"{PACKAGE}.py", "answer = 42\n")
        archive.writestr(f"{folder}/METADATA", f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 1.0\n")
        archive.writestr(f"{folder}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{folder}/RECORD", "")
    return buffer.getvalue()


class _Index(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = _wheel() if self.path.endswith(".whl") else f'<a href="/files/{WHEEL}">{WHEEL}</a>'.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream" if self.path.endswith(".whl") else "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        del args


def _gateway(engine: docker.APIClient, image: str) -> str:
    """Return the address at which a container reaches this host: not every engine tells it of its bridge."""
    container = engine.create_container(image, command=["cat", "/proc/net/route"])["Id"]
    try:
        engine.start(container)
        engine.wait(container)
        routes = [line.split() for line in engine.logs(container).decode().splitlines()]
    finally:
        engine.remove_container(container, force=True)
    (default,) = (route[2] for route in routes if route[1] == "00000000")
    return ".".join(str(byte) for byte in reversed(bytes.fromhex(default)))


@pytest.fixture(scope="module")
def company(
    engine: docker.APIClient, debian: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, str]]:
    """The environment of a host in a company: its authority and its index."""
    gateway = _gateway(engine, debian)
    authority = trustme.CA(organization_name="A company")
    bundle = tmp_path_factory.mktemp("company") / "company.pem"
    authority.cert_pem.write_to_path(bundle)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(gateway).configure_cert(context)
    server = ThreadingHTTPServer((gateway, 0), _Index)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {"SSL_CERT_FILE": str(bundle), "PIP_INDEX_URL": f"https://{gateway}:{server.server_port}/simple"}
    server.shutdown()
    server.server_close()


@pytest.fixture
def host(company: dict[str, str], tmp_path: Path) -> HostSettings:
    return discover_host_settings(environ=company, root=tmp_path)


@pytest.fixture(autouse=True)
def _remove_trust_images(engine: docker.APIClient, workshop: Workshop) -> Iterator[None]:
    before = {image["Id"] for image in engine.images("harness-trust/files")}
    yield
    workshop.close()
    for image in engine.images("harness-trust/files"):
        if image["Id"] not in before:
            engine.remove_image(image["Id"], force=True)


DOWNLOAD = f"pip download --no-cache-dir --no-deps --disable-pip-version-check -d /tmp {PACKAGE}"


async def test_without_the_hosts_settings_the_download_fails(
    workshop: Workshop, python: str, company: dict[str, str]
) -> None:
    index = company["PIP_INDEX_URL"]
    task = workshop.task(
        f"FROM {python}\nRUN : {workshop.marker}\nRUN {DOWNLOAD} --retries 0 --index-url {index}\n"
    )
    with pytest.raises(ImageError) as caught:
        await workshop.store().prepare(task)
    assert "CERTIFICATE_VERIFY_FAILED" in caught.value.detail


async def test_the_authority_and_the_index_reach_run_and_stay_out_of_the_image(
    workshop: Workshop, python: str, host: HostSettings, run: Callable[[str, str], str]
) -> None:
    task = workshop.task(f"FROM {python}\nCOPY marker /\nRUN {DOWNLOAD}\nRUN cp -r /tmp /kept\n")
    prepared = workshop.keep_track(await workshop.store(host=host).prepare(task))
    assert prepared.facts.trust.certificates == 1
    assert prepared.facts.trust.index_settings == ("PIP_INDEX_URL",)
    assert host.index["PIP_INDEX_URL"] not in prepared.facts.model_dump_json()
    assert WHEEL in run(prepared.facts.tag, "ls /kept")
    environment = " ".join(workshop.engine.inspect_image(prepared.facts.tag)["Config"]["Env"])
    assert "PIP_" not in environment
    assert "SSL_CERT_FILE" not in environment


async def test_a_base_with_another_user_is_reached_too(workshop: Workshop, python: str, host: HostSettings) -> None:
    plain = workshop.store()
    base = workshop.keep_track(await plain.prepare(workshop.task(f"FROM {python}\nCOPY marker /\nUSER 65534\n")))
    task = workshop.task(f"FROM {base.facts.tag}\nRUN id -u | grep -qx 65534 && {DOWNLOAD}\n")
    prepared = workshop.keep_track(await workshop.store(host=host).prepare(task))
    assert workshop.engine.inspect_image(prepared.facts.tag)["Config"]["User"] == "65534"


async def test_every_stage_is_reached_and_scratch_is_left_empty(
    workshop: Workshop, python: str, host: HostSettings
) -> None:
    task = workshop.task(
        f"FROM {python} AS one\nFROM one AS two\nCOPY marker /\nRUN {DOWNLOAD}\n"
        f"FROM scratch\nCOPY --from=two /tmp/{WHEEL} /\n"
    )
    prepared = workshop.keep_track(await workshop.store(host=host).prepare(task))
    assert len(workshop.engine.inspect_image(prepared.facts.tag)["RootFS"]["Layers"]) == 1


async def test_the_systems_own_store_trusts_the_authority_and_keeps_the_public_ones(
    workshop: Workshop, python: str, host: HostSettings, run: Callable[[str, str], str]
) -> None:
    store = "/etc/ssl/certs/ca-certificates.crt"
    task = workshop.task(f"FROM {python}\nCOPY marker /\n")
    prepared = workshop.keep_track(await workshop.store(host=host).prepare(task))
    before = int(run(python, f"grep -c BEGIN {store}"))
    assert int(run(prepared.facts.tag, f"grep -c BEGIN {store}")) == before + 1
    assert int(run(prepared.facts.tag, f"grep -c BEGIN {BUNDLE_PATH}")) > 100


async def test_the_context_is_copied_without_anything_of_ours(
    workshop: Workshop, python: str, host: HostSettings, run: Callable[[str, str], str]
) -> None:
    task = workshop.task(f"FROM {python}\nCOPY . /app\n")
    prepared = workshop.keep_track(await workshop.store(host=host).prepare(task))
    assert run(prepared.facts.tag, "ls -A /app") == "Dockerfile\nmarker\n"
    assert run(prepared.facts.tag, "cat /app/Dockerfile") == f"FROM {python}\nCOPY . /app\n"
