"""The main job on real containers, and what becomes of it when something goes wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import docker
import pytest

from tests.e2e.desk import TOP, Desk, Ran

pytestmark = pytest.mark.docker

SLOW_SOLUTION = "#!/bin/bash\nsleep 4\nls > /app/listing\necho 42 > /app/total.txt\n"


def wait_for(path: Path, kind: str, timeout_s: float = 120) -> None:
    """Wait until an attempt of the run has recorded an event of this kind."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if any(f'"kind":"{kind}"' in file.read_text() for file in path.glob("trials/*/*/events.jsonl")):
            return
        time.sleep(0.05)
    pytest.fail(f"no {kind} in {path}")


def only(ran: Ran) -> dict[str, object]:
    assert len(ran.rows) == 1
    return ran.rows[0]


def test_the_oracle_passes_the_nop_fails_and_nothing_is_left(
    desk: Desk, containers_of: Callable[[Path], list[str]]
) -> None:
    ran = desk.run(str(desk.task()), "-a", "oracle", "-a", "nop")
    assert ran.code == 0, ran.err
    assert ran.summary["verdict"] == 2
    assert {row["candidate"]: row["passed"] for row in ran.rows} == {"oracle": True, "nop": False}
    assert containers_of(ran.folder) == []
    assert (ran.folder / "report.html").is_file()


def test_the_same_command_again_does_nothing_and_ends_the_same(desk: Desk) -> None:
    task = str(desk.task())
    first = desk.run(task, "-a", "oracle")
    again = desk.run(task, "-a", "oracle")
    assert again.summary == first.summary
    assert again.rows == first.rows
    assert len(again.events("attempt_opened")) == 1


def test_a_dockerfile_that_does_not_build_is_infra_with_the_end_of_its_log_and_siblings_go_on(desk: Desk) -> None:
    desk.task("sound")
    desk.task("broken", dockerfile="FROM debian:bookworm-slim\nRUN echo about to fail && ls /no/such/place\n")
    ran = desk.run(str(desk.folder / "tasks"), "-a", "oracle")
    assert ran.code == 3, ran.err
    rows = {row["task"].rpartition("/")[2]: row for row in ran.rows}
    assert rows["sound"]["passed"] is True
    assert rows["broken"]["end_state"] == "infra"
    failed = ran.events("failed")[0]
    assert failed["phase"] == "image"
    assert "/no/such/place" in failed["error"]["detail"]


@pytest.mark.parametrize(
    ("test_sh", "error"),
    [
        ("#!/bin/sh\nexit 0\n", "RewardMissingError"),
        ("#!/bin/sh\n: > /logs/verifier/reward.txt\n", "RewardEmptyError"),
        ("#!/bin/sh\necho passed > /logs/verifier/reward.txt\n", "RewardInvalidError"),
        ("#!/bin/sh\necho nan > /logs/verifier/reward.txt\n", "RewardInvalidError"),
        ('#!/bin/sh\necho \'{"reward": "yes"}\' > /logs/verifier/reward.json\n', "RewardInvalidError"),
    ],
    ids=["missing", "empty", "text", "nan", "json with text"],
)
def test_a_reward_that_is_none_is_infra_by_name_and_never_a_failure(desk: Desk, test_sh: str, error: str) -> None:
    ran = desk.run(str(desk.task(test_sh=test_sh)), "-a", "nop")
    assert ran.code == 3
    row = only(ran)
    assert (row["end_state"], row["passed"], row["reward"]) == ("infra", None, None)
    assert ran.events("failed")[0]["error"]["type"] == error


def test_tests_that_write_no_reward_say_how_they_ended(desk: Desk) -> None:
    ran = desk.run(str(desk.task(test_sh="#!/bin/sh\necho begun\nno-such-tool --now\n")), "-a", "nop")
    error = only(ran)["error"]
    assert "exit code 127" in error
    assert "no-such-tool" in error
    assert "begun" in ran.events("failed")[0]["error"]["detail"]


