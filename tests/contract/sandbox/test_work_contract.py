"""The patch of the work, on every sandbox: applied to the original it gives what the agent left."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.contract.sandbox.boxes import Box

pytestmark = pytest.mark.anyio


def _applied(patch: Path, folder: Path) -> Path:
    folder.mkdir()
    subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
    subprocess.run(["git", "apply", "--binary", patch], cwd=folder, check=True)
    return folder


async def test_added_files_are_in_the_patch(box: Box, tmp_path: Path) -> None:
    await box.sandbox.exec("mkdir -p src; printf 'one\\ntwo\\n' >src/a.txt; printf '\\000\\001' >'src/b c.bin'")
    work = await box.sandbox.collect_work(tmp_path / "work.patch")
    tree = _applied(tmp_path / "work.patch", tmp_path / "tree")
    assert (tree / "src" / "a.txt").read_text() == "one\ntwo\n"
    assert (tree / "src" / "b c.bin").read_bytes() == b"\0\1"
    assert (work.root, work.files_changed, work.insertions, work.deletions) == ("/app", 2, 2, 0)
    assert not work.truncated
    assert {(change.path, change.change) for change in work.changes} >= {("/app/src/a.txt", "added")}


async def test_no_work_is_an_empty_patch(box: Box, tmp_path: Path) -> None:
    work = await box.sandbox.collect_work(tmp_path / "work.patch")
    assert (work.files_changed, work.patch_bytes) == (0, 0)
    assert (tmp_path / "work.patch").read_bytes() == b""


async def test_line_ends_and_attributes_of_the_work_change_nothing(box: Box, tmp_path: Path) -> None:
    await box.sandbox.exec(
        "printf '* text eol=lf\\n*.txt diff=evil filter=evil\\n' >.gitattributes; printf 'a\\r\\n' >w.txt"
    )
    await box.sandbox.collect_work(tmp_path / "work.patch")
    assert b"+a\r\n" in (tmp_path / "work.patch").read_bytes()


async def test_a_link_in_the_work_is_in_the_patch_as_a_link(box: Box, tmp_path: Path) -> None:
    await box.sandbox.exec("ln -s /etc/passwd out")
    await box.sandbox.collect_work(tmp_path / "work.patch")
    assert "new file mode 120000" in (tmp_path / "work.patch").read_text()


async def test_a_file_made_executable_is_in_the_patch(box: Box, tmp_path: Path) -> None:
    await box.sandbox.exec("echo x >run; chmod 755 run")
    await box.sandbox.collect_work(tmp_path / "work.patch")
    assert "new file mode 100755" in (tmp_path / "work.patch").read_text()
