from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import DiskFullError, RecordError, RunLockedError, StoreError
from harness.schema.base import SCHEMA_VERSION
from harness.schema.event import AttemptOpened, Noted
from harness.schema.plan import Plan, Provenance, RunSettings
from harness.schema.result import AttemptStarted, RunOpened
from harness.store import RunStore
from harness.store.files import LineFile, write_whole

AT = "2026-01-01T00:00:00.000Z"


def _plan(name: str = "demo") -> Plan:
    provenance = Provenance(version="0")
    return Plan(
        name=name,
        created_at=AT,
        provenance=provenance,
        settings=RunSettings(),
        tasks=(),
        candidates=(),
        trials=(),
    )


def _started(number: int) -> AttemptStarted:
    return AttemptStarted(at=AT, trial="t", attempt=number)


# ------------------------------------------------------------------------------------- plan and journal


def test_a_new_folder_has_no_plan_and_no_lines(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "run")
    assert store.plan() is None
    assert list(store.journal()) == []
    assert not (tmp_path / "run").exists()


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    with RunStore.open(tmp_path / "deep" / "run") as store:
        store.write_plan(_plan())
        store.append(_started(1))
    again = RunStore(tmp_path / "deep" / "run")
    assert again.plan() == _plan()
    assert list(again.journal()) == [_started(1)]
    assert again.damage == ()


def test_a_plan_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    with RunStore.open(tmp_path) as store:
        store.write_plan(_plan("one"))
        store.write_plan(_plan("two"))
    assert RunStore(tmp_path).plan() == _plan("two")
    assert {path.name for path in tmp_path.iterdir()} == {"plan.json", "journal.jsonl", "lock"}


def test_a_plan_that_cannot_be_replaced_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    (path / "inner").write_text("x")
    with pytest.raises(StoreError):
        write_whole(path, b"data")
    assert {place.name for place in tmp_path.iterdir()} == {"folder"}