def test_a_task_that_is_changed_during_the_run_gives_no_verdict(desk: Desk) -> None:
    task = desk.task(solve_sh="#!/bin/bash\nsleep 5\n")
    process = desk.start("run", str(task), "-a", "oracle", "-o", str(desk.run_dir), "--json")
    while not list(desk.run_dir.glob("trials/*/1/events.jsonl")):
        assert process.poll() is None
        time.sleep(0.1)
    test_sh = task / "tests" / "test.sh"
    test_sh.write_text(test_sh.read_text() + "# changed\n")
    row = only(desk.ran(process))
    assert (row["end_state"], row["passed"]) == ("infra", None)
    assert "was changed while the run went on" in row["error"]


def test_reward_json_counts_before_reward_txt_and_all_its_keys_are_kept(desk: Desk) -> None:
    test_sh = (
        "#!/bin/sh\necho 0 > /logs/verifier/reward.txt\n"
        'echo \'{"reward": 1, "speed": 0.5, "clean": true}\' > /logs/verifier/reward.json\nexit 7\n'
    )
    ran = desk.run(str(desk.task(test_sh=test_sh)), "-a", "nop")
    row = only(ran)
    assert (row["passed"], row["rewards"]) == (True, {"reward": 1.0, "speed": 0.5, "clean": 1.0})
    assert ran.events("verifier_ended")[0]["exit_code"] == 7


def test_an_agent_that_passes_its_time_is_verified_all_the_same(desk: Desk) -> None:
    solve = "#!/bin/bash\necho 42 > /app/total.txt\nsleep 600\n"
    ran = desk.run(str(desk.task(solve_sh=solve)), "-a", "oracle", "--max-time", "2")
    row = only(ran)
    assert (row["end_state"], row["passed"]) == ("limit", True), ran.err
    assert ran.events("limit_reached")[0]["limit"]["kind"] == "time_s"
    assert ran.code == 0


def test_a_service_that_the_agent_started_is_there_for_the_tests_and_in_the_record(desk: Desk) -> None:
    solve = "#!/bin/bash\nnohup sleep 4242 > /dev/null 2>&1 &\n"
    test_sh = (
        "#!/bin/bash\nfound=0\nfor f in /proc/[0-9]*/cmdline; do\n"
        '  [ "$(tr "\\0" " " < $f 2>/dev/null)" = "sleep 4242 " ] && found=1\ndone\n'
        "echo $found > /logs/verifier/reward.txt\n"
    )
    ran = desk.run(str(desk.task(solve_sh=solve, test_sh=test_sh)), "-a", "oracle")
    assert only(ran)["passed"] is True
    services = ran.events("work_collected")[0]["services"]
    assert any("sleep 4242" in service["command"] for service in services)


def test_hidden_tests_are_not_there_while_the_agent_works(desk: Desk) -> None:
    solve = "#!/bin/bash\n[ -e /tests ] && exit 0\necho 42 > /app/total.txt\n"
    ran = desk.run(str(desk.task(solve_sh=solve)), "-a", "oracle")
    assert only(ran)["passed"] is True


def test_a_reward_planted_by_the_agent_does_not_count(desk: Desk) -> None:
    solve = (
        "#!/bin/bash\necho 1 > /logs/verifier/reward.txt\necho '{\"reward\": 1}' > /logs/verifier/reward.json\n"
        "mkdir -p /tmp/x; echo 1 > /tmp/x/reward.txt\n"
    )
    ran = desk.run(str(desk.task(solve_sh=solve)), "-a", "oracle")
    assert only(ran)["passed"] is False


def test_a_container_that_is_killed_from_outside_costs_an_attempt_and_not_the_trial(
    desk: Desk, containers_of: Callable[[Path], list[str]]
) -> None:
    process = desk.start(
        "run", str(desk.task(solve_sh=SLOW_SOLUTION)), "-a", "oracle", "-o", str(desk.run_dir), "--json"
    )
    wait_for(desk.run_dir, "sandbox_started")
    client = docker.from_env()
    client.containers.get(containers_of(desk.run_dir)[0]).kill()
    client.close()
    ran = desk.ran(process)
    row = only(ran)
    assert (row["end_state"], row["passed"], row["attempts"]) == ("verdict", True, 2), ran.err
    assert containers_of(desk.run_dir) == []


