"""What every record shares: frozen, closed to unknown keys, and stamped with the version of its format."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

SCHEMA_VERSION = 1
"""Version of the files of a run. It rises when a reader of the old version could not read the new one."""


class Record(BaseModel):
    """A frozen, closed piece of typed data."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def to_line(self) -> str:
        """Return the record as one line of JSON, without the line feed."""
        return self.model_dump_json()
