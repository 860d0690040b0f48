from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from record_strategies import members, records

from harness.schema.base import SCHEMA_VERSION, Record
from harness.schema.event import EVENT, AnyEvent
from harness.schema.plan import Plan
from harness.schema.result import JOURNAL_LINE, JournalLine
from harness.schema.task import Task
from harness.store import RunStore

GOLDEN = Path(__file__).parents[2] / "golden" / "records"
EVENTS = members(AnyEvent)
LINES = members(JournalLine)

relaxed = settings(
    deadline=None,
    max_examples=30,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.mark.parametrize("kind", [*EVENTS, *LINES, Plan, Task], ids=lambda kind: kind.__name__)
@relaxed
@given(data=st.data())
def test_every_record_survives_the_way_to_a_line_and_back(kind: type[Record], data: st.DataObject) -> None:
    record = data.draw(records(kind))
    line = record.to_line()
    assert "\n" not in line
    adapter = EVENT if kind in EVENTS else JOURNAL_LINE if kind in LINES else None
    again = kind.model_validate_json(line) if adapter is None else adapter.validate_json(line)
    assert again == record


@pytest.mark.parametrize("kind", EVENTS, ids=lambda kind: kind.__name__)
@relaxed
@given(data=st.data())
def test_every_event_survives_the_way_through_the_store(
    kind: type[Record], data: st.DataObject, tmp_path: Path
) -> None:
    event = data.draw(records(kind))
    with RunStore.open(tmp_path / "run") as store, store.recorder("t", 1) as recorder:
        written = recorder.emit(event)  # type: ignore[arg-type]
    assert RunStore(tmp_path / "run").events("t", 1)[-1] == written


def _kept(stored: Any, read: Any) -> bool:
    """Tell whether everything that was stored is still there; later versions may add to it."""
    if isinstance(stored, dict):
        return all(key in read and _kept(value, read[key]) for key, value in stored.items())
    if isinstance(stored, list):
        return len(stored) == len(read) and all(map(_kept, stored, read))
    return bool(stored == read)


@pytest.mark.parametrize("version", range(1, SCHEMA_VERSION + 1))
def test_records_of_every_version_load(version: int) -> None:
    """The run folders under ``tests/golden/records`` were written by the versions that they are named after."""
    folder = GOLDEN / f"v{version}"
    store = RunStore(folder)
    plan = store.plan()
    assert plan is not None
    assert _kept(json.loads((folder / "plan.json").read_text()), plan.model_dump(mode="json"))
    trial = plan.trials[0].id
    for path, read in (
        (folder / "journal.jsonl", store.journal()),
        (store.attempt_folder(trial, 1) / "events.jsonl", store.events(trial, 1)),
    ):
        stored = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        assert len(stored) == len(read)
        for before, after in zip(stored, read, strict=True):
            assert _kept(before, after.model_dump(mode="json")), before
    assert store.damage == ()


def test_the_golden_record_of_this_version_holds_every_kind() -> None:
    store = RunStore(GOLDEN / f"v{SCHEMA_VERSION}")
    plan = store.plan()
    assert plan is not None
    assert {type(event) for event in store.events(plan.trials[0].id, 1)} == set(EVENTS)
    assert {type(line) for line in store.journal()} == set(LINES)