def test_a_killed_harness_leaves_nothing_that_the_next_start_does_not_remove(
    desk: Desk, containers_of: Callable[[Path], list[str]]
) -> None:
    task = str(desk.task(solve_sh=SLOW_SOLUTION))
    process = desk.start("run", task, "-a", "oracle", "-a", "nop", "-o", str(desk.run_dir), "-j", "1")
    wait_for(desk.run_dir, "sandbox_started")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    left = containers_of(desk.run_dir)
    assert {entry["owner"] for entry in desk.ps() if entry["container"] in left} == {"gone"}
    ran = desk.run(task, "-a", "oracle", "-a", "nop")
    assert ran.code == 0, ran.err
    assert ran.summary["verdict"] == 2
    assert not set(left) & set(containers_of(desk.run_dir))
    assert containers_of(desk.run_dir) == []


def test_the_first_interrupt_lets_running_trials_finish_and_the_same_command_does_the_rest(desk: Desk) -> None:
    desk.task("a", solve_sh=SLOW_SOLUTION)
    desk.task("b", solve_sh=SLOW_SOLUTION)
    arguments = ["run", str(desk.folder / "tasks"), "-a", "oracle", "-o", str(desk.run_dir), "-j", "1", "--json"]
    process = desk.start(*arguments)
    wait_for(desk.run_dir, "sandbox_started")
    process.send_signal(signal.SIGINT)
    ran = desk.ran(process)
    assert ran.code == 130, ran.err
    assert (ran.summary["verdict"], ran.summary["missing"]) == (1, 1)
    assert f"harness resume {desk.run_dir}" in ran.err
    rest = desk.ran(desk.start("resume", str(desk.run_dir), "--json"))
    assert rest.code == 0, rest.err
    assert rest.summary["verdict"] == 2
    assert len(rest.events("attempt_opened")) == 2


def test_the_second_interrupt_stops_what_runs_and_nothing_is_left(
    desk: Desk, containers_of: Callable[[Path], list[str]]
) -> None:
    solve = "#!/bin/bash\nsleep 600\n"
    process = desk.start("run", str(desk.task(solve_sh=solve)), "-a", "oracle", "-o", str(desk.run_dir), "--json")
    wait_for(desk.run_dir, "sandbox_started")
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    ran = desk.ran(process, timeout_s=60)
    assert ran.code == 130, ran.err
    assert ran.summary["missing"] == 1
    assert containers_of(desk.run_dir) == []


def test_a_closed_terminal_stops_what_runs_and_nothing_is_left(
    desk: Desk, containers_of: Callable[[Path], list[str]]
) -> None:
    solve = "#!/bin/bash\nsleep 600\n"
    process = desk.start("run", str(desk.task(solve_sh=solve)), "-a", "oracle", "-o", str(desk.run_dir), "--json")
    wait_for(desk.run_dir, "sandbox_started")
    process.send_signal(signal.SIGHUP)
    ran = desk.ran(process, timeout_s=60)
    assert ran.code == 129, ran.err
    assert ran.summary["missing"] == 1
    assert containers_of(desk.run_dir) == []
    assert (desk.run_dir / "report.html").is_file()


def test_a_daemon_that_is_away_is_said_in_one_sentence(desk: Desk) -> None:
    ran = desk.run(str(desk.task()), "-a", "nop", DOCKER_HOST="unix:///nonexistent/docker.sock")
    assert ran.code == 2
    assert "Docker Engine" in ran.err
    assert "Traceback" not in ran.err


