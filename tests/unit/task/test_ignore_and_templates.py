from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import TaskError
from harness.task import ignored, new_task, resolve_env


def test_without_rules_nothing_is_ignored(tmp_path: Path) -> None:
    new_task(tmp_path / "t", "t")
    assert not ignored(tmp_path / "t" / "tests")("anything")


def test_rules_of_every_level_hold_and_deeper_ones_win(tmp_path: Path) -> None:
    folder = tmp_path / "t"
    new_task(folder, "t")
    tests = folder / "tests"
    (tests / "data").mkdir()
    (folder / ".harborignore").write_text("*.log\n/tests/only-here.txt\nbuild/\n")
    (tests / ".harborignore").write_text("# a comment\n!keep.log\nsecret.txt\n")
    (tests / "data" / ".harborignore").write_text("!secret.txt\n*.tmp\n")
    is_ignored = ignored(tests)
    verdicts = {
        "a.log": True,
        "keep.log": False,
        "data/keep.log": False,
        "data/other.log": True,
        "only-here.txt": True,
        "data/only-here.txt": False,
        "secret.txt": True,
        "data/secret.txt": False,
        "data/x.tmp": True,
        "x.tmp": False,
        "build/": True,
        "build/keep.log": True,
        "build": False,
        "test.sh": False,
    }
    assert {path: is_ignored(path) for path in verdicts} == verdicts


def test_rules_for_tests_do_not_hold_in_solution(tmp_path: Path) -> None:
    folder = tmp_path / "t"
    new_task(folder, "t")
    (folder / "tests" / ".harborignore").write_text("*\n")
    (folder / ".harborignore").write_text("tests/x\n")
    assert not ignored(folder / "solution")("solve.sh")
    assert not ignored(folder / "solution")("x")


def test_values_that_are_wholly_a_template_come_from_the_host() -> None:
    env = {
        "A": "${HOST_A}",
        "B": "${HOST_B:-b}",
        "C": "x${HOST_A}",
        "D": "${E:-}",
        "E": "$HOST_A",
        "F": "${X:-a}b}",
    }
    assert resolve_env(env, {"HOST_A": "1"}) == {
        "A": "1",
        "B": "b",
        "C": "x${HOST_A}",
        "D": "",
        "E": "$HOST_A",
        "F": "a}b",
    }


def test_a_default_stands_in_for_an_empty_variable_as_in_a_shell() -> None:
    assert resolve_env({"A": "${X:-d}", "B": "${X}"}, {"X": ""}) == {"A": "d", "B": ""}


def test_a_missing_variable_is_named_with_its_key() -> None:
    with pytest.raises(TaskError, match=r"verifier\.env\.KEY asks for the variable OPENAI_API_KEY"):
        resolve_env({"KEY": "${OPENAI_API_KEY}"}, {}, where="verifier.env")
