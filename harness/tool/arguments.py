"""Reading the arguments of a tool call: what a model sends is checked here and answered in words it can use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, JsonValue, ValidationError

from harness.ports import ToolOutcome
from harness.schema.message import TextPart

ArgumentsT = TypeVar("ArgumentsT", bound=BaseModel)


class BadArgumentsError(ValueError):
    """The arguments do not fit; the message tells the model what is wrong."""


def read_arguments(kind: type[ArgumentsT], arguments: Mapping[str, JsonValue]) -> ArgumentsT:
    """Return the arguments as ``kind``; raises ``BadArgumentsError`` with one line per problem."""
    try:
        return kind.model_validate(dict(arguments))
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(part) for part in problem['loc']) or 'arguments'}: {problem['msg']}"
            for problem in error.errors(include_url=False)
        ]
        raise BadArgumentsError("Bad arguments. " + "; ".join(problems)) from error


def failure(text: str) -> ToolOutcome:
    """Return an outcome that tells the model what went wrong."""
    return ToolOutcome(parts=(TextPart(text=text),), is_error=True)


def success(text: str) -> ToolOutcome:
    """Return an outcome with a text."""
    return ToolOutcome(parts=(TextPart(text=text),))
