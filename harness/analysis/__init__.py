"""From a run's record to typed tables and a verdict: the plan is the denominator, the journal the evidence.

Owns which trials count, what is compared and what is said. Formulas are ``statistics``'s, looks are ``report``'s.
Reads the plan and the journal only: no events, so that ten thousand trials take seconds.
"""

from __future__ import annotations

from pydantic import TypeAdapter

from harness.analysis.comparison import comparisons
from harness.analysis.conditions import candidate_facts, control_checks, fairness, run_facts
from harness.analysis.record import RunRecord, read_record
from harness.analysis.rows import RESULT_FIELDS, result_object, result_rows, trial_rows
from harness.analysis.standing import coverage, flag_rows, grid, leaderboard, spend
from harness.analysis.tables import Tables, TrialRow, Verdict
from harness.analysis.verdict import verdict
from harness.ports import Store

__all__ = [
    "RESULT_FIELDS",
    "TABLES",
    "Tables",
    "TrialRow",
    "Verdict",
    "analyse",
    "result_object",
    "result_rows",
    "verdict",
]

TABLES: TypeAdapter[Tables] = TypeAdapter(Tables)
"""Writes tables as JSON (``dump_json``), reads them back, and describes them (``json_schema``)."""


def analyse(store: Store) -> Tables:
    """Read a run's plan and journal into tables. Raises ``RecordError`` when there is no plan."""
    return tables_of(read_record(store))


def tables_of(record: RunRecord) -> Tables:
    """Make the tables of a record that is already read."""
    plan = record.plan
    rows = trial_rows(record)
    controls = control_checks(plan.candidates, rows)
    unsound = {check.task for check in controls if check.status == "unsound"}
    names = [candidate.name for candidate in plan.candidates if candidate.role == "candidate"]
    contenders = [row for row in rows if row.candidate in set(names)]
    board = leaderboard(names, contenders, unsound=unsound)
    ordered = [standing.candidate for standing in board]
    return Tables(
        run=run_facts(record),
        candidates=candidate_facts(record),
        trials=rows,
        coverage=coverage(plan.candidates, rows),
        leaderboard=board,
        grid=grid([(task.name, task.digest) for task in plan.tasks], ordered, rows, unsound=unsound),
        comparisons=comparisons(ordered, contenders, unsound=unsound),
        controls=controls,
        fairness=fairness(record),
        spend=spend(plan.candidates, record),
        flags=flag_rows(rows),
    )
