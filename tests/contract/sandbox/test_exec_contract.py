"""What a one-shot command does, on every sandbox, and how the sandbox looks from within."""

from __future__ import annotations

import anyio
import pytest

from tests.contract.sandbox.boxes import Box

pytestmark = pytest.mark.anyio


async def test_a_command_has_its_directory_environment_and_exit_code(box: Box) -> None:
    said = await box.sandbox.exec('pwd; echo "$GIVEN $MORE"; echo oops >&2; exit 4', env={"MORE": "x y"})
    assert said.exit_code == 4
    assert said.output == "/app\nby the task x y\noops\n"
    assert (await box.sandbox.exec("pwd", workdir="/logs/agent")).output == "/logs/agent\n"


async def test_output_is_bounded_while_it_arrives(box: Box) -> None:
    with anyio.fail_after(60):
        said = await box.sandbox.exec("echo first; cat /dev/zero", timeout_s=2, output_limit=1000)
    assert (said.exit_code, said.timed_out) == (None, True)
    assert said.output.startswith("first\n")
    assert len(said.output) < 1100
    assert said.output_bytes > 100_000


async def test_a_timeout_kills_the_whole_tree_and_its_daemons(box: Box) -> None:
    command = "echo begun; (setsid sleep 1101 >/dev/null 2>&1 &); (trap '' INT; sleep 1102) & sleep 1103"
    with anyio.fail_after(60):
        said = await box.sandbox.exec(command, timeout_s=1)
    assert (said.exit_code, said.timed_out, said.output) == (None, True, "begun\n")
    assert not any("sleep 110" in process.command for process in await box.sandbox.processes())


async def test_a_timeout_reaches_a_command_that_clears_its_environment(box: Box) -> None:
    with anyio.fail_after(60):
        said = await box.sandbox.exec("trap '' INT; exec env -i sleep 1109", timeout_s=1)
    assert said.timed_out
    assert not any("sleep 1109" in process.command for process in await box.sandbox.processes())


async def test_exit_codes_of_killed_commands_are_the_shells(box: Box) -> None:
    assert (await box.sandbox.exec("kill -TERM $$")).exit_code == 143
    said = await box.sandbox.exec("sh -c 'exit 9'")
    assert (said.exit_code, said.output) == (9, "")


async def test_a_command_of_a_plain_user_is_ended_at_its_timeout(box: Box) -> None:
    with anyio.fail_after(60):
        said = await box.sandbox.exec("id -u; (setsid sleep 1104 &); sleep 1105", user="1000", timeout_s=1)
    assert (said.timed_out, said.output) == (True, "1000\n")
    assert not any("sleep 110" in process.command for process in await box.sandbox.processes())


async def test_a_service_left_behind_does_not_hold_the_command(box: Box) -> None:
    with anyio.fail_after(20):
        said = await box.sandbox.exec("sleep 1106 & echo started")
    assert (said.exit_code, said.output) == (0, "started\n")
    assert any("sleep 1106" in process.command for process in await box.sandbox.processes())


async def test_a_cancelled_command_is_ended(box: Box) -> None:
    with anyio.move_on_after(1):
        await box.sandbox.exec("sleep 1107")
    assert not any("sleep 1107" in process.command for process in await box.sandbox.processes())


async def test_many_commands_at_once_get_their_own_output(box: Box) -> None:
    outputs: dict[int, str] = {}

    async def run(number: int) -> None:
        outputs[number] = (await box.sandbox.exec(f"echo {number}")).output

    async with anyio.create_task_group() as tasks:
        for number in range(12):
            tasks.start_soon(run, number)
    assert outputs == {number: f"{number}\n" for number in range(12)}


async def test_the_log_folders_are_there_for_everybody(box: Box) -> None:
    said = await box.sandbox.exec(
        "for d in agent verifier artifacts; do echo x >/logs/$d/f && cat /logs/$d/f; done"
    )
    assert said.output == "x\nx\nx\n"


async def test_orphans_are_reaped(box: Box) -> None:
    await box.sandbox.exec("for i in 1 2 3 4 5; do (sh -c 'sleep 0.2 & exit' &); done; sleep 1")
    said = await box.sandbox.exec('grep -l "^State:.Z" /proc/[0-9]*/status 2>/dev/null | wc -l')
    assert said.output.strip() == "0"


async def test_the_harnesss_own_processes_are_not_listed(box: Box) -> None:
    session = await box.session()
    await session.run("sleep 1108 &")
    listed = [process.command for process in await box.sandbox.processes()]
    assert len(listed) == 1
    assert "sleep 1108" in listed[0]


async def test_facts_tell_that_it_runs(box: Box) -> None:
    facts = await box.sandbox.facts()
    assert (facts.running, facts.oom_killed, facts.exit_code) == (True, False, None)


async def test_nothing_inside_tells_what_the_sandbox_is_for(box: Box) -> None:
    said = await box.sandbox.exec("hostname; env; cat /etc/hosts /proc/self/mountinfo /proc/1/environ; ls /")
    assert "t-4711" not in said.output
    assert "contract" not in said.output


async def test_where_the_working_directory_was_removed_commands_and_shells_still_start(box: Box) -> None:
    await box.sandbox.exec("rm -rf /app")
    said = await box.sandbox.exec("echo still here")
    assert (said.exit_code, said.output) == (0, "still here\n")
    session = await box.session()
    assert (await session.run("echo so am I")).output == "so am I\n"
