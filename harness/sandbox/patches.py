"""Two sets of files as a git patch, made in a bare repository that nothing on the host or in the files can sway."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from git import Git, GitCommandError
from gitdb import IStream, LooseObjectDB

from harness.errors import TransferError

_DIFF = (
    "--full-index", "--no-renames", "--no-color", "--no-ext-diff", "--no-textconv",
    "--src-prefix=a/", "--dst-prefix=b/",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Blob:
    """A file's content by its id, and its git mode."""

    sha: str
    mode: str


@dataclass(frozen=True, kw_only=True)
class PatchCounts:
    """What a patch holds; binary files count as files only."""

    files: int
    insertions: int
    deletions: int
    patch_bytes: int


class PatchRepository:
    """A throw-away object store. Blocking; used from threads."""

    def __init__(self, folder: Path) -> None:
        self._git = Git(str(folder))
        self._git.update_environment(**_isolated(folder))
        for name in ("objects", "refs"):
            (folder / name).mkdir()
        (folder / "HEAD").write_text("ref: refs/heads/none\n")
        (folder / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = true\n")
        self._objects = LooseObjectDB(str(folder / "objects"))

    def add(self, data: bytes, *, mode: str) -> Blob:
        """Store one file's content."""
        stored = self._objects.store(IStream(b"blob", len(data), io.BytesIO(data)))
        return Blob(sha=stored.hexsha.decode(), mode=mode)

    def write(self, before: Mapping[str, Blob], after: Mapping[str, Blob], patch: Path) -> PatchCounts:
        """Write the patch that leads from one set of files to the other. Raises ``TransferError``."""
        try:
            return self._written(before, after, patch)
        except GitCommandError as error:
            raise TransferError(f"git could not write the work as a patch: {str(error.stderr).strip()}") from error

    def _written(self, before: Mapping[str, Blob], after: Mapping[str, Blob], patch: Path) -> PatchCounts:
        trees = [self._tree(before), self._tree(after)]
        with patch.open("wb") as target:
            self._git.execute(["git", "diff", "--binary", *_DIFF, *trees], output_stream=target)
        with tempfile.TemporaryFile() as numbers:
            self._git.execute(["git", "diff", "--numstat", "-z", *_DIFF, *trees], output_stream=numbers)
            numbers.seek(0)
            rows = [row.split(b"\t") for row in numbers.read().split(b"\0") if row]
        return PatchCounts(
            files=len(rows),
            insertions=sum(int(row[0]) for row in rows if row[0] != b"-"),
            deletions=sum(int(row[1]) for row in rows if row[1] != b"-"),
            patch_bytes=patch.stat().st_size,
        )

    def _tree(self, entries: Mapping[str, Blob]) -> str:
        lines = b"".join(
            f"{blob.mode} {blob.sha}\t".encode() + path.encode(errors="surrogateescape") + b"\0"
            for path, blob in entries.items()
        )
        self._git.execute(["git", "read-tree", "--empty"])
        with tempfile.TemporaryFile() as listing:
            listing.write(lines)
            listing.seek(0)
            self._git.execute(["git", "update-index", "-z", "--index-info"], istream=listing)
        return str(self._git.execute(["git", "write-tree"]))


def _isolated(folder: Path) -> dict[str, str]:
    """An environment in which neither the user's settings nor a surrounding repository count."""
    return {
        "GIT_DIR": str(folder),
        "GIT_WORK_TREE": str(folder / "none"),
        "GIT_INDEX_FILE": str(folder / "index"),
        "GIT_OBJECT_DIRECTORY": str(folder / "objects"),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": "",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_PARAMETERS": "",
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_0": "core.protectNTFS",
        "GIT_CONFIG_VALUE_0": "false",
        "GIT_CONFIG_KEY_1": "core.protectHFS",
        "GIT_CONFIG_VALUE_1": "false",
        "GIT_ATTR_NOSYSTEM": "1",
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
        "LC_ALL": "C",
    }
