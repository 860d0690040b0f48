"""Trees of harmless nodes: built once in Python, written as HTML here or as JSON for the page's script.

A node is text, or an ``Element`` of a few known tags with a few known attributes. Nothing else can be made,
so text of a model can be neither markup nor address: HTML escapes it, the script sets it as ``textContent``.
The script (``script.js``) holds the same lists and refuses what is not on them.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from pydantic import JsonValue

from harness.report.text import clean

TAGS = (
    frozenset(
        {"article", "section", "header", "nav", "h2", "h3", "h4", "p", "div", "span", "strong", "code", "pre"}
    )
    | {"ul", "li", "dl", "dt", "dd", "details", "summary", "table", "thead", "tbody", "tr", "th", "td"}
    | {"a", "img", "svg", "rect"}
)
ATTRIBUTES = frozenset(
    {"class", "id", "href", "src", "alt", "title", "scope", "open", "x", "y", "width", "height"}
) | {"role", "aria-label", "aria-current"}
_HREF = re.compile(r"#[\w=&.:-]*")
_SRC = re.compile(r"data:image/(?:png|jpeg|gif|webp);base64,[A-Za-z0-9+/]+={0,2}")
_VOID = frozenset({"img"})


@dataclass(frozen=True, slots=True)
class Element:
    """A tag with attributes and children. ``ValueError`` for anything that is not known to be harmless."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: tuple[Node, ...] = ()

    def __post_init__(self) -> None:
        if self.tag not in TAGS or not ATTRIBUTES.issuperset(self.attributes):
            raise ValueError(f"<{self.tag} {' '.join(self.attributes)}> is not a node of a report.")
        for name, pattern in (("href", _HREF), ("src", _SRC)):
            if name in self.attributes and not pattern.fullmatch(self.attributes[name]):
                raise ValueError(f"{self.attributes[name][:60]!r} is not allowed as {name}.")


Node: TypeAlias = Element | str
Content: TypeAlias = "Node | Iterable[Node | None] | None"


def el(tag: str, *children: Content, cls: str = "", **attributes: str) -> Element:
    """Make an element. ``None`` children vanish, lists are spread, text is cleaned."""
    if cls:
        attributes["class"] = cls
    names = {name.replace("_", "-"): clean(value) for name, value in attributes.items()}
    return Element(tag, names, tuple(_flat(children)))


def _flat(children: Iterable[Content]) -> Iterator[Node]:
    for child in children:
        if child is None:
            continue
        if isinstance(child, str):
            yield clean(child)
        elif isinstance(child, Element):
            yield child
        else:
            yield from _flat(child)


def to_html(node: Node, *, base: str = "") -> str:
    """Return a node as HTML. ``base`` goes before the ``#`` of links, for a page of its own."""
    pieces: list[str] = []
    _write(node, base, pieces)
    return "".join(pieces)


def _write(node: Node, base: str, pieces: list[str]) -> None:
    if isinstance(node, str):
        pieces.append(html.escape(node, quote=False))
        return
    attributes = "".join(
        f' {name}="{html.escape(base + value if name == "href" else value)}"'
        for name, value in node.attributes.items()
    )
    pieces.append(f"<{node.tag}{attributes}>")
    if node.tag in _VOID:
        return
    if node.tag == "pre":
        pieces.append("\n")  # a parser drops the first line feed of a <pre>
    for child in node.children:
        _write(child, base, pieces)
    pieces.append(f"</{node.tag}>")


def to_json(node: Node) -> str:
    """Return a node for the script: a string, or ``[tag, attributes, child, …]``."""
    return json.dumps(_plain(node), ensure_ascii=False, separators=(",", ":"))


def _plain(node: Node) -> JsonValue:
    if isinstance(node, str):
        return node
    return [node.tag, dict(node.attributes), *(_plain(child) for child in node.children)]
