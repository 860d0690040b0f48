"""Imports point down, also those inside functions; the engine and the adapters meet only in the wiring."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "harness"

LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"__init__", "clock", "errors", "data"}),
    frozenset({"schema"}),
    frozenset({"ports"}),
    frozenset({"provenance", "statistics", "journal", "context", "planning", "scoring"}),
    frozenset({"task", "sandbox", "model", "tool", "agent", "verifier", "executor", "store", "trial", "run"}),
    frozenset({"analysis"}),
    frozenset({"report", "registry", "testing", "doctor"}),
    frozenset({"resolving", "worker"}),
    frozenset({"wiring"}),
    frozenset({"cli"}),
    frozenset({"__main__"}),
)
"""From the bottom up: a room may import rooms of lower layers and, where ``BESIDE`` says so, of its own."""

BESIDE = frozenset(
    {
        ("errors", "__init__"),
        ("scoring", "journal"),
        ("planning", "journal"),
        ("agent", "task"),
        ("verifier", "task"),
        ("doctor", "report"),
    }
)
"""Rooms of one layer that may see each other: readers of the task format are used by those who act on it."""


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "harness" and len(parts) > 1:
                known = parts[1] in ALL_ROOMS
                yield node.lineno, parts[1] if known else "__init__"


ALL_ROOMS = frozenset().union(*LAYERS)
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
MODULES = sorted(PACKAGE.rglob("*.py"))


def test_every_room_has_a_layer() -> None:
    rooms = {room_of(path) for path in MODULES}
    assert rooms <= ALL_ROOMS, f"give these rooms a layer: {sorted(rooms - ALL_ROOMS)}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_rooms_below_it(path: Path) -> None:
    room = room_of(path)
    wrong = [
        f"line {line}: {room} imports {other}"
        for line, other in imported_rooms(path)
        if other != room and (room, other) not in BESIDE and LEVEL[other] >= LEVEL[room]
    ]
    assert not wrong


def test_the_check_sees_imports_inside_functions(tmp_path: Path) -> None:
    probe = tmp_path / "probe.py"
    probe.write_text("def f():\n    from harness.cli import main\n    import harness.trial\n")
    assert [room for _, room in imported_rooms(probe)] == ["cli", "trial"]
