"""The plan of a run: tasks × candidates × repeats, frozen before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue

from harness.schema.base import SCHEMA_VERSION, Record
from harness.schema.candidate import Candidate, Limits
from harness.schema.task import NetworkMode, Resources

BuildMode = Literal["auto", "always", "never"]
HostSettingsMode = Literal["auto", "always", "never"]


class Provenance(Record):
    """Which harness made the plan. ``commit`` is ``None`` outside a checkout and in an unmarked build."""

    version: str
    commit: str | None = None
    dirty: bool = False
    python: str = ""
    platform: str = ""


class RunSettings(Record):
    """Choices of the run that can change an outcome. They are part of every trial's id."""

    limits: Limits = Limits()
    timeout_multiplier: float = 1.0
    network: NetworkMode | None = None
    build: BuildMode = "auto"


class PlannedTask(Record):
    """A task as it was when the plan was made. ``path`` is absolute; the folder is checked against ``digest``."""

    name: str
    path: Path
    digest: str
    agent_timeout_s: float | None = None
    verifier_timeout_s: float = 600
    resources: Resources = Resources()
    description: str = ""
    keywords: tuple[str, ...] = ()
    metadata: dict[str, JsonValue] = Field(default_factory=dict)


class PlannedTrial(Record):
    """One task × candidate × repeat. ``id`` is a digest of everything that can change its outcome."""

    id: str
    task: str
    candidate: str
    repeat: int


class Plan(Record):
    """A run's plan. ``tasks``, ``candidates`` and ``trials`` refer to one another by ``name`` and ``id``."""

    schema_version: int = SCHEMA_VERSION
    name: str
    created_at: str
    provenance: Provenance
    settings: RunSettings
    prices_version: str = ""
    tasks: tuple[PlannedTask, ...]
    candidates: tuple[Candidate, ...]
    trials: tuple[PlannedTrial, ...]

    def task(self, name: str) -> PlannedTask:
        """Return the planned task of this name."""
        return next(task for task in self.tasks if task.name == name)

    def candidate(self, name: str) -> Candidate:
        """Return the candidate of this name."""
        return next(candidate for candidate in self.candidates if candidate.name == name)
