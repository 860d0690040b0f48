"""Build contexts: which files, which digest, which tar."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

import pytest

from harness.errors import ImageError
from harness.sandbox.docker.build_context import REWRITTEN, BuildContext


@pytest.fixture
def context(tmp_path: Path) -> Path:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.txt").write_text("a")
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o755)
    (tmp_path / "link").symlink_to("data/a.txt")
    return tmp_path


def digest(folder: Path) -> str:
    return BuildContext(folder).digest({})


def test_the_digest_is_the_same_for_the_same_files_elsewhere(
    context: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(context, other, symlinks=True, dirs_exist_ok=True)
    (other / "data/a.txt").touch()
    assert digest(other) == digest(context)


def test_contents_modes_links_and_names_change_the_digest(context: Path) -> None:
    seen = [digest(context)]
    (context / "data/a.txt").write_text("b")
    seen.append(digest(context))
    (context / "run.sh").chmod(0o644)
    seen.append(digest(context))
    (context / "link").unlink()
    (context / "link").symlink_to("run.sh")
    seen.append(digest(context))
    (context / "data/a.txt").rename(context / "data/b.txt")
    seen.append(digest(context))
    (context / "empty").mkdir()
    seen.append(digest(context))
    assert len(set(seen)) == len(seen)


def test_what_is_ignored_is_neither_in_the_digest_nor_in_the_tar(context: Path) -> None:
    (context / ".dockerignore").write_text("# big things\n*.log\n!keep.log\ndata\n")
    before = digest(context)
    (context / "x.log").write_text("x")
    (context / "data/new").write_text("x")
    assert digest(context) == before
    (context / "keep.log").write_text("x")
    assert digest(context) != before
    with BuildContext(context).tar(None) as handle, tarfile.open(fileobj=handle) as tar:
        assert sorted(tar.getnames()) == [".dockerignore", "Dockerfile", "keep.log", "link", "run.sh"]


def test_contents_of_the_same_size_and_time_are_not_read_again(context: Path) -> None:
    known: dict[tuple[str, int, int], str] = {}
    first = BuildContext(context).digest(known)
    facts = (context / "data/a.txt").stat()
    (context / "data/a.txt").write_text("b")
    os.utime(context / "data/a.txt", ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert BuildContext(context).digest(known) == first
    assert BuildContext(context).digest({}) != first


def test_the_tar_keeps_modes_and_links_and_belongs_to_root(context: Path) -> None:
    with BuildContext(context).tar(None) as handle, tarfile.open(fileobj=handle) as tar:
        assert tar.getmember("run.sh").mode == 0o755
        assert tar.getmember("link").linkname == "data/a.txt"
        assert tar.getmember("link").issym()
        assert {member.uid for member in tar.getmembers()} == {0}
        assert tar.extractfile("data/a.txt").read() == b"a"  # type: ignore[union-attr]


def test_a_rewritten_dockerfile_stands_beside_the_original_and_is_ignored(context: Path) -> None:
    with BuildContext(context).tar("FROM other\n") as handle, tarfile.open(fileobj=handle) as tar:
        assert tar.extractfile("Dockerfile").read() == b"FROM scratch\n"  # type: ignore[union-attr]
        assert tar.extractfile(REWRITTEN).read() == b"FROM other\n"  # type: ignore[union-attr]
        assert tar.extractfile(".dockerignore").read().decode() == f".dockerignore\n{REWRITTEN}\n"  # type: ignore[union-attr]


def test_the_tasks_own_ignore_file_is_kept_and_added_to(context: Path) -> None:
    (context / ".dockerignore").write_text("data")
    with BuildContext(context).tar("FROM other\n") as handle, tarfile.open(fileobj=handle) as tar:
        assert tar.getnames().count(".dockerignore") == 1
        assert tar.extractfile(".dockerignore").read().decode() == f"data\n{REWRITTEN}\n"  # type: ignore[union-attr]


def test_a_pipe_in_the_context_is_refused_by_name(context: Path) -> None:
    os.mkfifo(context / "pipe")
    with pytest.raises(ImageError, match="pipe of the build context is neither"):
        BuildContext(context)


def test_modes_that_a_dockerfile_asks_for_are_set_in_the_tar(context: Path) -> None:
    (context / "data/deep").mkdir()
    (context / "data/deep/b.txt").write_text("b")
    modes = [("run.sh", 0o700), ("./data/", 0o750), ("data/*.txt", 0o640)]
    with BuildContext(context).tar(None, modes) as handle, tarfile.open(fileobj=handle) as tar:
        found = {member.name: member.mode for member in tar.getmembers() if not member.issym()}
    assert found["run.sh"] == 0o700
    assert found["data/deep/b.txt"] == 0o750
    assert found["data/a.txt"] == 0o640
    assert found["Dockerfile"] == 0o644
