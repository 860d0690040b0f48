"""The controls: the oracle carries out the task's own solution, the nop does nothing.

They say whether a task is sound: its oracle must pass and its nop must fail.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.errors import AgentError
from harness.ports import AgentContext
from harness.schema.event import AgentEnded, CommandEnded
from harness.task import ignored, resolve_env

_OUTPUT_CHARS = 20_000


class Oracle:
    """Uploads ``solution/`` to ``/solution`` and runs its ``solve.sh``, whose failure is noted, not judged."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    async def work(self, context: AgentContext) -> None:
        """Run the solution as the agent's user, with what it prints in ``/logs/agent/oracle.txt``."""
        solution = context.task.solution_dir
        if solution is None or not (solution / "solve.sh").is_file():
            raise AgentError(
                f"The task {context.task.name} has no solution/solve.sh for the oracle.",
                hint="Add one, or run without the oracle.",
            )
        await context.sandbox.upload(solution, "/solution", ignore=ignored(solution))
        await context.sandbox.exec("chmod +x /solution/solve.sh", user="root")
        env = {"DEBIAN_FRONTEND": "noninteractive", **resolve_env(context.task.solution_env, self._environ)}
        command = (
            "(/solution/solve.sh) > /logs/agent/oracle.txt 2>&1; code=$?; "
            "tail -c 20000 /logs/agent/oracle.txt; exit $code"
        )
        result = await context.sandbox.exec(command, user=context.user, env=env)
        context.recorder.emit(
            CommandEnded(
                role="oracle",
                command="/solution/solve.sh",
                exit_code=result.exit_code,
                duration_s=result.duration_s,
                timed_out=result.timed_out,
                output=result.output[-_OUTPUT_CHARS:],
            )
        )
        if result.exit_code != 0:
            note = f"{result.exit_code}\n".encode()
            await context.sandbox.write_file("/logs/agent/exit-code.txt", note)
        detail = "" if result.exit_code == 0 else f"solve.sh ended with exit code {result.exit_code}"
        context.recorder.emit(AgentEnded(reason="finished", detail=detail))


class Nop:
    """Does nothing."""

    async def work(self, context: AgentContext) -> None:
        """Leave everything as it is."""
        context.recorder.emit(AgentEnded(reason="finished"))
