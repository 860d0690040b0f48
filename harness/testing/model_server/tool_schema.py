"""Checks of what services look at in tool definitions: names and JSON Schemas."""

from __future__ import annotations

import re

from pydantic import JsonValue

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_TYPES = {"string", "number", "integer", "boolean", "object", "array", "null"}


def name_is_fine(name: str) -> bool:
    """Tell whether services take this tool name."""
    return _NAME.fullmatch(name) is not None


def schema_problem(schema: JsonValue, *, strict: bool = False) -> str | None:
    """Say what is wrong with a tool's parameters, ``None`` if nothing is."""
    if not isinstance(schema, dict):
        return "schema must be a JSON object."
    if schema.get("type") != "object":
        return f"schema must be a JSON Schema of 'type: \"object\"', got 'type: {schema.get('type')!r}'."
    return _problem(schema, (), strict=strict)


def _problem(schema: JsonValue, at: tuple[str, ...], *, strict: bool) -> str | None:
    where = f"In context={at!r}, "
    if isinstance(schema, bool):
        return None
    if not isinstance(schema, dict):
        return f"{where}schema must be an object or a boolean."
    kinds = schema.get("type", [])
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        if kind not in _TYPES:
            return f"{where}{kind!r} is not valid under any of the given schemas."
    if schema.get("type") == "array" and "items" not in schema and "prefixItems" not in schema:
        return f"{where}array schema missing items."
    properties = schema.get("properties", {})
    if not isinstance(properties, dict):
        return f"{where}'properties' must be an object."
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(item, str) for item in required):
        return f"{where}'required' must be a list of strings."
    if strict and schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            return f"{where}'additionalProperties' is required to be supplied and to be false."
        if set(properties) - {str(item) for item in required}:
            missing = min(set(properties) - {str(item) for item in required})
            return (
                f"{where}'required' is required to be supplied and to be an array including every key in "
                f"properties. Missing '{missing}'."
            )
    inner = {("properties", key): value for key, value in properties.items()}
    inner |= {(key, ""): schema[key] for key in ("items", "additionalProperties") if key in schema}
    problems = (_problem(value, (*at, *filter(None, step)), strict=strict) for step, value in inner.items())
    return next((problem for problem in problems if problem), None)
