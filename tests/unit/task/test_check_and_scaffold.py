from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.errors import TaskError
from harness.task import check_task, new_task, read_task


@pytest.fixture
def task(tmp_path: Path) -> Path:
    new_task(tmp_path / "fresh", "fresh")
    return tmp_path / "fresh"


def _messages(folder: Path, severity: str) -> list[str]:
    return [finding.message for finding in check_task(folder) if finding.severity == severity]


def test_a_new_task_has_nothing_wrong(task: Path) -> None:
    assert check_task(task) == []
    assert read_task(task).name == "fresh"


@pytest.mark.parametrize(("solved", "reward"), [(True, "1\n"), (False, "0\n")])
def test_the_solution_of_a_new_task_passes_its_tests_and_nothing_else_does(
    task: Path, tmp_path: Path, solved: bool, reward: str
) -> None:
    """Run its own scripts, with the container's folders moved under a temporary one."""
    app, logs = tmp_path / "app", tmp_path / "logs"
    app.mkdir()
    (app / "numbers.txt").write_bytes((task / "environment" / "numbers.txt").read_bytes())

    def run(script: str) -> None:
        text = (task / script).read_text().replace("/app", str(app)).replace("/logs", str(logs))
        subprocess.run(["bash", "-c", text], check=True, cwd=app, capture_output=True)

    if solved:
        run("solution/solve.sh")
    run("tests/test.sh")
    assert (logs / "verifier" / "reward.txt").read_text() == reward


def test_a_name_with_an_organisation_is_written_down(tmp_path: Path) -> None:
    new_task(tmp_path / "x", "org/my-task")
    assert read_task(tmp_path / "x").name == "org/my-task"


def test_nothing_is_overwritten(task: Path) -> None:
    (task / "instruction.md").write_text("mine")
    with pytest.raises(TaskError, match="already there"):
        new_task(task, "fresh")
    assert (task / "instruction.md").read_text() == "mine"


def test_a_folder_that_cannot_be_read_is_an_error_with_the_rest_still_checked(task: Path) -> None:
    (task / "task.toml").write_text("[agent]\ntimeout_sec = 'x'\n[verifier]\ntimeout_sec = 'y'\n")
    (task / "solution" / "solve.sh").write_bytes(b"#!/bin/bash\nls\r\n")
    errors = _messages(task, "error")
    assert any("task.toml:2" in text for text in errors)
    assert any("task.toml:4" in text for text in errors)
    assert any("solution/solve.sh:2: the line ends in CR LF" in text for text in errors)


def test_carriage_returns_are_an_error_only_where_a_shell_of_ours_meets_them(task: Path) -> None:
    (task / "environment" / "Dockerfile").write_bytes(b"FROM debian:12\r\nWORKDIR /app\r\n")
    (task / "environment" / "broken.sh").write_bytes(b"#!/bin/sh\r\nls\r\n")
    assert _messages(task, "error") == []
    found = [text for text in _messages(task, "warning") if "CR LF" in text]
    assert len(found) == 1
    assert "environment/broken.sh:1" in found[0]


def test_tests_that_never_write_a_reward_are_an_error(task: Path) -> None:
    (task / "tests" / "test.sh").write_text("#!/bin/bash\nexit 0\n")
    assert any("no reward would be found" in text for text in _messages(task, "error"))
    (task / "tests" / "write.py").write_text("open('/logs/verifier/reward.json', 'w')")
    assert _messages(task, "error") == []


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: (t / "solution" / "solve.sh").unlink(), "solution/solve.sh is missing"),
        (lambda t: (t / "tests" / "test.sh").chmod(0o644), "tests/test.sh is not executable"),
        (lambda t: (t / "tests" / "test.sh").write_text("echo 1 > reward.txt\n"), "tests/test.sh:1: no #! line"),
        (lambda t: (t / "task.toml").write_text(""), "agent.timeout_sec is missing"),
        (lambda t: (t / "task.toml").write_text(""), "results depend on the machine's load"),
        (lambda t: (t / "task.toml").write_text("[agent]\ntimeout = 1\n"), "unknown key agent.timeout"),
        (
            lambda t: (t / "task.toml").write_text("[environment]\ngpus = 1\n"),
            "refuse to run the task: it needs 1 GPU",
        ),
        (lambda t: (t / "instruction.md").write_text("Make test.sh pass."), "names the hidden test file test.sh"),
        (lambda t: (t / "instruction.md").write_text("See /tests/x."), "names /tests/"),
        (lambda t: (t / "environment" / "Dockerfile").write_text("FROM debian\n"), "image debian names no version"),
        (
            lambda t: (t / "environment" / "copy").write_bytes((t / "solution" / "solve.sh").read_bytes()),
            "environment/copy is the same as solution/solve.sh",
        ),
    ],
)
def test_what_is_doubtful_is_a_warning(task: Path, spoil, message: str) -> None:  # type: ignore[no-untyped-def]
    spoil(task)
    assert any(message in text for text in _messages(task, "warning")), check_task(task)


def test_images_with_a_version_or_from_a_stage_are_fine(task: Path) -> None:
    (task / "environment" / "Dockerfile").write_text(
        "ARG V=1\nFROM --platform=linux/amd64 localhost:5000/debian:12 AS base\nFROM base\n"
        f"FROM x@sha256:{'0' * 64}\nFROM scratch\nFROM py:$V\n"
    )
    assert check_task(task) == []
