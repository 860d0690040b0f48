"""The scripted players' scripts, carried out call by call, score as they are meant to."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.testing.players import bundled_players
from tests.integration.demo.driver import TASKS, Trial, play

pytestmark = pytest.mark.docker

Start = Callable[[str], Trial]
HASTY_PASSES = {"stock-service"}
CASES = [("careful", task, "1") for task in TASKS] + [
    ("hasty", task, "1" if task in HASTY_PASSES else "0") for task in TASKS
]


@pytest.mark.parametrize(("player", "task", "reward"), CASES)
def test_a_player_s_work_scores_as_intended(start: Start, player: str, task: str, reward: str) -> None:
    trial = start(task)
    script = next(one for one in bundled_players() if one.name == player).script_for(trial.task.instruction)
    assert script is not None
    done = play(trial, script)
    edits = [(call, outcome) for call, outcome in done if call.tool == "edit"]
    assert not [(call.arguments, outcome.output) for call, outcome in edits if outcome.exit_code]
    verdict = trial.verify()
    told = "\n".join(f"$ {call.arguments}\n{outcome.output}" for call, outcome in done)
    assert verdict.reward == reward, f"{verdict.output}\n{told}"
