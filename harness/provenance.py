"""Which harness this is: version, commit and whether it was changed, from the checkout or from the wheel."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass

from harness import __version__
from harness.data import checkout, data_folder
from harness.schema.plan import Provenance


@dataclass(frozen=True, kw_only=True)
class _Commit:
    sha: str
    dirty: bool


def provenance() -> Provenance:
    """Return version, commit, and what it runs on. ``commit`` is ``None`` where nothing tells it."""
    commit = _from_checkout() or _from_wheel()
    return Provenance(
        version=__version__,
        commit=None if commit is None else commit.sha,
        dirty=commit is not None and commit.dirty,
        python=platform.python_version(),
        platform=platform.platform(),
    )


def version_line() -> str:
    """Return what ``harness --version`` prints: ``harness 0.1.0 (1a2b3c4d5e6f, changed)``."""
    this = provenance()
    if this.commit is None:
        return f"harness {this.version}"
    return f"harness {this.version} ({this.commit[:12]}{', changed' if this.dirty else ''})"


def _from_checkout() -> _Commit | None:
    top = checkout()
    if top is None or not (top / ".git").exists():
        return None
    try:
        import git
    except ImportError:  # no git program on this machine
        return None
    try:
        with git.Repo(top) as repo:
            sha = repo.head.commit.hexsha
            try:
                return _Commit(sha=sha, dirty=repo.is_dirty(untracked_files=False))
            except git.GitError:  # git refuses to look: a checkout of somebody else
                return _Commit(sha=sha, dirty=True)
    except (git.GitError, ValueError, OSError):  # no commit yet, or a damaged repository
        return None


def _from_wheel() -> _Commit | None:
    """Read what the build wrote into the wheel."""
    try:
        marks = json.loads((data_folder("provenance") / "commit.json").read_text(encoding="utf-8"))
        return _Commit(sha=str(marks["commit"]), dirty=bool(marks["dirty"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
