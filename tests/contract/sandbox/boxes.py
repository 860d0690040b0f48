"""An open sandbox for a test, and what each kind is known not to do."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from harness.ports import Sandbox, SandboxProvider, SandboxRequest, Session
from harness.schema.task import EnvironmentSpec, NetworkPolicy
from harness.testing.fake_sandbox import FakeSandbox

KINDS = ("docker-bash", "docker-busybox", "fake")

_NO_USERS = "it runs everything as whoever runs the tests"
NOT_DONE: dict[str, dict[str, str]] = {
    "docker-bash": {},
    "docker-busybox": {},
    "fake": {
        "test_a_session_that_kills_everything_is_started_again": "kill -9 -1 would reach the whole machine",
        "test_process_1_withstands_signals_from_within": "process 1 is the machine's",
        "test_a_session_runs_as_the_user_asked_for": _NO_USERS,
        "test_a_command_of_a_plain_user_is_ended_at_its_timeout": _NO_USERS,
        "test_a_written_file_has_the_mode_and_owner_asked_for": _NO_USERS,
        "test_orphans_are_reaped": "it has no process 1 of its own",
        "test_a_link_in_the_work_is_in_the_patch_as_a_link": "its patch knows regular files only",
        "test_a_file_made_executable_is_in_the_patch": "its patch knows regular files only",
        "test_nothing_inside_tells_what_the_sandbox_is_for": "it has the machine's name and folders",
    },
}


@dataclass(frozen=True, kw_only=True)
class Box:
    """A sandbox of one kind, and what tests do to it from outside."""

    kind: str
    provider: SandboxProvider
    sandbox: Sandbox

    async def session(self, user: str | None = None) -> Session:
        return await self.sandbox.open_session(user=user)

    def remove_from_outside(self) -> None:
        if isinstance(self.sandbox, FakeSandbox):
            self.sandbox.vanish()
        else:
            subprocess.run(["docker", "rm", "-f", self.sandbox.container], capture_output=True, check=True)


@asynccontextmanager
async def opened(provider: SandboxProvider, kind: str, image: str) -> AsyncIterator[Box]:
    environment = EnvironmentSpec(docker_image=image, workdir="/app")
    request = SandboxRequest(
        environment=environment,
        env={"GIVEN": "by the task"},
        network=NetworkPolicy(mode="none"),
        labels={"run": "contract", "trial": "t-4711", "role": "main"},
    )
    prepared = await provider.prepare(environment)
    async with provider.open(request, prepared) as sandbox:
        yield Box(kind=kind, provider=provider, sandbox=sandbox)
