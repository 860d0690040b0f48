"""A store and a recorder that live in memory: the same ports as the files, for tests and benchmarks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from harness.ports import Recorder
from harness.schema.event import AnyEvent, Blob
from harness.schema.plan import Plan
from harness.schema.result import JournalLine


class MemoryRecorder:
    """Numbers and keeps events; ``folder`` is where files of the attempt go."""

    def __init__(self, folder: Path, on_event: Callable[[AnyEvent], None] | None = None) -> None:
        self.events: list[AnyEvent] = []
        self.blobs: dict[str, bytes] = {}
        self._folder = folder
        self._on_event = on_event

    @property
    def folder(self) -> Path:
        """Where files of the attempt go."""
        return self._folder

    def emit(self, event: AnyEvent) -> AnyEvent:
        """Append the event with its number; time is counted in events, so that tests are repeatable."""
        number = len(self.events)
        at = datetime.fromtimestamp(number, UTC).isoformat()
        written = event.model_copy(update={"seq": number, "at": at, "t": float(number)})
        self.events.append(written)
        if self._on_event is not None:
            self._on_event(written)
        return written

    def blob(self, data: bytes, media_type: str) -> Blob:
        """Keep the bytes by their digest."""
        digest = hashlib.sha256(data).hexdigest()
        self.blobs[digest] = data
        return Blob(sha256=digest, bytes=len(data), media_type=media_type)


class MemoryStore:
    """The record of a run in memory."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._plan: Plan | None = None
        self.lines: list[JournalLine] = []
        self.recorders: dict[tuple[str, int], MemoryRecorder] = {}

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self._folder

    def plan(self) -> Plan | None:
        """Return the stored plan."""
        return self._plan

    def write_plan(self, plan: Plan) -> None:
        """Keep the plan."""
        self._plan = plan

    def journal(self) -> Sequence[JournalLine]:
        """Return the lines so far."""
        return tuple(self.lines)

    def append(self, line: JournalLine) -> None:
        """Keep a line."""
        self.lines.append(line)

    def attempts(self, trial: str) -> Sequence[int]:
        """Return the numbers of the attempts that were opened."""
        return sorted(number for name, number in self.recorders if name == trial)

    @contextmanager
    def recorder(
        self, trial: str, attempt: int, *, on_event: Callable[[AnyEvent], None] | None = None
    ) -> Iterator[Recorder]:
        """Open an attempt."""
        recorder = MemoryRecorder(self._folder / trial / str(attempt), on_event)
        self.recorders[trial, attempt] = recorder
        yield recorder

    def events(self, trial: str, attempt: int) -> Sequence[AnyEvent]:
        """Return an attempt's events."""
        recorder = self.recorders.get((trial, attempt))
        return () if recorder is None else tuple(recorder.events)
