"""``shell``: run a command in the agent's persistent shell."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from harness.ports import CommandResult, ToolContext, ToolOutcome
from harness.schema.message import TextPart, ToolSpec
from harness.tool.arguments import BadArgumentsError, failure, read_arguments

DEFAULT_TIMEOUT_S = 300.0

_DESCRIPTION = """\
Run a command in a persistent shell (bash where the machine has it, else sh). Directory, environment variables,
functions and background jobs are kept between calls. Standard input is closed: do not start programs that wait for
keys. The reply ends with the exit code, the duration and the size of the output; long output is shortened in the
middle and the whole is kept in the file that is named. A command that passes timeout_s is killed, and what it
printed so far is returned. Start servers and other long-running programs in the background, with their output in a
file (`command > log 2>&1 &`)."""


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")

    command: str = Field(min_length=1)
    timeout_s: float | None = Field(default=None, gt=0)


class Shell:
    """Runs commands in the session of the agent."""

    spec = ToolSpec(
        name="shell",
        description=_DESCRIPTION,
        parameters={
            "type": "object",
            "properties": {
                "command": {"type": "string", "description": "What to run. May span several lines."},
                "timeout_s": {
                    "type": "number",
                    "description": f"Seconds until the command is killed. {DEFAULT_TIMEOUT_S:g} if left out.",
                },
            },
            "required": ["command"],
            "additionalProperties": False,
        },
    )

    async def call(self, arguments: Mapping[str, JsonValue], context: ToolContext) -> ToolOutcome:
        """Run the command; the reply carries output, exit code, duration, size and where the whole is."""
        try:
            wanted = read_arguments(_Arguments, arguments)
        except BadArgumentsError as error:
            return failure(str(error))
        timeout_s = wanted.timeout_s or DEFAULT_TIMEOUT_S
        remaining_s = context.remaining_s()
        if remaining_s is not None:
            timeout_s = min(timeout_s, max(remaining_s, 0.1))
        result = await context.session.run(wanted.command, timeout_s=timeout_s)
        return ToolOutcome(
            parts=(TextPart(text=render(result)),),
            is_error=result.timed_out,
            exit_code=result.exit_code,
            timed_out=result.timed_out,
            output_bytes=result.output_bytes,
        )


def render(result: CommandResult) -> str:
    """Return a command's result as the model reads it: the output, then one line of facts."""
    facts = [
        f"killed after {result.duration_s:.1f} s" if result.timed_out else f"exit code {result.exit_code}",
        f"{result.duration_s:.1f} s",
        f"{result.output_bytes:,} bytes",
    ]
    if result.timed_out:
        facts.pop(1)
    if result.output_path and len(result.output.encode()) < result.output_bytes:
        facts.append(f"whole output in {result.output_path}")
    if result.restarted:
        facts.append("the shell was started anew: directory and exported variables were kept, nothing else")
    body = result.output if result.output.endswith("\n") or not result.output else result.output + "\n"
    return f"{body}[{'; '.join(facts)}]"
