"""The tables of what can be chosen by name: kind → "module:factory", imported on use.

Entry points of installed packages come after the bundled ones (groups ``harness.agents`` and
``harness.tools``); one that cannot be imported is an error only when it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Literal

from harness.errors import SettingsError, UnknownNameError

AGENTS: Mapping[str, str] = {
    "oracle": "harness.agent.factories:oracle",
    "nop": "harness.agent.factories:nop",
    "loop": "harness.agent.factories:loop",
}
"""Factories take an ``AgentMaterial`` and return an ``Agent``."""

TOOLS: Mapping[str, str] = {
    "shell": "harness.tool.shell:Shell",
    "edit": "harness.tool.edit:Edit",
    "submit": "harness.tool.submit:Submit",
}
"""Factories take nothing and return a ``Tool``."""


@dataclass(frozen=True, kw_only=True)
class AgentKind:
    """What the plan must know of an agent before it is built."""

    needs_model: bool
    role: Literal["candidate", "control"] = "candidate"


AGENT_KINDS: Mapping[str, AgentKind] = {
    "oracle": AgentKind(needs_model=False, role="control"),
    "nop": AgentKind(needs_model=False, role="control"),
    "loop": AgentKind(needs_model=True),
}


def agent_kind(name: str) -> AgentKind:
    """Return what the plan must know of an agent; an installed agent needs a model unless it says otherwise."""
    if name in AGENT_KINDS:
        return AGENT_KINDS[name]
    factory = find("agent", name, AGENTS)
    return AgentKind(needs_model=getattr(factory, "needs_model", True))


def find(what: Literal["agent", "tool"], name: str, table: Mapping[str, str]) -> Any:
    """Return the factory of this name; raises ``UnknownNameError`` with the near ones."""
    installed = {point.name: point for point in entry_points(group=f"harness.{what}s")}
    try:
        if name in table:
            module, _, attribute = table[name].partition(":")
            return getattr(import_module(module), attribute)
        if name in installed:
            return installed[name].load()
    except ImportError as error:
        raise SettingsError(f"The {what} {name!r} cannot be imported: {error}.") from error
    raise UnknownNameError(what, name, [*table, *installed])
