"""From tables to what people and programs read: HTML, Markdown, JSON, CSV.

Owns looks and wording of pages, and the safety of showing hostile text. What the numbers are is ``analysis``'s.
Only the HTML report reads events, for the trials' pages.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from harness.analysis import Tables
from harness.errors import UnknownNameError
from harness.ports import Store
from harness.report.written import Written, replace_file

__all__ = ["FORMATS", "Format", "Written", "render", "write_report"]

Format = Literal["html", "md", "json", "csv"]
FORMATS: tuple[str, ...] = get_args(Format)


def render(tables: Tables, style: str) -> str:
    """Return the report as text in a format that is one text: ``md``, ``json`` or ``csv``."""
    match style:
        case "md":
            from harness.report.markdown import markdown

            return markdown(tables)
        case "json":
            from harness.report.data import json_report

            return json_report(tables)
        case "csv":
            from harness.report.data import csv_report

            return csv_report(tables)
        case _:
            raise UnknownNameError("report format", style, FORMATS)


def write_report(
    tables: Tables, store: Store, target: Path, style: str = "html", *, budget_bytes: int | None = None
) -> Written:
    """Write a report and say what was written. Raises ``StoreError`` when ``target`` cannot be.

    ``budget_bytes`` bounds the HTML file (5 MB); trials beyond it become pages in ``<target's stem>.trials/``.
    """
    if style != "html":
        return Written(path=target, bytes=replace_file(target, [render(tables, style).encode()]))
    from harness.report.html import BUDGET_BYTES, write_html

    return write_html(tables, store, target, budget_bytes=BUDGET_BYTES if budget_bytes is None else budget_bytes)
