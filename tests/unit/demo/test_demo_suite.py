"""The demo suite as data: its tasks are plain and pinned, its copies agree, its players know every task."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from harness.data import data_folder
from harness.task import check_task, read_task
from harness.testing.players import Player, bundled_players
from harness.tool.edit import Edit
from harness.tool.shell import Shell
from harness.tool.submit import Submit

SUITE = data_folder("tasks") / "demo"
FOLDERS = sorted(path.parent for path in SUITE.glob("*/task.toml"))
PLAYERS = {player.name: player for player in bundled_players()}
every_task = pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: path.name)
every_player = pytest.mark.parametrize(
    "player", [PLAYERS["careful"], PLAYERS["hasty"]], ids=lambda player: player.name
)


def test_the_suite_has_its_three_tasks() -> None:
    assert [folder.name for folder in FOLDERS] == ["migrate-parsimonious", "repair-tidelog", "stock-service"]


@every_task
def test_a_task_is_read_and_checked_without_a_remark(folder: Path) -> None:
    task = read_task(folder)
    assert task.warnings == ()
    assert check_task(folder) == []


@every_task
def test_a_task_needs_no_network_and_keeps_the_agent_from_root(folder: Path) -> None:
    task = read_task(folder)
    assert task.environment.network.mode == "none"
    assert task.agent.user == "dev"
    assert task.verifier.user == "root"
    assert task.agent.timeout_s == 600
    assert task.verifier.timeout_s == 120


@every_task
def test_a_task_says_what_it_is(folder: Path) -> None:
    task = read_task(folder)
    assert {"difficulty", "category", "tags", "expert_time_estimate_min", "harness"} <= set(task.metadata)
    assert task.description


@every_task
def test_an_instruction_does_not_name_the_hidden_tests(folder: Path) -> None:
    instruction = read_task(folder).instruction
    assert not re.search(r"test_hidden|(?<!\w)/tests|verifier|reward|solve\.sh|(?<!\w)/solution", instruction)


@every_task
def test_an_image_starts_from_the_one_base_and_pins_its_packages(folder: Path) -> None:
    dockerfile = (folder / "environment/Dockerfile").read_text(encoding="utf-8")
    assert dockerfile.startswith("FROM python:3.11-slim-bookworm\n")
    assert dockerfile.count("FROM ") == 1
    assert dockerfile.count("pip ") == dockerfile.count("--require-hashes")
    pins = [line for path in (folder / "environment").glob("*.txt") for line in path.read_text().splitlines()]
    assert pins
    assert not [line for line in pins if not re.fullmatch(r"[a-z]+==[\d.]+ --hash=sha256:[0-9a-f]{64}", line)]


@pytest.mark.parametrize("name", ["tests/test.sh", "environment/pytest.txt"])
def test_what_the_tasks_share_is_the_same_in_each(name: str) -> None:
    assert len({(folder / name).read_bytes() for folder in FOLDERS}) == 1


@every_task
def test_hidden_tests_know_the_digests_of_what_the_agent_is_given(folder: Path) -> None:
    tests = (folder / "tests/test_hidden.py").read_text(encoding="utf-8")
    given = {path for path in (folder / "environment").rglob("*") if path.is_file()}
    known = set(re.findall(r"\"([0-9a-f]{64})\"", tests))
    pinned = {
        line.rpartition(":")[2] for path in given if path.suffix == ".txt" for line in path.read_text().splitlines()
    }
    assert known
    assert known <= {hashlib.sha256(path.read_bytes()).hexdigest() for path in given} | pinned


@every_player
def test_a_player_has_one_script_for_each_task(player: Player) -> None:
    scripts = {}
    for folder in FOLDERS:
        instruction = read_task(folder).instruction
        assert len([script for script in player.scripts if script.fits(instruction)]) == 1
        script = player.script_for(instruction)
        assert script is not None
        scripts[folder.name] = script.name
    assert scripts == {folder.name: folder.name for folder in FOLDERS}


@every_player
def test_scripts_end_by_submitting_after_a_believable_number_of_turns(player: Player) -> None:
    for script in player.scripts:
        assert 5 <= len(script.turns) <= 12, script.name
        tools = [call.tool for turn in script.turns for call in turn.calls]
        assert tools.index("submit") == len(tools) - 1
        assert all(turn.say and turn.calls for turn in script.turns)


@every_player
def test_scripts_call_the_loop_s_tools_with_arguments_that_they_take(player: Player) -> None:
    schemas = {tool.spec.name: tool.spec.parameters for tool in (Shell, Edit, Submit)}
    for script in player.scripts:
        for call in (call for turn in script.turns for call in turn.calls):
            assert not isinstance(call.arguments, str)
            schema = schemas[call.tool]
            assert set(call.arguments) <= set(schema["properties"])
            assert set(schema["required"]) <= set(call.arguments)


def test_the_two_players_speak_different_protocols() -> None:
    assert (PLAYERS["careful"].api, PLAYERS["hasty"].api) == ("openai-responses", "anthropic-messages")


def test_the_careful_player_uses_both_tools_and_looks_at_what_came_back() -> None:
    for script in PLAYERS["careful"].scripts:
        assert {"shell", "edit"} <= {call.tool for turn in script.turns for call in turn.calls}
        assert [turn.expect for turn in script.turns if turn.expect]
