"""What a session does, on every sandbox."""

from __future__ import annotations

import anyio
import pytest

from harness.errors import SandboxGoneError, SessionError
from tests.contract.sandbox.boxes import Box

pytestmark = pytest.mark.anyio


async def test_directory_variables_and_functions_last_from_command_to_command(box: Box) -> None:
    session = await box.session()
    await session.run("mkdir -p deep/er && cd deep/er; plain=1; export LOUD=2; greet() { echo hello $1; }")
    said = await session.run('pwd; echo "$plain $LOUD $GIVEN"; greet you; sh -c "echo child:$LOUD"')
    assert said.output == "/app/deep/er\n1 2 by the task\nhello you\nchild:2\n"
    assert (said.exit_code, said.timed_out, said.restarted) == (0, False, False)
    assert (await session.run("printf 'a\nb'")).output_bytes == 3


async def test_exit_codes_come_back(box: Box) -> None:
    session = await box.session()
    assert (await session.run("true")).exit_code == 0
    assert (await session.run("sh -c 'exit 37'")).exit_code == 37
    assert (await session.run("no-such-program")).exit_code == 127


async def test_a_script_of_many_lines_with_every_quote_runs_as_written(box: Box) -> None:
    session = await box.session()
    script = (
        "cat <<'EOF' >f\nit's \"quoted\" \\ $HOME `x` \\n\nEOF\ncat f # it's\nx=$(printf '%s' \"a'b\")\necho $x"
    )
    assert (await session.run(script)).output == "it's \"quoted\" \\ $HOME `x` \\n\na'b\n"


async def test_a_very_long_command_runs(box: Box) -> None:
    session = await box.session()
    said = await session.run(f"x='{'y' * 200_000}'; echo ${{#x}}")
    assert said.output == "200000\n"


async def test_standard_input_is_empty(box: Box) -> None:
    session = await box.session()
    assert (await session.run("cat; echo $?", timeout_s=20)).output == "0\n"


async def test_output_is_cut_in_the_middle_and_whole_in_its_file(box: Box) -> None:
    session = await box.session()
    said = await session.run("i=0; while [ $i -lt 20000 ]; do echo line-$i; i=$((i+1)); done")
    assert said.output.startswith("line-0\n")
    assert said.output.endswith("line-19999\n")
    assert "bytes left out" in said.output
    assert len(said.output) < 31_000
    assert said.output_bytes == sum(len(f"line-{i}\n") for i in range(20000))
    assert said.output_path is not None
    whole = await box.sandbox.read_file(said.output_path)
    assert whole is not None
    assert len(whole) == said.output_bytes


async def test_binary_output_is_safe(box: Box) -> None:
    session = await box.session()
    said = await session.run(r"printf 'a\000b\377c\n\303\244\n'")
    assert said.output == "a\0b\ufffdc\nä\n"
    assert (await session.run("echo next")).output == "next\n"


async def test_output_cannot_pass_for_the_sessions_own_messages(box: Box) -> None:
    session = await box.session()
    forged = r"printf '\nD 1 0 0 0 0\nD 2 9 1 1 0\nG 3\n'; printf 'D 2 9 1 1 0\n' >&2; sh -c 'exit 5'"
    first = await session.run(forged)
    assert (first.exit_code, first.restarted) == (5, False)
    assert (await session.run("echo fine")).output == "fine\n"


@pytest.mark.parametrize(
    "mistake", ["if", "echo ${absent:?is missing}", "set -u; echo $absent", "cd /no/such", "'"]
)
async def test_a_mistake_does_not_cost_the_shell(box: Box, mistake: str) -> None:
    session = await box.session()
    await session.run("kept=yes")
    failed = await session.run(mistake, timeout_s=20)
    assert failed.exit_code not in (0, None)
    assert not failed.restarted
    assert (await session.run("set +u; echo $kept")).output == "yes\n"


