"""Every format from the same tables, whatever the run is like."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from synthetic_run import HOSTILE, Ending, Shape, build_run, control, demo_like, player

from harness.analysis import RESULT_FIELDS, TABLES, analyse
from harness.data import data_folder
from harness.errors import StoreError, UnknownNameError
from harness.report import FORMATS, render, write_report
from harness.report.node import ATTRIBUTES, TAGS
from harness.report.page import PARTS
from harness.report.sentences import what_was_run

SHAPES: dict[str, tuple[Callable[[str, str, int], Ending], Shape]] = {
    "demo": (demo_like, Shape()),
    "hostile": (
        lambda t, c, r: Ending(
            how="infra" if c == "B" and r == 2 else "limit_fail", text=HOSTILE, flags=(HOSTILE,)
        ),
        Shape(
            tasks=(HOSTILE, "b"),
            candidates=(player(f"A{HOSTILE}"), player("B", note=HOSTILE)),
            name=HOSTILE,
            host=HOSTILE,
            versions=(HOSTILE,),
        ),
    ),
    "one candidate": (demo_like, Shape(candidates=(player("careful"),))),
    "one task": (demo_like, Shape(tasks=("demo/only",))),
    "only controls": (demo_like, Shape(candidates=())),
    "no controls": (demo_like, Shape(controls=())),
    "nothing finished": (lambda t, c, r: Ending(how="missing"), Shape(closed=None)),
    "nothing but faults": (lambda t, c, r: Ending(how="infra", earlier=("infra", "discarded")), Shape()),
    "all passed": (lambda t, c, r: Ending(how="pass"), Shape()),
    "all failed": (lambda t, c, r: Ending(how="fail"), Shape()),
    "no tasks": (demo_like, Shape(tasks=())),
    "names that collide": (demo_like, Shape(tasks=("a/x", "b/x"), controls=(control("oracle"),))),
    "without events": (demo_like, Shape(events=False)),
}


@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize("name", SHAPES)
def test_every_kind_of_run_gives_every_kind_of_report(tmp_path: Path, name: str, style: str) -> None:
    store = build_run(tmp_path / "run", *SHAPES[name])
    target = tmp_path / f"report.{style}"
    written = write_report(analyse(store), store, target, style)
    text = target.read_text(encoding="utf-8")
    assert written.bytes == target.stat().st_size
    assert str(target) in written.composition
    assert "\x1b" not in text
    assert "\u202e" not in text or style in {"json", "csv"}
    if style in {"md", "html"} and "scripted player" in str(SHAPES[name][1].candidates):
        assert "scripted player" in text


def trials_of(html: str) -> dict[str, str]:
    blocks = re.findall(r'<script type="text/plain" data-trial="([\w.-]+)">([A-Za-z0-9+/=]+)</script>', html)
    return {key: gzip.decompress(base64.b64decode(block)).decode() for key, block in blocks}


def test_html_asks_for_nothing_from_outside(tmp_path: Path) -> None:
    store = build_run(tmp_path / "run", *SHAPES["hostile"])
    write_report(analyse(store), store, tmp_path / "r.html")
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "default-src &#39;none&#39;" in html
    assert "unsafe" not in re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)[1]  # type: ignore[index]
    seen = _Tags()
    seen.feed(html)
    assert seen.tags <= TAGS | _SHELL
    assert not [
        name for name in seen.attributes if name.startswith("on") or name in {"style", "src", "srcset", "action"}
    ]
    assert all(value.startswith("#") for value in seen.attributes["href"])
    assert seen.scripts == 1


_SHELL = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "main",
    "footer",
    "h1",
    "button",
    "script",
    "sup",
}


class _Tags(HTMLParser):
    """Collects the tags and attributes of a page, and counts its scripts that run."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: dict[str, list[str]] = defaultdict(list)
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.scripts += tag == "script" and dict(attrs).get("type") is None
        for name, value in attrs:
            self.attributes[name].append(value or "")


