"""The virtual environment of a checkout: made once, refreshed when asked for, never taken half-made for done."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TOP = Path(__file__).parents[3]

BACKEND = """
import os, zipfile
from pathlib import Path

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    if Path("wait").exists():
        Path("waiting").touch()
        open("wait").read()  # a named pipe: waits until somebody writes
    name = "small-1.0-py3-none-any.whl"
    info = "small-1.0.dist-info"
    files = {
        "small.py": Path("value.txt").read_text(),
        f"{info}/METADATA": "Metadata-Version: 2.1\\nName: small\\nVersion: 1.0\\nProvides-Extra: dev\\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\\nGenerator: own\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(Path(wheel_directory, name), "w") as wheel:
        for path, text in files.items():
            wheel.writestr(path, text)
    return name
"""
PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "small"
version = "1.0"
[project.optional-dependencies]
dev = []
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small project with our set-up, whose own package builds without anything from the network."""
    shutil.copytree(TOP / ".ci", tmp_path / ".ci")
    (tmp_path / "harness/doctor").mkdir(parents=True)
    shutil.copy(TOP / "harness/doctor/apt-install.sh", tmp_path / "harness/doctor")
    shutil.copy(TOP / "Makefile", tmp_path)
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "backend.py").write_text(BACKEND)
    (tmp_path / "value.txt").write_text("value = 1")
    return tmp_path


def make(checkout: Path, target: str = "venv", **variables: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHON": sys.executable, **variables}
    for name in ("MAKEFLAGS", "MAKELEVEL", "VIRTUAL_ENV", "PYTHONPATH"):
        environ.pop(name, None)
    return subprocess.run(
        ["make", target], cwd=checkout, env=environ, capture_output=True, text=True, timeout=200, check=False
    )


def value(checkout: Path) -> str:
    command = [checkout / ".venv/bin/python", "-c", "import small; print(small.value)"]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd="/").stdout.strip()


def test_it_is_made_once_and_refreshed_when_the_project_changes(checkout: Path) -> None:
    first = make(checkout)
    assert first.returncode == 0, first.stderr
    assert "Making the virtual environment" in first.stderr
    assert value(checkout) == "1"

    again = make(checkout)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")

    (checkout / "value.txt").write_text("value = 2")
    with (checkout / "pyproject.toml").open("a") as project:
        project.write("\n[tool.other]\n")
    refreshed = make(checkout)
    assert refreshed.returncode == 0, refreshed.stderr
    assert "Making the virtual environment" not in refreshed.stderr
    assert value(checkout) == "2"


def test_what_tests_need_is_added_once_and_kept(checkout: Path) -> None:
    assert make(checkout).returncode == 0
    assert "Installing Python packages" in make(checkout, "venv-dev").stderr
    assert make(checkout, "venv-dev").stderr == ""
    assert make(checkout).stderr == ""


def test_one_that_was_killed_half_way_is_made_anew(checkout: Path) -> None:
    os.mkfifo(checkout / "wait")
    environ = {**os.environ, "PYTHON": sys.executable}
    process = subprocess.Popen(
        ["make", "venv"], cwd=checkout, env=environ, stderr=subprocess.DEVNULL, start_new_session=True
    )
    while not (checkout / "waiting").exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (checkout / ".venv/.ready").exists()

    (checkout / "wait").unlink()
    done = make(checkout)
    assert done.returncode == 0, done.stderr
    assert "Making the virtual environment" in done.stderr
    assert value(checkout) == "1"


@pytest.mark.full
def test_a_checkout_that_was_moved_gets_a_new_one(checkout: Path, tmp_path: Path) -> None:
    assert make(checkout).returncode == 0
    moved = tmp_path.with_name(f"{tmp_path.name}-moved")
    checkout.rename(moved)
    try:
        assert make(moved).returncode == 0
        assert str(moved) in (moved / ".venv/bin/pip").read_text()
    finally:
        moved.rename(checkout)


def test_somebody_elses_environment_is_not_removed(checkout: Path) -> None:
    (checkout / ".venv").mkdir()
    (checkout / ".venv/precious").write_text("kept")
    refused = make(checkout)
    assert refused.returncode == 2
    assert "did not make" in refused.stderr
    assert (checkout / ".venv/precious").read_text() == "kept"


def test_commands_that_are_found_but_do_not_run_are_passed_over(checkout: Path, tmp_path: Path) -> None:
    shims = tmp_path / "shims"
    shims.mkdir()
    for name in ("python3.13", "python3.12"):
        (shims / name).write_text("#!/bin/sh\necho 'version not installed' >&2\nexit 127\n")
        (shims / name).chmod(0o755)
    (shims / "python3.11").symlink_to(Path(sys.executable).resolve())
    done = make(checkout, PYTHON="", PATH=f"{shims}:{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    assert value(checkout) == "1"


def test_a_python_that_is_too_old_is_named_with_what_to_do(checkout: Path, tmp_path: Path) -> None:
    old = tmp_path / "old-python"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.1" && exit 0\nexit 1\n')
    old.chmod(0o755)
    refused = make(checkout, PYTHON=str(old))
    assert refused.returncode == 2
    assert "Python 3.11 or newer is needed" in refused.stderr
    assert "Python 3.9.1" in refused.stderr


def test_make_alone_says_what_can_be_made(checkout: Path) -> None:
    listed = make(checkout, "help")
    assert listed.returncode == 0
    assert all(f"make {target} " in listed.stdout for target in ("demo", "test", "lint", "doctor"))
