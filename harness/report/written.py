"""Files of a report: written whole or not at all, and told of in numbers."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import StoreError
from harness.report.text import size


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """What was written: the file, its bytes, and for HTML what it is made of."""

    path: Path
    bytes: int
    page_bytes: int = 0
    trials_inside: int = 0
    trials_inside_bytes: int = 0
    trials_beside: int = 0
    trials_beside_bytes: int = 0

    @property
    def composition(self) -> str:
        """Return the numbers in one line."""
        if not self.page_bytes:
            return f"{self.path}: {size(self.bytes)}"
        text = (
            f"{self.path}: {size(self.bytes)}, of it {size(self.page_bytes)} page and "
            f"{size(self.trials_inside_bytes)} for {self.trials_inside} trials inside"
        )
        if self.trials_beside:
            text += f"; {self.trials_beside} trials beside it ({size(self.trials_beside_bytes)})"
        return text


def replace_file(path: Path, chunks: Iterable[bytes]) -> int:
    """Write ``chunks`` to ``path`` by way of a temporary name; return the bytes. Raises ``StoreError``."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
        total = 0
        try:
            with os.fdopen(descriptor, "wb") as file:
                for chunk in chunks:
                    total += file.write(chunk)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        message = f"The report cannot be written to {path}: {error.strerror or error}."
        raise StoreError(message, hint="Choose another file with -o.") from error
    return total