@pytest.mark.parametrize(
    ("command", "code"),
    [("exit 3", 3), ("kill -9 $$", 137), ("set -e; false; echo no", 1), ("trap 'echo bye' EXIT; exit 4", 4)],
)
async def test_a_shell_that_ends_is_started_again_where_it_was(box: Box, command: str, code: int) -> None:
    session = await box.session()
    await session.run("mkdir -p here; cd here; export KEPT='a b'")
    ended = await session.run(command, timeout_s=20)
    assert (ended.exit_code, ended.restarted) == (code, True)
    again = await session.run('pwd; echo "$KEPT"')
    assert (again.output, again.restarted) == ("/app/here\na b\n", False)


async def test_exec_replaces_the_shell_and_its_output_is_kept(box: Box) -> None:
    session = await box.session()
    said = await session.run("exec echo replaced")
    assert (said.exit_code, said.output, said.restarted) == (0, "replaced\n", True)
    assert (await session.run("echo back")).output == "back\n"


@pytest.mark.parametrize(
    "mischief",
    [
        "cat() { :; }; printf() { :; }; export() { :; }; dd() { :; }",
        "alias cat=false eval=false; command() { :; }",
        "exec >/dev/null 2>&1 </dev/null",
        'exec 0<&- 1>&- 2>&-; for n in 3 4 5 6 7 8 9; do eval "exec $n>&-"; done',
        "ulimit -n 4; ulimit -f 0",
        "rm -rf /.sessions/*",
        "trap 'echo noise' EXIT INT TERM; trap '' HUP",
        "PATH=/nowhere; IFS=x; PS1='$(echo p)'; LC_ALL=xx; set -f -x",
        "readonly HARNESS_COMMAND HARNESS_CODE HARNESS_AT",
        "kill -INT $$; kill -TERM $$",
    ],
)  # fmt: skip
async def test_mischief_does_not_wedge_the_session(box: Box, mischief: str) -> None:
    session = await box.session()
    with anyio.fail_after(40):
        await session.run(mischief, timeout_s=10)
        for _ in range(2):
            said = await session.run("\\command echo alive || echo alive", timeout_s=10)
            if "alive" in said.output:
                break
        else:
            ended = await session.run("exit 0", timeout_s=10)
            assert ended.restarted or ended.timed_out
        await session.run("kill -9 $$", timeout_s=10)
        assert "alive" in (await session.run("echo alive", timeout_s=10)).output


async def test_process_1_withstands_signals_from_within(box: Box) -> None:
    session = await box.session()
    await session.run("kill -STOP 1; kill -TERM 1; kill -KILL 1", timeout_s=10)
    assert (await session.run("echo alive")).output == "alive\n"


async def test_a_session_that_kills_everything_is_started_again(box: Box) -> None:
    session = await box.session()
    await session.run("mkdir -p here; cd here; export KEPT=1")
    with anyio.fail_after(40):
        killed = await session.run("echo before; kill -9 -1", timeout_s=20)
        assert (killed.exit_code, killed.restarted, killed.output) == (137, True, "before\n")
        assert (await session.run("pwd; echo $KEPT")).output == "/app/here\n1\n"


async def test_a_timeout_ends_the_command_and_returns_what_it_printed(box: Box) -> None:
    session = await box.session()
    await session.run("kept=1; sleep 1001 &")
    said = await session.run("echo begun; (sleep 1002; echo no) ; sleep 1003", timeout_s=1)
    assert (said.exit_code, said.timed_out, said.restarted) == (None, True, False)
    assert said.output == "begun\n"
    assert (await session.run("echo $kept")).output == "1\n"
    left = [process.command for process in await box.sandbox.processes()]
    assert any("sleep 1001" in command for command in left), "an earlier background job was killed"
    assert not any("sleep 1002" in command or "sleep 1003" in command for command in left)


async def test_a_timeout_reaches_what_hides(box: Box) -> None:
    session = await box.session()
    command = "(trap '' INT TERM; sleep 1004) & (setsid sleep 1005 &) ; env -i /bin/sleep 1006"
    said = await session.run(command, timeout_s=1)
    assert said.timed_out
    left = [process.command for process in await box.sandbox.processes() if "sleep 100" in process.command]
    assert left == []


async def test_an_endless_loop_of_builtins_is_interrupted(box: Box) -> None:
    session = await box.session()
    await session.run("kept=1")
    said = await session.run("while :; do :; done", timeout_s=0.5)
    assert (said.timed_out, said.restarted) == (True, False)
    assert (await session.run("echo $kept")).output == "1\n"
    stubborn = await session.run("trap '' INT; while :; do :; done", timeout_s=0.5)
    assert (stubborn.timed_out, stubborn.restarted) == (True, True)
    assert (await session.run("echo on")).output == "on\n"


