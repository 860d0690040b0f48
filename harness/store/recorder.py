"""Writes one attempt: numbered, stamped events that reach the kernel one by one, and blobs by their digest."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

from pydantic_core import PydanticSerializationError

from harness.clock import utc_now
from harness.schema.event import EVENT, AnyEvent, Blob
from harness.store.files import LineFile, write_once, write_whole
from harness.store.redaction import Redaction


class AttemptRecorder:
    """The recorder of one attempt (``ports.Recorder``). May be used from several threads."""

    def __init__(
        self,
        folder: Path,
        *,
        redaction: Redaction,
        last: AnyEvent | None = None,
        on_event: Callable[[AnyEvent], None] | None = None,
    ) -> None:
        """Go on behind ``last``, the newest event already in the folder."""
        self._folder = folder
        self._redaction = redaction
        self._on_event = on_event
        self._lock = threading.Lock()
        self._seq = 0 if last is None else last.seq + 1
        self._start = time.monotonic() - (0.0 if last is None else last.t)
        self._file = LineFile(folder / "events.jsonl")

    @property
    def folder(self) -> Path:
        """The attempt's folder."""
        return self._folder

    def emit(self, event: AnyEvent) -> AnyEvent:
        """Append an event; return it as recorded: with its number and time, without secrets."""
        with self._lock:
            stamp = {"seq": self._seq, "at": utc_now(), "t": round(time.monotonic() - self._start, 4)}
            event, line = _serialized(event.model_copy(update=stamp))
            safe = self._redaction.text(line)
            if safe is not line:
                event = EVENT.validate_json(safe)
            self._file.append(safe)
            self._seq += 1
        if self._on_event is not None:
            self._on_event(event)
        return event

    def blob(self, data: bytes, media_type: str) -> Blob:
        """Store bytes, without secrets, once by their digest."""
        data = self._redaction.data(data)
        digest = hashlib.sha256(data).hexdigest()
        write_once(self._folder / "blobs" / digest, data)
        return Blob(sha256=digest, bytes=len(data), media_type=media_type)

    def close(self) -> None:
        """Force the events to the disk, take secrets out of files that came from the sandbox, let go."""
        try:
            self._file.sync()
            self._clean_files()
        finally:
            self._file.close()

    def _clean_files(self) -> None:
        """Artifacts, logs and the patch were written by others; they are held to the same promise."""
        if not self._redaction:
            return
        own = {self._folder / "events.jsonl", *(self._folder / "blobs").glob("*")}
        for path in sorted(set(self._folder.rglob("*")) - own):
            if path.is_symlink() or not path.is_file():
                continue
            data = path.read_bytes()
            safe = self._redaction.data(data)
            if safe != data:
                write_whole(path, safe)


def _serialized(event: AnyEvent) -> tuple[AnyEvent, str]:
    try:
        return event, event.to_line()
    except PydanticSerializationError:
        # Half a surrogate pair, which JSON can carry and UTF-8 cannot: models do send them.
        event = EVENT.validate_python(_without_surrogates(event.model_dump()))
        return event, event.to_line()


def _without_surrogates(value: object) -> object:
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case dict():
            return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
        case list() | tuple():
            return [_without_surrogates(item) for item in value]
        case _:
            return value