def test_a_full_disk_stops_the_run_in_a_sentence_and_it_goes_on_when_there_is_room(desk: Desk) -> None:
    disk = desk.folder / "disk"
    disk.mkdir()
    command = f"{sys.executable} -m harness run {desk.task()} -a oracle -a nop -n 3 -o {disk}/run --json"
    script = (
        f"mount -t tmpfs -o size=24k none {disk} || exit 99\n"
        f"{command} > {desk.folder}/full 2>&1; echo $? >> {desk.folder}/full\n"
        f"mount -o remount,size=4m {disk}\n"
        f"{command} > {desk.folder}/room 2>&1; echo $? >> {desk.folder}/room\n"
    )
    become_root = [] if os.geteuid() == 0 else ["-r"]
    subprocess.run(["unshare", "-m", *become_root, "sh", "-c", script], check=True, cwd=TOP, timeout=240)
    full, room = ((desk.folder / name).read_text() for name in ("full", "room"))
    assert "No space left" in full
    assert "Traceback" not in full
    assert full.splitlines()[-1] == "2"
    assert room.splitlines()[-1] == "0", room
    assert '"verdict": 6' in room


def test_artifacts_are_kept_files_as_files_and_folders_as_folders(desk: Desk) -> None:
    task = desk.task(
        solve_sh="#!/bin/bash\nmkdir -p /app/out/deep\necho a > /app/out/deep/a\necho one > /app/one.txt\n"
        "echo log > /logs/artifacts/log.txt\n"
    )
    toml = (task / "task.toml").read_text()
    kept = '["/app/out", "/app/one.txt", {source = "/app/one.txt", destination = "named/1"}, "/app/absent"]'
    (task / "task.toml").write_text(f"artifacts = {kept}\n{toml}")
    ran = desk.run(str(task), "-a", "oracle")
    assert only(ran)["end_state"] == "verdict", ran.err
    folder = next(ran.folder.glob("trials/*/1/artifacts"))
    files = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert files == {
        "app/out/deep/a": "a\n",
        "app/one.txt": "one\n",
        "named/1": "one\n",
        "logs/artifacts/log.txt": "log\n",
    }


def test_clean_removes_what_a_dead_run_left_and_nothing_of_a_living_one(
    desk: Desk, containers_of: Callable[[Path], list[str]]
) -> None:
    task = str(desk.task(solve_sh="#!/bin/bash\nsleep 600\n"))
    folders = [desk.folder / name for name in ("dead", "alive")]
    dead, alive = (desk.start("run", task, "-a", "oracle", "-o", str(folder)) for folder in folders)
    for folder in folders:
        wait_for(folder, "sandbox_started")
    os.killpg(dead.pid, signal.SIGKILL)
    dead.communicate()
    cleaned = desk.ran(desk.start("clean"))
    assert (cleaned.code, containers_of(folders[0]), len(containers_of(folders[1]))) == (0, [], 1), cleaned.err
    for _ in range(2):
        alive.send_signal(signal.SIGINT)
        time.sleep(0.5)
    assert alive.wait(timeout=60) == 130
    alive.communicate()
    assert containers_of(folders[1]) == []


def test_a_healthcheck_is_waited_for_and_one_that_never_passes_ends_the_attempt(desk: Desk) -> None:
    checks = {"ready": "[ -e /tmp/n3 ] || { touch /tmp/n$(ls /tmp/n* | wc -l); false; }", "never": "echo no; false"}
    for name, command in checks.items():
        toml = (desk.task(name) / "task.toml").read_text()
        table = f"\n[environment.healthcheck]\ncommand = '''{command}'''\ninterval_sec = 0.1\nretries = 6\n"
        (desk.folder / "tasks" / name / "task.toml").write_text(toml + table)
    ran = desk.run(str(desk.folder / "tasks"), "-a", "oracle")
    ends = {row["task"].rpartition("/")[2]: (row["end_state"], row["attempts"]) for row in ran.rows}
    assert ends == {"ready": ("verdict", 1), "never": ("infra", 1)}, ran.err
    failed = ran.events("failed")[0]
    assert (failed["phase"], failed["error"]["type"]) == ("healthcheck", "HealthcheckError")
    assert "6 times in a row" in failed["error"]["message"]
