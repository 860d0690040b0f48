"""Containers of a real engine: how they are made, limited, and always removed."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from harness.errors import DaemonError, SandboxError
from harness.ports import PreparedImage, SandboxRequest
from harness.sandbox.docker.engine import Engine, open_engine
from harness.sandbox.docker.images import ImageStore
from harness.sandbox.docker.provider import DockerSandboxProvider
from harness.schema.task import EnvironmentSpec, NetworkPolicy, Resources

pytestmark = [pytest.mark.docker, pytest.mark.anyio]

_CLOSED = NetworkPolicy(mode="none")


def _request(image: PreparedImage, **changes: object) -> SandboxRequest:
    environment = EnvironmentSpec(docker_image=image.facts.tag, workdir="/work/here")
    plain = SandboxRequest(environment=environment, network=_CLOSED, labels={"run": secrets.token_hex(4)})
    return replace(plain, **changes)  # type: ignore[arg-type]


def _count(engine: Engine, request: SandboxRequest) -> int:
    label = f"harness.run={request.labels['run']}"
    return len(engine.api.containers(all=True, filters={"label": label}))


async def test_a_container_is_gone_after_its_block_whatever_ended_it(
    provider: DockerSandboxProvider, prepared: PreparedImage, engine: Engine
) -> None:
    request = _request(prepared)
    seen = 0
    with suppress(ZeroDivisionError):
        async with provider.open(request, prepared) as sandbox:
            await sandbox.exec("trap '' TERM; sleep 1201 &")
            seen = _count(engine, request)
            raise ZeroDivisionError
    assert seen == 1
    assert _count(engine, request) == 0


@pytest.mark.parametrize("after_s", [0.0, 0.02, 0.1, 0.3, 1.5])
async def test_a_cancelled_start_leaves_nothing(
    provider: DockerSandboxProvider, prepared: PreparedImage, engine: Engine, after_s: float
) -> None:
    request = _request(prepared)
    with anyio.move_on_after(after_s):
        async with provider.open(request, prepared):
            await anyio.sleep_forever()
    assert _count(engine, request) == 0


async def test_a_container_that_cannot_start_is_said_and_leaves_nothing(
    provider: DockerSandboxProvider, debian: str, engine: Engine
) -> None:
    image = await _derived(engine, debian, ['ENTRYPOINT ["/no/such/program"]'])
    try:
        prepared = await provider.prepare(EnvironmentSpec(docker_image=image))
        request = _request(prepared)
        with pytest.raises(SandboxError, match="could not be started"):
            async with provider.open(request, prepared):
                pass
        assert _count(engine, request) == 0
    finally:
        engine.api.remove_image(image, force=True)


async def test_an_entrypoint_that_does_not_run_its_command_is_named(
    provider: DockerSandboxProvider, debian: str, engine: Engine
) -> None:
    image = await _derived(engine, debian, ['ENTRYPOINT ["sh", "-c", "sleep 0.3; exit 7"]'])
    try:
        prepared = await provider.prepare(EnvironmentSpec(docker_image=image))
        with pytest.raises(SandboxError, match="exit code 7") as caught:
            async with provider.open(_request(prepared), prepared):
                pass
        assert "ENTRYPOINT is sh -c 'sleep 0.3; exit 7'" in caught.value.hint
        assert not caught.value.retryable
    finally:
        engine.api.remove_image(image, force=True)


async def test_the_images_entrypoint_user_and_directory_stay_in_force(
    provider: DockerSandboxProvider, debian: str, engine: Engine
) -> None:
    entry = 'ENTRYPOINT ["sh", "-c", "echo by the entrypoint >/tmp/made; exec \\"$@\\"", "entry"]'
    image = await _derived(engine, debian, [entry, "USER 1000:1000", "WORKDIR /srv", "ENV FROM_IMAGE=1"])
    try:
        prepared = await provider.prepare(EnvironmentSpec(docker_image=image))
        request = _request(prepared, environment=EnvironmentSpec(docker_image=image))
        async with provider.open(request, prepared) as sandbox:
            assert sandbox.workdir == "/srv"
            said = await sandbox.exec(
                "cat /tmp/made; pwd; id -u; echo $FROM_IMAGE; echo x >/logs/agent/x && echo ok"
            )
            assert said.output == "by the entrypoint\n/srv\n1000\n1\nok\n"
            assert (await sandbox.exec("id -u", user="root")).output == "0\n"
            hung = await sandbox.exec("(setsid sleep 1202 &) ; sleep 1203", timeout_s=0.5)
            assert hung.timed_out
            assert not any("sleep 120" in process.command for process in await sandbox.processes())
    finally:
        engine.api.remove_image(image, force=True)


async def test_limits_reach_the_container(
    provider: DockerSandboxProvider, prepared: PreparedImage, engine: Engine
) -> None:
    environment = EnvironmentSpec(
        docker_image=prepared.facts.tag, resources=Resources(cpus=0.5, memory_mb=64), workdir="/work"
    )
    async with provider.open(_request(prepared, environment=environment), prepared) as sandbox:
        limits = engine.api.inspect_container(sandbox.container)["HostConfig"]
        assert limits["NanoCpus"] == 500_000_000
        assert limits["Memory"] == limits["MemorySwap"] == 64 * 1024 * 1024
        assert limits["PidsLimit"] == 4096
        assert limits["NetworkMode"] == "none"
        assert limits["Binds"] is None
        assert not limits["Privileged"]
        before = await sandbox.facts()
        await sandbox.exec("head -c 200m /dev/zero | tail -c 150m >/dev/null", timeout_s=30)
        after = await sandbox.facts()
    assert not before.oom_killed
    assert after.oom_killed
    assert after.running
    assert after.memory_peak_mb is None or after.memory_peak_mb >= before.memory_peak_mb  # type: ignore[operator]


async def test_an_allowlist_is_refused_before_anything_starts(
    provider: DockerSandboxProvider, prepared: PreparedImage, engine: Engine
) -> None:
    request = _request(prepared, network=NetworkPolicy(mode="allowlist", allowed_hosts=("example.org",)))
    with pytest.raises(SandboxError, match="hosts"):
        async with provider.open(request, prepared):
            pass
    assert _count(engine, request) == 0


class _Trust:
    def files(self) -> Mapping[str, bytes]:
        return {"/etc/host-trust/bundle.crt": b"a certificate\n"}

    def env(self) -> Mapping[str, str]:
        return {"SSL_CERT_FILE": "/etc/host-trust/bundle.crt", "GIVEN": "by the host"}


@pytest.mark.parametrize("mode", ["public", "none"])
async def test_the_hosts_trust_enters_open_containers_only(
    engine: Engine, prepared: PreparedImage, mode: str
) -> None:
    provider = DockerSandboxProvider(engine, images=ImageStore(engine.api), trust=_Trust())
    network = NetworkPolicy.model_validate({"mode": mode})
    request = _request(prepared, network=network, env={"GIVEN": "by the task"})
    async with provider.open(request, prepared) as sandbox:
        said = await sandbox.exec('cat "$SSL_CERT_FILE"; echo $GIVEN', output_limit=2000)
        assert ("a certificate" in said.output) == (mode == "public")
        assert said.output.endswith("by the task\n")


async def test_loose_files_of_a_named_image_are_in_the_workdir_and_are_not_the_agents_work(
    provider: DockerSandboxProvider, prepared: PreparedImage, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "given.txt").write_text("given\n")
    (tmp_path / "data" / "other.txt").write_text("other\n")
    environment = EnvironmentSpec(docker_image=prepared.facts.tag, context_dir=tmp_path / "data", workdir="/work")
    async with provider.open(_request(prepared, environment=environment), prepared) as sandbox:
        assert (await sandbox.exec("cat given.txt")).output == "given\n"
        untouched = await sandbox.collect_work(tmp_path / "none.patch")
        assert untouched.patch_bytes == 0
        assert untouched.changes == ()
        await sandbox.exec("echo more >>given.txt; rm other.txt")
        work = await sandbox.collect_work(tmp_path / "work.patch")
    assert (work.files_changed, work.insertions, work.deletions) == (2, 1, 1)
    assert [change.change for change in work.changes] == ["modified", "deleted"]


async def test_what_a_dead_process_left_is_reaped_and_what_a_living_one_has_is_not(
    provider: DockerSandboxProvider, prepared: PreparedImage, engine: Engine
) -> None:
    run = secrets.token_hex(4)
    script = (
        "import sys\n"
        "import docker\n"
        "from harness.sandbox.docker.owner import LABEL, Owner\n"
        "api = docker.from_env(version='auto').api\n"
        "labels = {LABEL: Owner.this_process().label, 'harness.run': sys.argv[2]}\n"
        "api.create_container(sys.argv[1], ['true'], labels=labels)\n"
    )
    command = [sys.executable, "-c", script, prepared.facts.tag, run]
    await anyio.to_thread.run_sync(lambda: subprocess.run(command, check=True))
    request = _request(prepared, labels={"run": run})
    async with provider.open(request, prepared) as sandbox:
        assert _count(engine, request) == 2
        assert await provider.reap({"run": "another"}) == 0
        assert await provider.reap({"run": run}) == 1
        assert (await sandbox.exec("echo alive")).output == "alive\n"
        assert await provider.reap({"run": run}) == 0


async def test_many_sandboxes_and_sessions_share_one_loop(
    provider: DockerSandboxProvider, prepared: PreparedImage, engine: Engine
) -> None:
    outputs: dict[int, str] = {}

    async def work(number: int) -> None:
        async with provider.open(_request(prepared), prepared) as sandbox:
            session = await sandbox.open_session()
            for step in range(10):
                await session.run(f"x{number}=$((x{number} + {step}))")
            outputs[number] = (await session.run(f"echo {number} $x{number}")).output

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(work, number)
    assert outputs == {number: f"{number} 45\n" for number in range(5)}


async def test_an_engine_that_is_away_is_said_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    with pytest.raises(DaemonError, match="DOCKER_HOST"):
        async with open_engine():
            pass


async def _derived(engine: Engine, base: str, changes: list[str]) -> str:
    created = engine.api.create_container(base, ["true"])["Id"]
    try:
        tag = f"harness-test/derived:{secrets.token_hex(6)}"
        repository, _, name = tag.partition(":")
        engine.api.commit(created, repository, name, changes=changes)
        return tag
    finally:
        engine.api.remove_container(created, force=True)
