"""The fake runs real processes on this machine; it must never reach one that is not its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from harness.errors import SandboxError
from harness.ports import SandboxRequest
from harness.schema.task import EnvironmentSpec
from harness.testing.fake_sandbox import FakeSandbox, FakeSandboxProvider

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@asynccontextmanager
async def opened() -> AsyncIterator[FakeSandbox]:
    provider = FakeSandboxProvider()
    request = SandboxRequest(environment=EnvironmentSpec())
    async with provider.open(request, await provider.prepare(request.environment)) as sandbox:
        yield sandbox


@pytest.fixture
def bystander(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A process of somebody else's that writes down every signal it gets."""
    heard = tmp_path / "heard"
    script = (
        "import pathlib, signal, time\n"
        f"heard = pathlib.Path({str(heard)!r})\n"
        "note = lambda number, frame: heard.open('a').write(f'{number}\\n')\n"
        "[signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]\n"
        "heard.touch()\n"
        "while True: time.sleep(1)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], start_new_session=True) as process:
        while not heard.exists():
            os.sched_yield()
        yield process, heard
        process.send_signal(signal.SIGKILL)


async def test_timeouts_and_the_end_touch_nothing_else(bystander: tuple[subprocess.Popen[bytes], Path]) -> None:
    process, heard = bystander
    async with opened() as sandbox:
        assert process.pid not in sandbox._own_tree()
        assert os.getpid() not in sandbox._own_tree()
        assert sandbox._started_by("nobody.0.", 0, 0.0) == set()
        assert sandbox._started_by("nobody.0.", 1, 0.0) == set()
        assert sandbox._started_by("nobody.0.", os.getpid(), 0.0) == set()
        await sandbox.exec("sleep 1 & setsid sleep 30 & sleep 30", timeout_s=0.3)
        session = await sandbox.open_session()
        await session.run("sleep 30", timeout_s=0.3)
        await sandbox.end_command("nobody.0.", 0, 0.0)
        sandbox.end_server(os.getpid(), os.getpid())
        sandbox.vanish()
    assert process.poll() is None
    assert heard.read_text() == ""


@pytest.mark.parametrize("command", ["kill -9 -1", "kill -KILL 1", "true; kill -s TERM 1", "kill 1", "kill -1"])
async def test_a_command_that_would_reach_the_machine_is_refused(command: str) -> None:
    async with opened() as sandbox:
        with pytest.raises(SandboxError, match="whole machine"):
            await sandbox.exec(command)
        session = await sandbox.open_session()
        with pytest.raises(SandboxError, match="whole machine"):
            await session.run(command)


async def test_paths_of_the_container_lead_into_the_private_folder() -> None:
    async with opened() as sandbox:
        await sandbox.write_file("/tests/test.sh", b"echo 1 > /logs/verifier/reward.txt\n", mode=0o755)
        said = await sandbox.exec("/tests/test.sh; cat /logs/verifier/reward.txt; echo at=/app/x not=a/app/x")
        assert said.output == "1\nat=/app/x not=a/app/x\n"
        assert await sandbox.read_file("/logs/verifier/reward.txt") == b"1\n"
        assert await sandbox.read_file("/tests/test.sh") == b"echo 1 > /logs/verifier/reward.txt\n"
        assert not await anyio.Path("/logs/verifier/reward.txt").exists()


async def test_what_cleared_its_environment_is_ended_with_the_sandbox() -> None:
    async with opened() as sandbox:
        with anyio.fail_after(30):
            said = await sandbox.exec("exec env -i sleep 1301", timeout_s=0.3)
            assert said.timed_out
            session = await sandbox.open_session()
            await session.run("exec env -i sleep 1302", timeout_s=0.3)
