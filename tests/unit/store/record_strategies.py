"""Strategies for records of every type, built from the schema itself so that new fields are covered."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from hypothesis import strategies as st
from pydantic import JsonValue

from harness.schema.base import Record

_text = st.text(st.characters(codec="utf-8"), max_size=8)
_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | _text,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_text, inner, max_size=2),
    max_leaves=4,
)
_SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    str: _text,
    int: st.integers(0, 2**40),
    float: st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12),
    bool: st.booleans(),
    Path: _text.map(lambda name: Path("/tasks") / name.replace("/", "").replace("\0", "")),
    type(None): st.none(),
}


def records(kind: type[Record]) -> st.SearchStrategy[Any]:
    """Return a strategy for records of this type; the version stays the present one."""
    fields = {
        name: _values(field.annotation)
        for name, field in kind.model_fields.items()
        if name not in {"schema_version", "kind"}
    }
    return st.builds(kind, **fields)


def _values(annotation: Any) -> st.SearchStrategy[Any]:
    if annotation is JsonValue:
        return _json
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return records(annotation)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _values(arguments[0])
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in {Union, types.UnionType}:
        return st.one_of(*(_values(argument) for argument in arguments))
    if origin is tuple:
        return st.lists(_values(arguments[0]), max_size=2).map(tuple)
    if origin is dict:
        return st.dictionaries(_values(arguments[0]), _values(arguments[1]), max_size=2)
    msg = f"no strategy for {annotation!r}"
    raise TypeError(msg)


def members(union: Any) -> tuple[type[Record], ...]:
    """Return the record types of an annotated union."""
    return get_args(get_args(union)[0])
