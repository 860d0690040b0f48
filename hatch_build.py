"""Bake the commit into the wheel, so that an installed ``harness --version`` can name it."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CommitHook(BuildHookInterface):  # type: ignore[type-arg]
    """Writes ``provenance/commit.json`` among the wheel's data; a tree that is no checkout has none."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the file to a wheel; an editable install reads its checkout instead."""
        sha = self._git("rev-parse", "HEAD")
        if version == "editable" or sha is None:
            return
        marks = {"commit": sha, "dirty": bool(self._git("status", "--porcelain", "--untracked-files=no"))}
        place = Path(tempfile.mkdtemp()) / "commit.json"
        place.write_text(json.dumps(marks), encoding="utf-8")
        build_data["force_include"][str(place)] = "harness/_data/provenance/commit.json"

    def _git(self, *arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", self.root, *arguments], capture_output=True, text=True, check=True, timeout=30
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()
