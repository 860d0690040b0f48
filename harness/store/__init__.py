"""The record of a run on disk: plan, journal, events, blobs; one writer, any number of readers."""

from __future__ import annotations

from harness.store.recorder import AttemptRecorder
from harness.store.run_store import Damage, RunStore

__all__ = ["AttemptRecorder", "Damage", "RunStore"]
