"""Building agents from a candidate's settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from harness.agent.calling import RetryDelay
from harness.agent.controls import Nop, Oracle
from harness.agent.loop import Loop, LoopSettings
from harness.agent.prompt import parse_prompt
from harness.ports import Agent, Model, Tool
from harness.schema.candidate import Candidate


@dataclass(frozen=True, kw_only=True)
class AgentMaterial:
    """What an agent may be built from. ``model`` is ``None`` for agents that need none."""

    candidate: Candidate
    model: Model | None
    tools: Callable[[Sequence[str]], Sequence[Tool]]
    retry_delay: RetryDelay
    environ: Mapping[str, str]


def oracle(material: AgentMaterial) -> Agent:
    """Build the oracle."""
    return Oracle(material.environ)


def nop(material: AgentMaterial) -> Agent:
    """Build the nop."""
    return Nop()


def loop(material: AgentMaterial) -> Agent:
    """Build the tool loop: its prompt and its tools are the candidate's settings."""
    settings = material.candidate.settings
    source = str(settings["prompt_source"])
    names = [str(name) for name in _list(settings["tools"])]
    assert material.model is not None
    return Loop(
        material.model,
        LoopSettings(
            prompt=parse_prompt(str(settings["prompt"]), source=source),
            tools=material.tools(names),
            retry_delay=material.retry_delay,
            sources={"system": source, "first message": f"{source}, instruction.md of the task"},
        ),
    )


def _list(value: object) -> Sequence[object]:
    return value if isinstance(value, (list, tuple)) else []
