"""Reading what providers send: JSON of any shape, texts with torn characters, arguments that may be broken.

Nothing here raises on a surprising shape: a field of another type reads as absent.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import NoReturn

from pydantic import JsonValue

Object = dict[str, JsonValue]

_DEEPEST = 100


def as_object(value: JsonValue) -> Object:
    """Return a JSON object, an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def as_objects(value: JsonValue) -> list[Object]:
    """Return the objects of a JSON array; anything else in it is left out."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def as_text(value: JsonValue) -> str:
    """Return a string, an empty one for anything else."""
    return value if isinstance(value, str) else ""


def as_count(value: JsonValue) -> int | None:
    """Return a whole number that is not negative, ``None`` for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if value >= 0 else None


def parse_object(text: str) -> Object:
    """Parse a JSON object strictly; raises ``ValueError`` with a sentence.

    What could not be written to the record and read again is refused: numbers beyond JSON's, deep nesting.
    """
    try:
        value: JsonValue = json.loads(text, parse_constant=_refuse_number, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at character {error.pos}") from error
    if not isinstance(value, dict):
        raise ValueError(f"it is not a JSON object but {_kind(value)}")
    if text.count("[") + text.count("{") > _DEEPEST and _is_deeper(value, _DEEPEST):
        raise ValueError("it is nested too deeply")
    return value


def parse_arguments(text: str) -> tuple[Object | None, str | None]:
    """Parse a call's arguments; return them, or ``None`` and what is wrong. No text is no arguments."""
    if not text.strip():
        return {}, None
    try:
        return {key: mended(value) for key, value in parse_object(text).items()}, None
    except ValueError as error:
        return None, f"The arguments are not valid: {error}."


def joined(pieces: Iterable[str]) -> str:
    """Join the pieces of a text, mending characters that were torn between them."""
    return mend_text("".join(pieces))


def mend_text(text: str) -> str:
    """Return the text with surrogate pairs joined and lone halves replaced, so that it can be encoded."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def mended(value: JsonValue) -> JsonValue:
    """Return JSON whose texts can all be encoded."""
    match value:
        case str():
            return mend_text(value)
        case dict():
            return {mend_text(key): mended(item) for key, item in value.items()}
        case list():
            return [mended(item) for item in value]
        case _:
            return value


def without_nulls(value: JsonValue) -> JsonValue:
    """Return JSON without the fields of objects that are null."""
    match value:
        case dict():
            return {key: without_nulls(item) for key, item in value.items() if item is not None}
        case list():
            return [without_nulls(item) for item in value]
        case _:
            return value


def merged(base: Object, over: Object) -> Object:
    """Return ``base`` with ``over`` laid upon it; objects are merged, everything else is replaced."""
    result = dict(base)
    for key, value in over.items():
        under = result.get(key)
        both = isinstance(under, dict) and isinstance(value, dict)
        result[key] = merged(as_object(under), as_object(value)) if both else value
    return result


def _refuse_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _refuse_number(text)


def _is_deeper(value: JsonValue, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(item, levels - 1) for item in inner)


def _kind(value: JsonValue) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return "a number"