def test_every_started_trial_is_inside_with_its_turns_and_its_work(tmp_path: Path) -> None:
    store = build_run(tmp_path / "run")
    tables = analyse(store)
    written = write_report(tables, store, tmp_path / "r.html")
    trials = trials_of((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert set(trials) == {row.trial for row in tables.trials}
    assert written.trials_inside == len(tables.trials)
    careful = next(trials[row.trial] for row in tables.trials if row.candidate == "careful")
    for words in (
        "Turn 6",
        "Overloaded",
        "cached_property",
        "3 passed",
        "212 MiB",
        "was replaced by",
        "All tests pass",
    ):
        assert words in careful


def test_the_reference_solution_is_never_shown(tmp_path: Path) -> None:
    store = build_run(tmp_path / "run")
    for budget in (None, 0):
        write_report(analyse(store), store, tmp_path / "r.html", budget_bytes=budget)
        texts = [*trials_of((tmp_path / "r.html").read_text()).values()]
        texts += [path.read_text() for path in (tmp_path / "r.trials").glob("*.html")]
        assert len(texts) == 18 if budget is None else 18
        assert not any("THE REFERENCE SOLUTION" in text for text in texts)
        assert sum("the reference solution; it is not shown" in text for text in texts) == 3


def test_trials_beyond_the_budget_are_pages_beside_the_report(tmp_path: Path) -> None:
    store = build_run(tmp_path / "run", *SHAPES["hostile"])
    tables = analyse(store)
    whole = write_report(tables, store, tmp_path / "r.html")
    budget = whole.page_bytes + 110_000
    written = write_report(tables, store, tmp_path / "r.html", budget_bytes=min(budget, 115_000))
    assert 0 < written.trials_inside < whole.trials_inside
    assert written.trials_inside + written.trials_beside == whole.trials_inside
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    pages = sorted((tmp_path / "r.trials").glob("*.html"))
    assert len(pages) == written.trials_beside
    assert all(f'href="r.trials/{page.name}"' in html for page in pages)
    text = pages[0].read_text(encoding="utf-8")
    assert "<script" not in text
    assert "script-src" not in text
    assert 'href="../r.html#grid"' in text


def test_pages_of_an_earlier_report_do_not_stay(tmp_path: Path) -> None:
    store = build_run(tmp_path / "run")
    write_report(analyse(store), store, tmp_path / "r.html", budget_bytes=0)
    assert list((tmp_path / "r.trials").glob("*.html"))
    write_report(analyse(store), store, tmp_path / "r.html")
    assert not list((tmp_path / "r.trials").glob("*.html"))


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    store = build_run(tmp_path / "run")
    write_report(analyse(store), store, tmp_path / "a.html")
    write_report(analyse(store), store, tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_markdown_stays_below_its_limit_with_ten_thousand_trials(tmp_path: Path) -> None:
    shape = Shape(tasks=tuple(f"suite/task-{n:04d}" for n in range(1250)), repeats=4, events=False, controls=())
    text = render(analyse(build_run(tmp_path, demo_like, shape)), "md")
    assert len(text.encode()) < 60_000
    assert "more tasks are in the full report" in text


def test_json_holds_the_tables_and_the_verdict(tmp_path: Path) -> None:
    tables = analyse(build_run(tmp_path, shape=Shape(events=False)))
    value = json.loads(render(tables, "json"))
    assert value["schema_version"] == 1
    assert value.pop("verdict")["pick"] == "careful"
    assert TABLES.validate_python(value) == tables


def test_csv_has_a_line_per_trial_and_no_formulas(tmp_path: Path) -> None:
    shape = Shape(tasks=("=HYPERLINK(1)", "-x"), events=False)
    tables = analyse(build_run(tmp_path, lambda t, c, r: replace(demo_like(t, c, r), how="infra"), shape))
    rows = list(csv.reader(io.StringIO(render(tables, "csv"))))
    assert tuple(rows[0]) == ("trial", *RESULT_FIELDS)
    assert len(rows) == 1 + len(tables.trials)
    assert rows[1][1] == "'=HYPERLINK(1)"
    assert {row[7] for row in rows[1:]} == {""}


def test_an_unknown_format_names_the_known_ones(tmp_path: Path) -> None:
    store = build_run(tmp_path, shape=Shape(events=False))
    with pytest.raises(UnknownNameError, match="htm"):
        write_report(analyse(store), store, tmp_path / "x", "htm")


def test_a_place_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    store = build_run(tmp_path / "run", shape=Shape(events=False))
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        write_report(analyse(store), store, tmp_path / "file" / "r.md", "md")


def test_the_script_knows_the_same_tags_and_attributes() -> None:
    script = (data_folder("reports") / "templates" / "script.js").read_text(encoding="utf-8")
    for name, values in (("TAGS", TAGS), ("ATTRIBUTES", ATTRIBUTES)):
        listed = re.search(rf"const {name} = new Set\((\[.*?\])\)", script)
        assert listed is not None
        assert set(json.loads(listed[1])) == values


def test_every_part_has_its_template_and_a_part_left_out_says_why(tmp_path: Path) -> None:
    folder = data_folder("reports") / "templates" / "parts"
    assert {path.name.removesuffix(".html.j2") for path in folder.iterdir()} == {"macros", *(p.name for p in PARTS)}
    store = build_run(tmp_path / "run", *SHAPES["only controls"])
    write_report(analyse(store), store, tmp_path / "r.html")
    assert "Leaderboard (the run has only controls)" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_run_of_controls_is_not_said_to_have_no_candidates_no_times(tmp_path: Path) -> None:
    tables = analyse(build_run(tmp_path / "run", *SHAPES["only controls"]))
    assert what_was_run(tables).startswith("3 tasks × 2 controls: 6 trials.")


def test_links_out_of_the_attempts_folder_are_not_followed(tmp_path: Path) -> None:
    store = build_run(tmp_path / "run", shape=Shape(tasks=("demo/one",), repeats=1))
    (tmp_path / "secret").write_text("diff --git a/s b/s\n@@ -0,0 +1 @@\n+SECRET\n")
    for patch in (tmp_path / "run" / "trials").glob("*/1/work.patch"):
        patch.unlink()
        patch.symlink_to(tmp_path / "secret")
    write_report(analyse(store), store, tmp_path / "r.html")
    assert not any("SECRET" in text for text in trials_of((tmp_path / "r.html").read_text()).values())
