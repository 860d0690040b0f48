"""The patch repository: exact, and deaf to the user's settings."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.sandbox.docker.work import _below, _Change, _changes
from harness.sandbox.patches import PatchRepository


@pytest.fixture
def repository(tmp_path: Path) -> PatchRepository:
    folder = tmp_path / "repository"
    folder.mkdir()
    return PatchRepository(folder)


def test_a_patch_turns_one_tree_into_the_other(repository: PatchRepository, tmp_path: Path) -> None:
    before = {"keep/a": b"1\n2\n3\n", "gone": b"x\n", "bin": b"\0\1"}
    after = {"keep/a": b"1\n2!\n3\n", "bin": b"\0\2", "new file\n": b"y"}
    patch = tmp_path / "work.patch"
    counts = repository.write(
        {path: repository.add(data, mode="100644") for path, data in before.items()},
        {path: repository.add(data, mode="100755") for path, data in after.items()},
        patch,
    )
    tree = tmp_path / "tree"
    for path, data in before.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(data)
    subprocess.run(["git", "init", "--quiet"], cwd=tree, check=True)
    subprocess.run(["git", "apply", "--binary", patch], cwd=tree, check=True)
    left = {path.relative_to(tree).as_posix(): path.read_bytes() for path in tree.rglob("*") if path.is_file()}
    assert {path: data for path, data in left.items() if not path.startswith(".git/")} == after
    assert (counts.files, counts.insertions, counts.deletions) == (4, 2, 2)
    assert counts.patch_bytes == patch.stat().st_size


def test_the_users_git_settings_count_for_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config"
    config.write_text("[diff]\n\tnoprefix = true\n\texternal = touch ran\n[core]\n\tautocrlf = true\n")
    for name, value in {
        "GIT_CONFIG_GLOBAL": str(config),
        "GIT_EXTERNAL_DIFF": f"touch {tmp_path}/ran",
        "GIT_DIR": str(tmp_path / "elsewhere"),
        "GIT_WORK_TREE": str(tmp_path),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "diff.mnemonicPrefix",
        "GIT_CONFIG_VALUE_0": "true",
        "HOME": str(tmp_path),
    }.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "repository"
    folder.mkdir()
    repository = PatchRepository(folder)
    patch = tmp_path / "work.patch"
    files = {".gitattributes": repository.add(b"* text=auto eol=crlf\n", mode="100644")}
    repository.write({}, {**files, "w.txt": repository.add(b"a\r\n", mode="100644")}, patch)
    assert b"diff --git a/w.txt b/w.txt" in patch.read_bytes()
    assert b"+a\r\n" in patch.read_bytes()
    assert not (tmp_path / "ran").exists()


def test_folders_that_are_listed_for_their_contents_are_no_changes() -> None:
    raw = [("/app", 0), ("/app/src", 0), ("/app/src/a", 0), ("/app/src-b", 1), ("/.sessions/1/in", 1), ("/old", 2)]
    assert [(change.path, change.kind) for change in _changes(raw)] == [
        ("/app/src-b", "added"),
        ("/app/src/a", "modified"),
        ("/old", "deleted"),
    ]


def test_caches_and_what_is_elsewhere_stay_out_of_the_patch() -> None:
    paths = ["/app/a", "/app/.git/index", "/app/.git/HEAD", "/app/x/node_modules/y", "/application/b", "/etc/c"]
    wanted, skipped = _below("/app", [_Change(path=path, kind="added") for path in paths])
    assert [change.path for change in wanted] == ["/app/a"]
    assert skipped == [".git (2 changed paths)", "x/node_modules (1 changed path)"]


def test_with_the_whole_file_system_as_workdir_the_systems_own_churn_stays_out() -> None:
    paths = ["/srv/a", "/tmp/x", "/var/lib/dpkg/status", "/tests/t", "/logs/agent/l", "/etc/hosts.new"]
    wanted, _ = _below("/", [_Change(path=path, kind="added") for path in paths])
    assert [change.path for change in wanted] == ["/srv/a", "/etc/hosts.new"]
