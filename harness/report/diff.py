"""A git patch as nodes: files, hunks, added and removed lines, coloured by each file's language."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from pygments.lexer import Lexer
from pygments.lexers import get_lexer_for_filename
from pygments.token import STANDARD_TYPES, Token
from pygments.util import ClassNotFound

from harness.report.node import Element, Node, el
from harness.report.text import clean, count

SHOWN_LINES = 3_000
COLOURED_CHARACTERS = 60_000
"""Beyond this a file stays uncoloured: lexers are not made for hostile megabytes."""

_KEPT = {
    Token.Keyword: "k",
    Token.Name.Function: "nf",
    Token.Name.Class: "nf",
    Token.Name.Decorator: "nd",
    Token.Name.Builtin: "nb",
    Token.Literal.String: "s",
    Token.Literal.Number: "m",
    Token.Comment: "c",
}


@dataclass(kw_only=True)
class _File:
    header: list[str] = field(default_factory=list)
    path: str = ""
    lines: list[str] = field(default_factory=list)


def diff_nodes(patch: str) -> Iterator[Element]:
    """Yield one folded block per file of a git patch; at most ``SHOWN_LINES`` lines in all."""
    left = SHOWN_LINES
    for file in _files(patch):
        shown, left = file.lines[: max(left, 0)], left - len(file.lines)
        yield _file_node(file, shown)


def _files(patch: str) -> list[_File]:
    files: list[_File] = []
    for line in clean(patch).removesuffix("\n").split("\n"):
        if line.startswith("diff --git "):
            files.append(_File(path=line.rpartition(" b/")[2]))
        if not files:
            continue
        current = files[-1]
        if line.startswith("@@") or current.lines:
            current.lines.append(line)
        else:
            current.header.append(line)
    return files


def _file_node(file: _File, shown: Sequence[str]) -> Element:
    added = sum(line.startswith("+") for line in file.lines)
    removed = sum(line.startswith("-") for line in file.lines)
    body = list(_coloured(file.path, shown))
    rest = len(file.lines) - len(shown)
    summary = el(
        "summary",
        el("code", file.path),
        " ",
        el("span", f"+{count(added)}", cls="plus"),
        " ",
        el("span", f"−{count(removed)}", cls="minus"),
        _change(file.header),
    )
    return el(
        "details",
        summary,
        el("pre", body, cls="diff") if body else None,
        el("p", f"{count(rest)} more lines are in work.patch.", cls="faint") if rest else None,
        cls="file",
        open="",
    )


def _change(header: Sequence[str]) -> Element | None:
    for line in header:
        for start, word in (
            ("new file", "new"),
            ("deleted file", "deleted"),
            ("rename to", "renamed"),
            ("GIT binary patch", "binary"),
            ("Binary files", "binary"),
        ):
            if line.startswith(start):
                return el("span", word, cls="tag")
    return None


_KIND = {"+": "add", "-": "cut", "@": "hunk", "\\": "hunk"}


def _coloured(path: str, lines: Sequence[str]) -> Iterator[Element]:
    """Yield a node per line. Lines are read alone: a hunk may start inside a string, whose end would turn all."""
    lexer = _lexer(path.rpartition("/")[2]) if sum(map(len, lines)) <= COLOURED_CHARACTERS else None
    for line in lines:
        sign = line[:1]
        kind = _KIND.get(sign, "same")
        if kind == "hunk" or lexer is None:
            yield el("span", line, "\n", cls=kind)
        else:
            yield el("span", sign or " ", _tokens(lexer, line[1:]), "\n", cls=kind)


@lru_cache(maxsize=256)
def _lexer(name: str) -> Lexer | None:
    try:
        return get_lexer_for_filename(name, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return None


def _tokens(lexer: Lexer, line: str) -> Iterator[Node]:
    for kind, piece in lexer.get_tokens(line):
        cls = _class_of(kind)
        yield el("span", piece, cls=cls) if cls else piece


def _class_of(kind: object) -> str:
    while kind in STANDARD_TYPES and kind is not Token:
        if kind in _KEPT:
            return _KEPT[kind]
        kind = kind.parent  # type: ignore[attr-defined]
    return ""