def test_a_store_that_was_opened_for_reading_does_not_write(tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    with pytest.raises(StoreError, match="reading only"):
        store.append(_started(1))
    with pytest.raises(StoreError, match="reading only"):
        store.write_plan(_plan())
    with pytest.raises(StoreError, match="reading only"), store.recorder("t", 1):
        pass


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(StoreError, match="holds no run"):
        RunStore.open(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_place_of_the_folder_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="file"):
        RunStore.open(tmp_path / "file")


def test_a_folder_that_may_not_be_written_is_a_clear_error() -> None:
    with pytest.raises(StoreError, match=r"/proc/self/.* cannot be written|/proc/self/"):
        RunStore.open(Path("/proc/self/harness-run"))


@pytest.mark.parametrize("trial", ["../../etc", "", "a/b", ".", "..", ".hidden", "a\0b"])
def test_no_trial_id_leads_out_of_the_run(tmp_path: Path, trial: str) -> None:
    with pytest.raises(RecordError, match="cannot be a trial's id"):
        RunStore(tmp_path).attempt_folder(trial, 1)


# --------------------------------------------------------------------------------------------------- lock


def test_a_second_writer_is_told_who_holds_the_run(tmp_path: Path) -> None:
    with RunStore.open(tmp_path), pytest.raises(RunLockedError) as caught:
        RunStore.open(tmp_path)
    assert f"process {os.getpid()} on {socket.gethostname()}" in str(caught.value)
    RunStore.open(tmp_path).close()


def test_reading_needs_no_lock(tmp_path: Path) -> None:
    with RunStore.open(tmp_path) as store:
        store.append(_started(1))
        assert len(RunStore(tmp_path).journal()) == 1


_WRITER = """
import os, sys
from pathlib import Path
from harness.schema.event import Noted
from harness.schema.result import AttemptStarted
from harness.store import RunStore
store = RunStore.open(Path(sys.argv[1]))
store.append(AttemptStarted(at="", trial="t", attempt=1))
with store.recorder("t", 1) as recorder:
    for number in range(50):
        recorder.emit(Noted(text=str(number)))
    print("written", flush=True)
    sys.stdin.read()
"""


def test_a_killed_writer_loses_nothing_and_holds_no_lock(tmp_path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert writer.stdin is not None
    assert writer.stdout is not None
    with writer:
        assert writer.stdout.readline() == b"written\n"
        with pytest.raises(RunLockedError, match=f"process {writer.pid} on"):
            RunStore.open(tmp_path)
        writer.send_signal(signal.SIGKILL)
    with RunStore.open(tmp_path) as store:
        assert len(store.journal()) == 1
        assert [event.text for event in store.events("t", 1) if isinstance(event, Noted)] == [
            str(number) for number in range(50)
        ]


# ----------------------------------------------------------------------------------------------- attempts


def test_events_are_numbered_stamped_and_heard(tmp_path: Path) -> None:
    heard: list[object] = []
    with RunStore.open(tmp_path) as store, store.recorder("t", 1, on_event=heard.append) as recorder:
        first = recorder.emit(Noted(text="a"))
        second = recorder.emit(Noted(text="b\nc\u2028d"))
        assert list(store.events("t", 1)) == [first, second] == heard
    assert (first.seq, second.seq) == (0, 1)
    assert 0 <= first.t <= second.t
    assert first.at.endswith("Z")
    assert store.attempts("t") == (1,)
    assert store.attempts("unknown") == ()


def test_an_attempt_that_is_taken_up_again_goes_on_counting(tmp_path: Path) -> None:
    with RunStore.open(tmp_path) as store:
        with store.recorder("t", 1) as recorder:
            before = recorder.emit(Noted(text="a"))
        with store.recorder("t", 1) as recorder:
            after = recorder.emit(Noted(text="b"))
        assert after.seq == 1
        assert after.t >= before.t
        assert [event.seq for event in store.events("t", 1)] == [0, 1]


def test_a_clock_that_is_set_back_breaks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RunStore.open(tmp_path) as store:
        with store.recorder("t", 1) as recorder:
            recorder.emit(Noted(text="a"))
        monkeypatch.setattr(time, "monotonic", lambda: -5e6)  # another boot of the machine
        with store.recorder("t", 1) as recorder:
            recorder.emit(Noted(text="b"))
        first, second = store.events("t", 1)
        assert second.t >= first.t


def test_half_a_surrogate_pair_is_recorded_as_a_replacement(tmp_path: Path) -> None:
    with RunStore.open(tmp_path) as store, store.recorder("t", 1) as recorder:
        written = recorder.emit(Noted(text="bad \ud83d and \ud83d\ude00"))
        assert written == store.events("t", 1)[0]
        assert isinstance(written, Noted)
        assert written.text == "bad \ufffd and \U0001f600"


def test_blobs_are_stored_once_by_their_digest(tmp_path: Path) -> None:
    with RunStore.open(tmp_path) as store, store.recorder("t", 1) as recorder:
        first = recorder.blob(b"data", "text/plain")
        assert recorder.blob(b"data", "text/plain") == first
        blobs = list((recorder.folder / "blobs").iterdir())
        assert [path.name for path in blobs] == [first.sha256]
        assert store.read_blob("t", 1, first.sha256) == b"data"
        assert store.read_blob("t", 1, "0" * 64) is None
        assert store.read_blob("t", 1, "../events.jsonl") is None


def test_a_blob_that_was_cut_is_damage_and_not_data(tmp_path: Path) -> None:
    with RunStore.open(tmp_path) as store, store.recorder("t", 1) as recorder:
        blob = recorder.blob(b"data", "text/plain")
        (recorder.folder / "blobs" / blob.sha256).write_bytes(b"da")
        assert store.read_blob("t", 1, blob.sha256) is None
        assert "blobs" in str(store.damage[0])


# ------------------------------------------------------------------------------------ torn tails, damage


def test_a_journal_that_was_cut_at_any_byte_reads_and_goes_on(tmp_path: Path) -> None:
    with RunStore.open(tmp_path) as store:
        for number in (1, 2):
            store.append(_started(number))
    path = tmp_path / "journal.jsonl"
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        kept = [_started(1)] * (cut >= first) + [_started(2)] * (cut == len(whole))
        assert list(RunStore(tmp_path).journal()) == kept
        assert path.read_bytes() == whole[:cut], "reading must not write"
        with RunStore.open(tmp_path) as store:
            store.append(_started(3))
            assert list(store.journal()) == [*kept, _started(3)]
            assert store.damage == ()


@settings(deadline=None)
@given(tail=st.binary(max_size=200).map(lambda data: data.replace(b"\n", b"")), block=st.integers(1, 50))
def test_any_torn_tail_is_cut_off_before_the_next_line(
    tmp_path_factory: pytest.TempPathFactory, tail: bytes, block: int
) -> None:
    path = tmp_path_factory.mktemp("torn") / "lines"
    lines = b"x" * block + b"\n"
    path.write_bytes(lines + tail)
    file = LineFile(path)
    file.append("next")
    file.close()
    assert path.read_bytes() == lines + b"next\n"


def test_a_torn_tail_longer_than_a_block_is_cut_off(tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(b"one\n" + b"x" * 300_000)
    LineFile(tmp_path / "lines").close()
    assert (tmp_path / "lines").read_bytes() == b"one\n"


def test_a_damaged_line_in_the_middle_is_named_and_the_rest_is_read(tmp_path: Path) -> None:
    with RunStore.open(tmp_path) as store:
        for number in (1, 2, 3):
            store.append(_started(number))
    path = tmp_path / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"\0\0\0 {broken\n" + lines[2])
    store = RunStore(tmp_path)
    assert list(store.journal()) == [_started(1), _started(3)]
    store.journal()
    (damage,) = store.damage
    assert (damage.path, damage.line) == (path, 2)
    assert f"{path}:2: " in str(damage)


def test_a_record_of_a_newer_version_is_refused_by_name(tmp_path: Path) -> None:
    newer = SCHEMA_VERSION + 1
    with RunStore.open(tmp_path) as store:
        store.write_plan(_plan())
        opened = RunOpened(at=AT, pid=1, host="h", version="9")
        store.append(opened.model_copy(update={"schema_version": newer}))
        with store.recorder("t", 1) as recorder:
            event = AttemptOpened(trial="t", attempt=1, task="x", task_digest="", candidate="c", repeat=1)
            recorder.emit(event.model_copy(update={"schema_version": newer}))
    plan = json.loads((tmp_path / "plan.json").read_text())
    (tmp_path / "plan.json").write_text(json.dumps({**plan, "schema_version": newer, "unheard_of": 1}))
    store = RunStore(tmp_path)
    for read in (store.plan, store.journal, lambda: store.events("t", 1)):
        with pytest.raises(RecordError, match="written by a newer version"):
            read()


def test_a_newer_line_with_unknown_fields_is_newer_and_not_damaged(tmp_path: Path) -> None:
    line = {"kind": "run_opened", "schema_version": SCHEMA_VERSION + 1, "unheard_of": 1}
    (tmp_path / "journal.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(RecordError, match="newer version"):
        RunStore(tmp_path).journal()


def test_a_damaged_plan_is_an_error_with_its_path(tmp_path: Path) -> None:
    for text in ("", "{", '{"name": 1}', "[]"):
        (tmp_path / "plan.json").write_text(text)
        with pytest.raises(RecordError, match=r"plan\.json is damaged"):
            RunStore(tmp_path).plan()


def test_a_link_to_a_device_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").symlink_to("/dev/null")
    with pytest.raises(RecordError, match="is no file"):
        RunStore(tmp_path).journal()


def test_a_half_copied_run_says_so(tmp_path: Path) -> None:
    with RunStore.open(tmp_path) as store:
        store.append(RunOpened(at=AT, pid=1, host="h", version="0"))
        assert store.plan() is None
        store.append(_started(1))
    with pytest.raises(RecordError, match=r"plan\.json is missing"):
        RunStore(tmp_path).plan()


# ------------------------------------------------------------------------------------------------ full disk


def test_a_full_disk_is_named_with_what_to_do() -> None:
    file = LineFile(Path("/dev/full"))
    with pytest.raises(DiskFullError, match=r"No space left for /dev/full.*repeat the command"):
        file.append("a line")
    file.close()


_LIMITED = """
import resource, signal, sys
from pathlib import Path
from harness.errors import DiskFullError
from harness.schema.event import Noted
from harness.store import RunStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = RunStore.open(Path(sys.argv[1]))
with store.recorder("t", 1) as recorder:
    recorder.emit(Noted(text="kept"))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    for refuse in (lambda: recorder.emit(Noted(text="x" * 5000)), lambda: recorder.blob(b"y" * 5000, "")):
        try:
            refuse()
        except DiskFullError:
            print("full")
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    recorder.emit(Noted(text="after"))
"""


def test_a_line_that_was_written_in_part_is_taken_back(tmp_path: Path) -> None:
    """The kernel takes the first 1000 bytes and then refuses, as a disk does that becomes full."""
    ran = subprocess.run(
        [sys.executable, "-c", _LIMITED, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert (ran.stdout, ran.returncode) == ("full\nfull\n", 0), ran.stderr
    store = RunStore(tmp_path)
    assert [(event.seq, event.text) for event in store.events("t", 1) if isinstance(event, Noted)] == [
        (0, "kept"),
        (1, "after"),
    ]
    assert list((store.attempt_folder("t", 1) / "blobs").iterdir()) == []
    assert store.damage == ()


def test_a_lost_journal_of_a_run_with_attempts_is_damage(tmp_path: Path) -> None:
    with RunStore.open(tmp_path / "run") as store, store.recorder("t", 1):
        pass
    (tmp_path / "run" / "journal.jsonl").unlink()
    reader = RunStore(tmp_path / "run")
    assert list(reader.journal()) == []
    assert "attempts were made" in str(reader.damage[0])
