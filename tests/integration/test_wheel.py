"""The wheel carries what a run needs: tasks, image recipes, templates, scripts, and its commit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

TOP = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(TOP)],
        check=True,
        capture_output=True,
        timeout=240,
    )
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


def run(unpacked: Path, *arguments: str) -> str:
    environ = {**os.environ, "PYTHONPATH": str(unpacked)}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "harness", *arguments],
        capture_output=True,
        text=True,
        cwd=unpacked,
        env=environ,
        timeout=120,
        check=True,
    )
    return done.stdout


def test_the_version_names_the_commit_of_the_build(unpacked: Path) -> None:
    commit = subprocess.run(
        ["git", "-C", str(TOP), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert commit[:12] in run(unpacked, "--version")


def test_the_bundled_suite_and_players_are_found_without_a_checkout(unpacked: Path) -> None:
    plan = run(unpacked, "run", "demo", "-m", "scripted/careful", "-m", "scripted/hasty", "--dry-run")
    assert "6 trials" in plan


@pytest.mark.parametrize("folder", ["sandboxes", "reports/templates"])
def test_data_folders_are_whole(unpacked: Path, folder: str) -> None:
    def files(top: Path) -> set[str]:
        return {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file() and path.suffix != ".pyc"}

    assert files(TOP / folder) == files(unpacked / "harness" / "_data" / folder)


@pytest.mark.docker
def test_an_installed_harness_runs_a_task_and_writes_its_report(unpacked: Path, tmp_path: Path) -> None:
    run(unpacked, "tasks", "new", str(tmp_path / "task"))
    last = run(unpacked, "run", str(tmp_path / "task"), "-a", "oracle", "-o", str(tmp_path / "run"), "--json")
    assert json.loads(last.splitlines()[-1])["passed"] == 1
    assert (tmp_path / "run" / "report.html").is_file()
