from __future__ import annotations

import json
from pathlib import Path

import git
import pytest

from harness import __version__, data, provenance


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the harness believe that its package lies in ``tmp_path``."""
    (tmp_path / "harness").mkdir()
    monkeypatch.setattr(data, "_PACKAGE", tmp_path / "harness")
    return tmp_path / "harness"


def _checkout(top: Path) -> git.Repo:
    repo = git.Repo.init(top)
    (top / "pyproject.toml").write_text("")
    repo.index.add(["pyproject.toml"])
    return repo


def test_a_checkout_tells_its_commit_and_whether_it_was_changed(package: Path) -> None:
    with _checkout(package.parent) as repo:
        sha = repo.index.commit("first").hexsha
        assert (provenance.provenance().commit, provenance.provenance().dirty) == (sha, False)
        assert provenance.version_line() == f"harness {__version__} ({sha[:12]})"
        (package.parent / "pyproject.toml").write_text("changed")
        assert provenance.provenance().dirty
        assert provenance.version_line().endswith(", changed)")


def test_a_checkout_without_a_commit_has_none(package: Path) -> None:
    _checkout(package.parent).close()
    assert provenance.provenance().commit is None
    assert provenance.version_line() == f"harness {__version__}"


def test_a_wheel_tells_the_commit_that_was_written_into_it(package: Path) -> None:
    place = package / "_data" / "provenance"
    place.mkdir(parents=True)
    (place / "commit.json").write_text(json.dumps({"commit": "c" * 40, "dirty": False}))
    assert provenance.version_line() == f"harness {__version__} ({'c' * 12})"


@pytest.mark.parametrize("text", [None, "", "{}", "[]", '"x"'])
def test_an_unmarked_or_damaged_wheel_has_no_commit(package: Path, text: str | None) -> None:
    if text is not None:
        place = package / "_data" / "provenance"
        place.mkdir(parents=True)
        (place / "commit.json").write_text(text)
    assert provenance.provenance().commit is None
