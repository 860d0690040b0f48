"""What cannot work is refused in a clear sentence, with exit code 2, before anything is started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]
DEMO = str(TOP / "tasks" / "demo")


def harness(*arguments: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command without any provider's key and with an engine that nobody may reach."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_BASE_URL"))}
    unreachable = {"DOCKER_HOST": "unix:///nonexistent/docker.sock", "PYTHONPATH": str(TOP)}
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**kept, **unreachable, **environ},
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", DEMO], "no model and no agent is named"),
        (["run", DEMO, "-m", "openai/gpt-5.2-codex"], "OPENAI_API_KEY"),
        (["run", DEMO, "-m", "opnai/gpt-5"], "Did you mean openai"),
        (["run", DEMO, "-m", "gpt-5"], "gpt-5"),
        (["run", DEMO, "-a", "orcale"], "Did you mean oracle?"),
        (["run", DEMO, "-a", "loop"], "needs a model"),
        (["run", DEMO, "-m", "scripted/carefull"], "Did you mean careful?"),
        (["run", DEMO, "-m", "scripted/careful", "-m", "scripted/careful"], "named twice"),
        (["run", "no-such-folder", "-a", "oracle"], "no-such-folder"),
        (["run", DEMO, "-m", "compatible/x,base_url=http://127.0.0.1:9/v1", "--max-cost", "1"], "price is unknown"),
        (["run", DEMO, "-m", "scripted/careful", "--prompt", "none.md"], "none.md"),
        (["run", DEMO, "-a", "oracle", "--rerun", "everything"], "--rerun"),
        (["resume", "no-such-run"], "plan.json"),
        (["results", "no-such-run"], "plan.json"),
        (["report", "no-such-run"], "plan.json"),
        (["run", DEMO, "-a", "nop"], "No Docker Engine listens"),
    ],
    ids=lambda value: " ".join(value[-2:]) if isinstance(value, list) else None,
)
def test_a_wrong_command_says_what_is_wrong(arguments: list[str], said: str, tmp_path: Path) -> None:
    done = harness(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_model_at_its_provider_is_refused_with_near_names_and_a_way_on(tmp_path: Path) -> None:
    done = harness("run", DEMO, "-m", "openai/gpt-5.2-codx", cwd=tmp_path, OPENAI_API_KEY="k")
    assert done.returncode == 2
    assert "no price" in done.stderr
    assert "price=unknown" in done.stderr


def test_a_typing_error_in_a_task_file_is_named_with_its_line(tmp_path: Path) -> None:
    task = tmp_path / "task"
    harness("tasks", "new", str(task), cwd=tmp_path)
    text = (task / "task.toml").read_text()
    line = text[: text.index("timeout_sec")].count("\n") + 1
    (task / "task.toml").write_text(text.replace("timeout_sec", "timeout_secs", 1))
    shown = harness("run", str(task), "-a", "nop", "--dry-run", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert f"task.toml:{line}" in shown.stderr
    assert "timeout_sec?" in shown.stderr
    (task / "task.toml").write_text(text.replace("timeout_sec", "timeout_sec == ", 1))
    refused = harness("run", str(task), "-a", "nop", cwd=tmp_path)
    assert refused.returncode == 2
    assert f"task.toml:{line}" in refused.stderr


def test_a_run_folder_inside_a_task_is_refused_before_it_changes_the_task(tmp_path: Path) -> None:
    harness("tasks", "new", str(tmp_path / "task"), cwd=tmp_path)
    done = harness("run", "task", "-a", "nop", "-o", "task/run", cwd=tmp_path)
    assert done.returncode == 2
    assert "task/run lies in the folder of the task" in done.stderr
    assert not (tmp_path / "task" / "run").exists()


def test_the_dry_run_prints_the_plan_and_starts_nothing(tmp_path: Path) -> None:
    done = harness("run", DEMO, "-m", "scripted/careful", "-n", "2", "--controls", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "12 trials" in done.stdout
    assert "scripted player" in done.stdout
    assert list(tmp_path.iterdir()) == []
