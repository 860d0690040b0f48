"""What ``make demo`` runs, as a whole."""

from __future__ import annotations

import pytest

from tests.e2e.desk import TOP, Desk

pytestmark = [pytest.mark.docker, pytest.mark.full, pytest.mark.timeout(900)]

ARGUMENTS = ("-m", "scripted/careful", "-m", "scripted/hasty", "-n", "2", "--controls")


def test_the_demo_ends_with_the_intended_results_and_a_report(desk: Desk) -> None:
    ran = desk.ran(
        desk.start("run", str(TOP / "tasks" / "demo"), *ARGUMENTS, "-o", str(desk.run_dir)), timeout_s=850
    )
    assert ran.code == 0, ran.err
    assert "Pick scripted/careful (scripted player)" in ran.out
    assert str(desk.run_dir / "report.html") in ran.out
    solved = {name: sum(bool(row["passed"]) for row in ran.rows if row["candidate"] == name) for name in NAMES}
    assert solved == {"scripted/careful": 6, "scripted/hasty": 2, "oracle": 3, "nop": 0}
    assert {row["end_state"] for row in ran.rows} == {"verdict"}


NAMES = ("scripted/careful", "scripted/hasty", "oracle", "nop")
