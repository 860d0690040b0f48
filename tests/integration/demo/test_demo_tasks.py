"""Every demo task is sound: its oracle scores 1, doing nothing scores 0, and so does what only looks like work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.integration.demo.driver import TASKS, Trial

pytestmark = pytest.mark.docker

Start = Callable[[str], Trial]
CONTROLS = sorted((Path(__file__).parent / "controls").glob("*/*.sh"))
ATTACK = Path(__file__).parent / "controls" / "attack.sh"


def _param(control: Path) -> ParameterSet:
    """Name a control; of each task's, the first is always tried and the others only in the full suite."""
    first = control == min(path for path in CONTROLS if path.parent == control.parent)
    return pytest.param(
        control, id=f"{control.parent.name}/{control.stem}", marks=[] if first else [pytest.mark.full]
    )


@pytest.mark.parametrize("task", TASKS)
def test_the_oracle_scores_1(start: Start, task: str) -> None:
    trial = start(task)
    solved = trial.solve()
    assert solved.exit_code == 0, solved.output
    verdict = trial.verify()
    assert (verdict.reward, verdict.failed) == ("1", frozenset()), verdict.output


@pytest.mark.parametrize("task", TASKS)
def test_doing_nothing_scores_0(start: Start, task: str) -> None:
    verdict = start(task).verify()
    assert verdict.reward == "0"
    assert verdict.failed


@pytest.mark.parametrize("control", [_param(control) for control in CONTROLS])
def test_work_that_only_looks_right_scores_0(start: Start, control: Path) -> None:
    """``# fails: name`` lines of a control name the hidden tests that must catch it."""
    text = control.read_text(encoding="utf-8")
    trial = start(control.parent.name)
    trial.upload(trial.task.path / "solution", "/solution")
    done = trial.bash(text)
    assert done.exit_code == 0, done.output
    verdict = trial.verify()
    assert verdict.reward == "0"
    expected = {line.removeprefix("# fails: ") for line in text.splitlines() if line.startswith("# fails: ")}
    assert expected
    assert expected <= {name.partition("[")[0] for name in verdict.failed} | verdict.failed, verdict.output


@pytest.mark.parametrize("task", TASKS)
def test_planted_test_machinery_changes_nothing(start: Start, task: str) -> None:
    trial = start(task)
    done = trial.bash(ATTACK.read_text(encoding="utf-8"))
    assert done.exit_code == 0, done.output
    verdict = trial.verify()
    assert verdict.reward == "0"
    assert "planted" not in verdict.output
