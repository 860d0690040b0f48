"""The files of an attempt's folder, read for a report: small, bounded, never followed out of the folder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from harness.ports import Store
from harness.schema.event import Blob

PATCH_BYTES = 400_000
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptFiles:
    """One attempt's folder below ``trials/``; every reader gives nothing for what is not there."""

    folder: Path
    shown_as: str

    def patch(self) -> tuple[str, int]:
        """Return the start of ``work.patch`` as text, and how many bytes it has."""
        return self._read(self.folder / "work.patch", PATCH_BYTES)

    def blob_tail(self, blob: Blob, limit: int) -> tuple[str, int]:
        """Return the end of a stored value as text, and how many bytes it has."""
        if not _DIGEST.fullmatch(blob.sha256):
            return "", 0
        return self._read(self.folder / "blobs" / blob.sha256, limit, tail=True)

    def listing(self, limit: int = 40) -> list[tuple[str, int]]:
        """Return names and bytes of what stands in ``artifacts/`` and ``verifier/``."""
        found = []
        for part in ("artifacts", "verifier"):
            for path in sorted((self.folder / part).rglob("*")):
                if path.is_file() and not path.is_symlink():
                    found.append((path.relative_to(self.folder).as_posix(), path.stat().st_size))
                if len(found) >= limit:
                    return found
        return found

    def _read(self, path: Path, limit: int, *, tail: bool = False) -> tuple[str, int]:
        try:
            if path.is_symlink():
                return "", 0
            total = path.stat().st_size
            with path.open("rb") as file:
                if tail and total > limit:
                    file.seek(total - limit)
                return file.read(limit).decode("utf-8", errors="replace"), total
        except OSError:
            return "", 0


def attempt_files(store: Store, trial: str, attempt: int) -> AttemptFiles:
    """Return the files of one attempt."""
    name = f"trials/{trial}/{attempt}"
    return AttemptFiles(folder=store.folder / name, shown_as=name)
