"""``submit``: the agent says that it is done, and what it claims."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, JsonValue

from harness.ports import ToolContext, ToolOutcome
from harness.schema.message import TextPart, ToolSpec
from harness.tool.arguments import BadArgumentsError, failure, read_arguments


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")

    summary: str
    confident: bool | None = None


class Submit:
    """Ends the agent's work."""

    spec = ToolSpec(
        name="submit",
        description=(
            "Declare the task done. Call it once, when the work is finished and checked; nothing can be changed "
            "afterwards. Say what was done, what was checked, and what is not working if anything is not."
        ),
        parameters={
            "type": "object",
            "properties": {
                "summary": {"type": "string", "description": "What was done and how it was checked."},
                "confident": {"type": "boolean", "description": "Whether you believe that the task is solved."},
            },
            "required": ["summary"],
            "additionalProperties": False,
        },
    )

    async def call(self, arguments: Mapping[str, JsonValue], context: ToolContext) -> ToolOutcome:
        """Take the claim; the loop ends after this reply's calls."""
        try:
            wanted = read_arguments(_Arguments, arguments)
        except BadArgumentsError as error:
            return failure(str(error))
        doubt = " (not confident)" if wanted.confident is False else ""
        return ToolOutcome(parts=(TextPart(text="Submitted."),), submission=wanted.summary + doubt)
