"""What this version of the harness cannot honour, so that it refuses a task instead of measuring another one."""

from __future__ import annotations

from collections.abc import Iterator

from harness.schema.task import Task


def unsupported(task: Task) -> str | None:
    """Return why ``task`` cannot be run as its author meant it ("it has 3 steps, …"), ``None`` if it can."""
    reasons = list(_reasons(task))
    return f"it {' and '.join(reasons)}, which this version cannot honour." if reasons else None


def _reasons(task: Task) -> Iterator[str]:
    environment = task.environment
    if environment.os == "windows":
        yield "needs a Windows container"
    if environment.has_compose:
        yield "brings a docker-compose.yaml"
    if task.steps:
        yield f"has {len(task.steps)} steps"
    if task.verifier.mode == "separate":
        yield "is verified in a separate container"
    if environment.resources.tpu is not None:
        yield "needs a TPU"
    if environment.resources.gpus:
        yield f"needs {environment.resources.gpus} GPU(s)"
    if environment.mcp_servers:
        yield "offers MCP servers to the agent"
    if environment.skills_dir is not None:
        yield "offers skills to the agent"
    if task.trajectory is not None:
        yield "starts from an earlier conversation (trajectory.json)"
    yield from _network_reasons(task)
    services = {hook.service for hook in task.verifier.collect} | {item.service for item in task.artifacts}
    if others := sorted(name for name in services if name not in {None, "main"}):
        yield f"collects from the service {others[0]}"


def _network_reasons(task: Task) -> Iterator[str]:
    phases = [policy for policy in (task.agent.network, task.verifier.network) if policy is not None]
    modes = {policy.mode for policy in (task.environment.network, *phases)}
    if "allowlist" in modes:
        yield "allows a list of network hosts"
    elif len(modes) > 1:
        yield "changes its network between phases"
