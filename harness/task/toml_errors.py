"""Turns what is wrong with a ``task.toml`` into sentences with a line, a key and what was expected."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from harness.errors import TaskError
from harness.task.harbor_toml import TaskToml
from harness.task.toml_lines import KeyPath, key_lines, syntax_error_line

_EXPECTED = {
    "string_type": "text in quotes",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "finite_number": "a finite number",
    "string_too_short": "text that is not empty",
}
_PRIVATE = frozenset({"headers", "env"})


def parse_task_toml(text: str, folder: Path) -> tuple[TaskToml, tuple[str, ...]]:
    """Return the checked contents of ``task.toml`` and a warning for each unknown key.

    Raises ``TaskError`` with the line of a syntax error, or of each key with a wrong type or value.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line, message = syntax_error_line(error, text)
        raise TaskError(f"{folder}: task.toml:{line}: {message[:1].lower()}{message[1:]}.") from error
    try:
        config = TaskToml.model_validate(data)
    except ValidationError as error:
        lines = key_lines(text)
        problems = _problems(error.errors(include_url=False), lines)
        raise TaskError(f"{folder}: {problems[0]}.", detail="\n".join(problems[1:])) from error
    unknown = list(_unknown_keys(config, ()))
    if not unknown:
        return config, ()
    lines = key_lines(text)
    unknown.sort(key=lambda item: _line(item[0], lines))
    return config, tuple(
        f"task.toml:{_line(path, lines)}: unknown key {dotted(path)}{_offer(str(path[-1]), known)}"
        for path, known in unknown
    )


def dotted(path: KeyPath) -> str:
    """Write a key path as people do: ``steps[0].agent.user``."""
    text = ""
    for piece in path:
        text += f"[{piece}]" if isinstance(piece, int) else f".{piece}" if text else str(piece)
    return text


def _problems(errors: list[ErrorDetails], lines: dict[KeyPath, int]) -> list[str]:
    """One sentence per key, the innermost of them only; the errors of a union's members are said together."""
    grouped: dict[KeyPath, list[ErrorDetails]] = {}
    for error in errors:
        grouped.setdefault(_key_of(error, lines), []).append(error)
    for outer in [path[:end] for path in grouped for end in range(len(path))]:
        grouped.pop(outer, None)
    return [
        f"task.toml:{_line(path, lines)}: {dotted(path) or 'the file'}: {_sentence(path, group)}"
        for path, group in grouped.items()
    ]


def _key_of(error: ErrorDetails, lines: dict[KeyPath, int]) -> KeyPath:
    path: KeyPath = ()
    for piece in error["loc"]:
        if (*path, piece) in lines or (error["type"] == "missing" and piece == error["loc"][-1]):
            path = (*path, piece)
    return path


def _sentence(path: KeyPath, errors: list[ErrorDetails]) -> str:
    first = errors[0]
    if first["type"] == "missing":
        return "is missing"
    if first["type"] == "value_error":
        return str(first["msg"]).removeprefix("Value error, ")
    wanted = " or ".join(dict.fromkeys(_expected(error) for error in errors))
    if _PRIVATE.intersection(path):
        return f"expected {wanted}"
    return f"expected {wanted}, found {_shown(errors[-1]['input'])}"


def _expected(error: ErrorDetails) -> str:
    context: dict[str, Any] = error.get("ctx") or {}
    match error["type"]:
        case "literal_error":
            return str(context["expected"])
        case "greater_than":
            return f"a number above {context['gt']:g}"
        case "greater_than_equal":
            return f"a number of at least {context['ge']:g}"
        case known if known in _EXPECTED:
            return _EXPECTED[known]
        case _:
            return str(error["msg"]).removeprefix("Input should be ").lower()


def _shown(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case dict():
            return "a table"
        case list():
            return "a list"
        case _:
            text = repr(value)
            return text if len(text) <= 80 else f"{text[:77]}..."


def _unknown_keys(model: BaseModel, path: KeyPath) -> Iterator[tuple[KeyPath, list[str]]]:
    known = list(type(model).model_fields)
    for name in model.model_extra or {}:
        yield (*path, name), known
    for name in known:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _unknown_keys(value, (*path, name))
        elif isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, BaseModel):
                    yield from _unknown_keys(item, (*path, name, index))


def _offer(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def _line(path: KeyPath, lines: dict[KeyPath, int]) -> int:
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)
