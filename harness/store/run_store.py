"""The files of a run: what lies where, who may write, and how damage is told apart from an end.

Owns the layout of a run's folder. What the lines mean is left to ``journal``, what is pending to ``planning``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from pydantic import TypeAdapter, ValidationError

from harness.errors import RecordError, StoreError
from harness.schema.base import SCHEMA_VERSION
from harness.schema.event import EVENT, AnyEvent
from harness.schema.plan import Plan
from harness.schema.result import JOURNAL_LINE, JournalLine, RunClosed, RunOpened
from harness.store.files import LineFile, disk_errors, write_whole
from harness.store.lock import RunLock
from harness.store.recorder import AttemptRecorder
from harness.store.redaction import Redaction

_SAFE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Damage:
    """A part of the record that cannot be read; the rest can. ``line`` is ``None`` for a whole file."""

    path: Path
    line: int | None
    problem: str

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}" if self.line is not None else f"{self.path}"
        return f"{place}: {self.problem}"


class RunStore:
    """The record of one run (``ports.Store``).

    ``RunStore(folder)`` reads, also while another process writes. ``RunStore.open(folder)`` takes the lock
    and writes until ``close``; it is a context manager. ``secrets`` are values that must not be written.
    """

    def __init__(self, folder: Path, *, secrets: Sequence[str] = ()) -> None:
        """Look at a run's folder, which need not exist."""
        self._folder = folder.absolute()
        self._redaction = Redaction(secrets)
        self._damage: dict[tuple[Path, int | None], Damage] = {}
        self._lock: RunLock | None = None
        self._journal: LineFile | None = None

    @classmethod
    def open(cls, folder: Path, *, secrets: Sequence[str] = ()) -> Self:
        """Make the folder if it is new, take its lock, and be ready to write.

        Raises ``RunLockedError`` while another process writes, ``StoreError`` for a folder that holds
        something else or may not be written, ``DiskFullError`` without space.
        """
        store = cls(folder, secrets=secrets)
        with disk_errors(store.folder):
            store.folder.mkdir(parents=True, exist_ok=True)
            _require_run_or_empty(store.folder)
        store._lock = RunLock(store.folder / "lock")
        try:
            store._journal = LineFile(store.folder / "journal.jsonl")
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Let go of the journal and the lock."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def folder(self) -> Path:
        """The run's folder, absolute."""
        return self._folder

    @property
    def damage(self) -> tuple[Damage, ...]:
        """What could not be read so far, in the order it was met; a torn last line is no damage."""
        return tuple(self._damage.values())

    # ----------------------------------------------------------------------------------------- plan

    def plan(self) -> Plan | None:
        """Return the stored plan, ``None`` in a new folder. Raises ``RecordError`` for a damaged or newer one."""
        path = self._folder / "plan.json"
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            if any(not isinstance(line, RunOpened | RunClosed) for line in self.journal()):
                raise RecordError(
                    f"{path} is missing, although attempts were made.", hint="Was the folder copied whole?"
                ) from None
            return None
        except OSError as error:
            raise StoreError(f"{path} cannot be read ({error.strerror}).") from error
        _require_known_version(data, path)
        try:
            return Plan.model_validate_json(data)
        except ValidationError as error:
            raise RecordError(f"{path} is damaged ({_first_problem(error)}).") from error

    def write_plan(self, plan: Plan) -> None:
        """Store the plan: after a crash there is the old plan or this one."""
        self._require_writer()
        text = self._redaction.text(plan.model_dump_json(indent=2))
        write_whole(self._folder / "plan.json", text.encode() + b"\n")

    # -------------------------------------------------------------------------------------- journal

    def journal(self) -> Sequence[JournalLine]:
        """Return the journal's lines in order, without damaged ones and without a torn last one."""
        path = self._folder / "journal.jsonl"
        lines = self._read(path, JOURNAL_LINE)
        if not lines and (self._folder / "trials").is_dir():
            self._note(path, None, "nothing in it can be read, although attempts were made")
        return lines

    def append(self, line: JournalLine) -> None:
        """Append to the journal and force it to the disk."""
        file = self._require_writer()
        file.append(self._redaction.text(line.to_line()))
        file.sync()

    # ------------------------------------------------------------------------------------- attempts

    def attempt_folder(self, trial: str, attempt: int) -> Path:
        """Return where an attempt's files are; it need not exist."""
        return self._trial_folder(trial) / str(attempt)

    def attempts(self, trial: str) -> tuple[int, ...]:
        """Return the numbers of the attempts that have a folder, in order."""
        folder = self._trial_folder(trial)
        if not folder.is_dir():
            return ()
        return tuple(sorted(int(place.name) for place in folder.iterdir() if place.name.isdecimal()))

    @contextlib.contextmanager
    def recorder(
        self, trial: str, attempt: int, *, on_event: Callable[[AnyEvent], None] | None = None
    ) -> Iterator[AttemptRecorder]:
        """Open an attempt's folder for writing, behind what it already holds.

        ``on_event`` hears of each event once it is written. The events are forced to the disk at the end.
        """
        self._require_writer()
        earlier = self.events(trial, attempt)
        recorder = AttemptRecorder(
            self.attempt_folder(trial, attempt),
            redaction=self._redaction,
            last=earlier[-1] if earlier else None,
            on_event=on_event,
        )
        try:
            yield recorder
        finally:
            recorder.close()

    def events(self, trial: str, attempt: int) -> Sequence[AnyEvent]:
        """Return an attempt's events in order, without damaged ones and without a torn last one."""
        return self._read(self.attempt_folder(trial, attempt) / "events.jsonl", EVENT)

    def read_blob(self, trial: str, attempt: int, sha256: str) -> bytes | None:
        """Return a blob's bytes, ``None`` if it is missing or is not what its name says (then it is damage)."""
        if not _DIGEST.fullmatch(sha256):
            return None
        path = self.attempt_folder(trial, attempt) / "blobs" / sha256
        try:
            data = path.read_bytes()
        except OSError:
            return None
        if hashlib.sha256(data).hexdigest() != sha256:
            self._note(path, None, "the contents are not those of its name")
            return None
        return data

    # -------------------------------------------------------------------------------------- private

    def _trial_folder(self, trial: str) -> Path:
        if not _SAFE_NAME.fullmatch(trial):
            raise RecordError(f"{self._folder}: {trial!r} cannot be a trial's id.")
        return self._folder / "trials" / trial

    def _require_writer(self) -> LineFile:
        if self._journal is None:
            raise StoreError(f"{self._folder} was opened for reading only.")
        return self._journal

    def _read(self, path: Path, adapter: TypeAdapter[_T]) -> list[_T]:
        records: list[_T] = []
        if not path.is_file():
            if path.exists():  # a link to a device would never end
                raise RecordError(f"{path} is no file.", hint="Was it put there by hand?")
            return records
        try:
            with path.open("rb") as file:
                for number, line in enumerate(file, start=1):
                    if not line.endswith(b"\n"):
                        break
                    try:
                        record = adapter.validate_json(line)
                    except ValidationError as error:
                        _require_known_version(line, path)
                        self._note(path, number, _first_problem(error))
                        continue
                    _require_version(getattr(record, "schema_version", None), path)
                    records.append(record)
        except OSError as error:
            raise StoreError(f"{path} cannot be read ({error.strerror}).") from error
        return records

    def _note(self, path: Path, line: int | None, problem: str) -> None:
        self._damage[path, line] = Damage(path=path, line=line, problem=problem)


def _require_run_or_empty(folder: Path) -> None:
    if any((folder / name).exists() for name in ("plan.json", "journal.jsonl", "lock")):
        return
    if any(folder.iterdir()):
        raise StoreError(
            f"{folder} is not empty and holds no run.", hint="Choose a new or empty folder, or one of a run (-o)."
        )


def _require_known_version(data: bytes, path: Path) -> None:
    with contextlib.suppress(ValueError, RecursionError):
        record = json.loads(data)
        if isinstance(record, dict):
            _require_version(record.get("schema_version"), path)


def _require_version(version: object, path: Path) -> None:
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise RecordError(
            f"{path} was written by a newer version (format {version}, this version reads up to {SCHEMA_VERSION}).",
            hint="Update the harness.",
        )


def _first_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(piece) for piece in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]
