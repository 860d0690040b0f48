"""What ``harness results`` prints for a person."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic_run import Ending, Shape, build_run

from harness.cli.results import results_command

LONG = "a-suite-with-a-name/and-a-task-whose-name-is-longer-than-most-and-still-matters-to-its-reader"


def test_results_keep_names_whole_and_one_line_a_trial_without_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = Shape(tasks=(LONG,), candidates=(), events=False)
    build_run(tmp_path / "run", lambda t, c, r: Ending(how="infra" if c == "nop" else "pass"), shape)
    results_command(tmp_path / "run", as_json=False)
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines if line.startswith(LONG)]
    assert [row[:4] for row in rows if "·" not in row] == [
        [LONG, "oracle", "1", "passed"],
        [LONG, "nop", "1", "infra"],
    ]


def test_results_say_below_the_table_why_a_trial_has_no_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shape = Shape(tasks=(LONG,), candidates=(), events=False)
    build_run(tmp_path / "run", lambda t, c, r: Ending(how="infra" if c == "nop" else "pass"), shape)
    results_command(tmp_path / "run", as_json=False)
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"{LONG} · nop · repeat 1: ")
