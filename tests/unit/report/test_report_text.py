"""Hostile text becomes visible and harmless; numbers become readable and stay true."""

from __future__ import annotations

import html

import pytest
from hypothesis import given
from hypothesis import strategies as some

from harness.report.diff import diff_nodes
from harness.report.markdown import code, plain
from harness.report.node import Element, el, to_html
from harness.report.text import clean, count, duration, head_and_tail, moment, one_line, short_count, size, usd


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x9b31mred", "red"),
        ("\x1bPq#0\x1b\\x", "x"),
        ("a\x1b", "a"),
        ("\u202eabc\u202c", "⟦U+202E⟧abc⟦U+202C⟧"),
        ("zero\u200bwidth", "zero⟦U+200B⟧width"),
        ("\U000e0041", "⟦U+E0041⟧"),
        ("nul\x00 bell\x07", "nul␀ bell␇"),
        ("\ud800x", "\ufffdx"),
        ("a\r\nb\rc\td\n", "a\nb\nc\td\n"),
        ("naïve 日本語 👩\u200d💻", "naïve 日本語 👩\u200d💻"),
    ],
)
def test_hidden_things_are_removed_or_shown(hostile: str, shown: str) -> None:
    assert clean(hostile) == shown


@given(some.text())
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@given(some.text(alphabet=some.characters(codec=None, exclude_categories=())))
def test_cleaned_text_can_always_be_written(text: str) -> None:
    clean(text).encode("utf-8")


@given(some.text())
def test_no_text_becomes_markup(text: str) -> None:
    page = to_html(el("p", text, title=text))
    opening, _, inside = page.partition('">')
    assert opening.startswith('<p title="')
    assert opening.count('"') == 1
    assert inside.removesuffix("</p>").count("<") == 0
    assert page.count("<") == 2


@pytest.mark.parametrize(
    ("tag", "attributes"),
    [
        ("script", {}),
        ("iframe", {}),
        ("p", {"onclick": "x()"}),
        ("p", {"style": "x"}),
        ("a", {"href": "javascript:x"}),
        ("a", {"href": "http://x"}),
        ("img", {"src": "http://x/y.png"}),
        ("img", {"src": "data:image/svg+xml;base64,AAAA"}),
        ("img", {"src": "data:text/html;base64,AAAA"}),
    ],
)
def test_a_node_that_could_do_something_cannot_be_made(tag: str, attributes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="not"):
        Element(tag, attributes)


def test_a_leading_line_feed_in_output_is_kept() -> None:
    assert to_html(el("pre", "\nx")) == "<pre>\n\nx</pre>"


def test_long_text_loses_its_middle_and_says_how_much() -> None:
    text = "".join(f"line {number}\n" for number in range(9000))
    head, cut, tail = head_and_tail(text)
    assert len(head) + cut + len(tail) == len(text)
    assert text.startswith(head)
    assert text.endswith(tail)
    assert tail.startswith("line ")
    assert len(head) + len(tail) <= 20_000


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "unknown"),
        (0, "$0"),
        (0.0123, "$0.012"),
        (0.00041, "$0.00041"),
        (0.5, "$0.50"),
        (1234.5, "$1,234.50"),
    ],
)
def test_money_keeps_two_digits_that_mean_something(value: float | None, shown: str) -> None:
    assert usd(value) == shown


def test_incomplete_money_is_at_least() -> None:
    assert usd(2, complete=False) == "≥ $2.00"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "—"),
        (0.02, "20 ms"),
        (12.34, "12.3 s"),
        (59.96, "1 min 00 s"),
        (125, "2 min 05 s"),
        (7300, "2 h 01 min"),
    ],
)
def test_time_has_two_units_at_most(value: float | None, shown: str) -> None:
    assert duration(value) == shown


def test_counts_are_short_where_asked() -> None:
    assert [short_count(n) for n in (950, 1200, 999_960, 3_400_000)] == ["950", "1.2 k", "1.0 M", "3.4 M"]
    assert [count(n) for n in (None, 12345, 2.5)] == ["—", "12,345", "2.5"]
    assert [size(n) for n in (12, 5_000_000)] == ["12 B", "5.0 MB"]
    assert moment("2026-11-20T12:00:00+02:00") == "2026-11-20 10:00 UTC"
    assert moment("<b>") == "<b>"


def test_a_line_is_one_line() -> None:
    assert one_line("a\n b\t\tc", 4) == "a b…"


@given(some.text())
def test_a_code_span_cannot_be_left(text: str) -> None:
    span = code(text)
    fence = span[: len(span) - len(span.lstrip("`"))]
    inner = span[len(fence) : -len(fence)]
    assert fence not in inner.replace("`" * (len(fence) + 1), "")
    assert "|" not in span
    assert "\n" not in span


def test_words_in_markdown_are_neither_markup_nor_links_nor_mentions() -> None:
    shown = plain("[x](http://e.invalid) @all #1 <img> `c` *b* www.e.invalid |")
    assert not set("[]<>`*|") & set(shown)
    for linking in ("://", "@all", "#1", "www."):
        assert linking not in html.unescape(shown)


def test_a_patch_is_shown_by_file_with_its_lines_marked() -> None:
    patch = (
        "diff --git a/a.py b/a.py\n--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n '''\n-x = 1 # <b>\n+x = 2\n"
        "diff --git a/b b/b\nnew file mode 100644\nGIT binary patch\nliteral 3\n"
    )
    first, second = diff_nodes(patch)
    page = to_html(first)
    assert '<span class="cut">-' in page
    assert '<span class="add">+' in page
    assert "&lt;b&gt;" in page
    assert 'class="c"' in page
    assert ">new</span>" in to_html(second)


def test_a_huge_patch_is_cut_and_says_so() -> None:
    body = "".join(f"+line {number}\n" for number in range(5000))
    (node,) = diff_nodes(f"diff --git a/x.txt b/x.txt\n@@ -0,0 +1,5000 @@\n{body}")
    assert "2,001 more lines are in work.patch" in to_html(node)
