"""Function tools as both OpenAI protocols check them."""

from __future__ import annotations

from harness.testing.model_server.node import Node, OpenAIWording
from harness.testing.model_server.refused import Refused
from harness.testing.model_server.tool_schema import name_is_fine, schema_problem


def check_function(function: Node, names: set[str]) -> None:
    """Check a function's name and parameters; add its name to ``names``."""
    name = function.text("name")
    place = OpenAIWording.name(function.at("name"))
    if not name_is_fine(name):
        text = (
            f"Invalid '{place}': string does not match pattern. "
            "Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'."
        )
        raise Refused(400, text, param=place, code="invalid_value")
    if name in names:
        raise Refused(400, f"Duplicate tool name '{name}'. Tool names must be unique.", param=place)
    names.add(name)
    function.text_or_none("description")
    strict = function.truth("strict", False)
    schema = function.get("parameters")
    problem = schema_problem(schema, strict=strict) if schema is not None else None
    if problem:
        place = OpenAIWording.name(function.at("parameters"))
        raise Refused(
            400, f"Invalid schema for function '{name}': {problem}", param=place, code="invalid_function_parameters"
        )
