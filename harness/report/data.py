"""The report as data: JSON of all tables, CSV of the trials."""

from __future__ import annotations

import csv
import io
import json

from pydantic import JsonValue, TypeAdapter

from harness.analysis import RESULT_FIELDS, TABLES, Tables, result_object
from harness.analysis.tables import Verdict
from harness.analysis.verdict import verdict
from harness.report.text import clean

_VERDICT: TypeAdapter[Verdict] = TypeAdapter(Verdict)


def json_report(tables: Tables) -> str:
    """Return all tables and the verdict as JSON in ASCII; numbers are not rounded, unknown is ``null``."""
    whole = {
        "schema_version": tables.schema_version,
        "verdict": _VERDICT.dump_python(verdict(tables), mode="json"),
        **TABLES.dump_python(tables, mode="json"),
    }
    return json.dumps(whole, indent=1) + "\n"


def csv_report(tables: Tables) -> str:
    """Return one line per trial; unknown is empty, lists and rewards are JSON.

    Texts are cleaned, for sheets are also printed on terminals; one that a spreadsheet would take for a formula
    gets an apostrophe before it.
    """
    sheet = io.StringIO()
    writer = csv.writer(sheet, lineterminator="\n")
    writer.writerow(["trial", *RESULT_FIELDS])
    for row in tables.trials:
        writer.writerow([_cell(row.trial), *(_cell(value) for value in result_object(row).values())])
    return sheet.getvalue()


def _cell(value: JsonValue) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        text = clean(value)
        return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t")) else text
    return json.dumps(value)
