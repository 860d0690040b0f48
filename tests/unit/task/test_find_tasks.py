from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import TaskError
from harness.task import find_tasks, new_task


def _suite(top: Path, *names: str) -> Path:
    for name in names:
        new_task(top / name, Path(name).name)
    return top


def test_a_task_folder_is_found_as_itself(tmp_path: Path) -> None:
    _suite(tmp_path, "one")
    assert [task.name for task in find_tasks([tmp_path / "one"])] == ["one"]
    assert [task.name for task in find_tasks([tmp_path / "one" / "task.toml"])] == ["one"]


def test_a_folder_of_tasks_is_searched_and_sorted(tmp_path: Path) -> None:
    _suite(tmp_path, "zeta", "group/alpha", "group/deeper/mid")
    (tmp_path / "dataset.toml").write_text('[dataset]\nname = "x"\n')
    (tmp_path / "README.md").write_text("read me")
    _suite(tmp_path, ".hidden/secret")
    assert [task.name for task in find_tasks([tmp_path])] == ["alpha", "mid", "zeta"]


def test_a_task_named_twice_counts_once(tmp_path: Path) -> None:
    _suite(tmp_path, "one")
    (tmp_path / "link").symlink_to("one")
    assert len(find_tasks([tmp_path, tmp_path / "one", tmp_path / "link"])) == 1


def test_two_tasks_of_one_name_are_refused_with_both_paths(tmp_path: Path) -> None:
    _suite(tmp_path, "a/same", "b/same")
    with pytest.raises(TaskError, match="Two tasks are called 'same'") as caught:
        find_tasks([tmp_path])
    assert str(tmp_path / "a" / "same") in str(caught.value)
    assert str(tmp_path / "b" / "same") in str(caught.value)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ((), "it is empty"),
        (("notes.txt",), "task.toml is missing"),
        (("instruction.md",), "is no task: task.toml is missing"),
        (("task.yaml",), "Terminal-Bench 1"),
    ],
)
def test_a_folder_without_tasks_says_what_is_missing(tmp_path: Path, files: tuple[str, ...], message: str) -> None:
    for name in files:
        (tmp_path / name).write_text("x")
    with pytest.raises(TaskError, match=message):
        find_tasks([tmp_path])


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="nowhere does not exist"):
        find_tasks([tmp_path / "nowhere"])
    (tmp_path / "file").write_text("x")
    with pytest.raises(TaskError, match="is no folder"):
        find_tasks([tmp_path / "file"])


def test_a_suite_never_quietly_loses_a_broken_task(tmp_path: Path) -> None:
    _suite(tmp_path, "good", "bad", "worse")
    (tmp_path / "bad" / "task.toml").write_text("[agent]\ntimeout_sec = 'x'\n")
    (tmp_path / "worse" / "instruction.md").unlink()
    with pytest.raises(TaskError, match="2 tasks cannot be read") as caught:
        find_tasks([tmp_path])
    assert "bad: task.toml:2" in caught.value.detail
    assert "worse: instruction.md is missing" in caught.value.detail


def test_a_folder_that_looks_like_a_task_but_has_no_task_toml_is_not_skipped(tmp_path: Path) -> None:
    _suite(tmp_path, "good", "half")
    (tmp_path / "half" / "task.toml").unlink()
    with pytest.raises(TaskError, match=r"half is no task: task\.toml is missing"):
        find_tasks([tmp_path])