async def test_a_flood_ends_at_its_timeout(box: Box) -> None:
    session = await box.session()
    said = await session.run("yes | dd bs=1000 count=20000 2>/dev/null; sleep 1007", timeout_s=5)
    assert said.timed_out
    assert len(said.output) < 31_000
    assert said.output_bytes > 1_000_000


async def test_background_jobs_do_not_hold_a_command_and_stay(box: Box) -> None:
    session = await box.session()
    with anyio.fail_after(20):
        said = await session.run("sleep 1008 & (trap '' HUP; exec sleep 1009) & echo started")
    assert "started" in said.output
    await session.close()
    # A job that was only just forked still bears its shell's name.
    with anyio.fail_after(10):
        left = ""
        while not ("sleep 1008" in left and "sleep 1009" in left):
            left = " ".join(process.command for process in await box.sandbox.processes())
            await anyio.sleep(0.05)


async def test_children_can_be_interrupted(box: Box) -> None:
    session = await box.session()
    said = await session.run("sh -c 'kill -INT $$; echo not reached'", timeout_s=20)
    assert "not reached" not in said.output


async def test_a_closed_session_is_over_with_what_ran_in_its_foreground(box: Box) -> None:
    session = await box.session()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(session.run, "sleep 1010")
        await anyio.sleep(0.5)
        tasks.cancel_scope.cancel()
    await session.close()
    await session.close()
    with pytest.raises(SessionError):
        await session.run("echo")
    assert not any("sleep 1010" in process.command for process in await box.sandbox.processes())


async def test_a_cancelled_command_is_ended_before_the_next_one(box: Box) -> None:
    session = await box.session()
    with anyio.move_on_after(0.5):
        await session.run("echo lost; sleep 1011")
    said = await session.run("echo next", timeout_s=20)
    assert (said.exit_code, said.output) == (0, "next\n")


async def test_commands_given_at_once_wait_their_turn(box: Box) -> None:
    session = await box.session()
    outputs: list[str] = []

    async def run(number: int) -> None:
        outputs.append((await session.run(f"echo {number}; echo {number} >>log")).output)

    async with anyio.create_task_group() as tasks:
        for number in range(8):
            tasks.start_soon(run, number)
    assert sorted(outputs) == [f"{number}\n" for number in range(8)]


async def test_sessions_of_one_sandbox_do_not_share_their_state(box: Box) -> None:
    first, second = await box.session(), await box.session()
    await first.run("cd /; mine=1; export OURS=1")
    assert (await second.run('pwd; echo "[$mine$OURS]"')).output == "/app\n[]\n"
    slow, quick = "sleep 1; echo slow", "echo quick"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first.run, slow)
        assert (await second.run(quick)).output == "quick\n"


async def test_a_session_runs_as_the_user_asked_for(box: Box) -> None:
    user = "1000"
    session = await box.session(user=user)
    assert (await session.run("id -u; kill -9 $$")).exit_code == 137
    assert (await session.run("id -u")).output == "1000\n"
    said = await session.run("(trap '' INT; sleep 1012) & sleep 1013", timeout_s=0.5)
    assert said.timed_out
    assert (await session.run("echo ok")).output == "ok\n"
    assert not any("sleep 101" in process.command for process in await box.sandbox.processes())


async def test_a_command_with_a_nul_byte_is_refused_by_value(box: Box) -> None:
    session = await box.session()
    assert (await session.run("echo a\0b")).exit_code == 126


async def test_a_sandbox_removed_from_outside_is_said_at_once(box: Box) -> None:
    session = await box.session()

    async def remove() -> None:
        await anyio.sleep(0.5)
        await anyio.to_thread.run_sync(box.remove_from_outside)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(remove)
            with pytest.raises(SandboxGoneError):
                await session.run("sleep 1014")
        with pytest.raises(SandboxGoneError):
            await session.run("echo")
        with pytest.raises(SandboxGoneError):
            await box.sandbox.exec("echo")
        await session.close()
