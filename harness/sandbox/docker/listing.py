"""What of the harness is on an engine now: its containers, whose they are, and whether their owner lives."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, Field

from harness.sandbox.docker.engine import Engine
from harness.sandbox.docker.owner import LABEL, Owner


@dataclass(frozen=True, kw_only=True)
class Held:
    """One container of the harness. ``owner`` is ``elsewhere`` for one that another host's process made."""

    container: str
    run: str
    trial: str
    attempt: str
    role: str
    state: str
    age_s: float
    owner: Literal["alive", "gone", "elsewhere"]


class _Row(BaseModel):
    Id: str
    Created: float
    State: str = ""
    Labels: dict[str, str] = Field(default_factory=dict)


async def list_held(engine: Engine) -> tuple[Held, ...]:
    """Return every container that carries our label, oldest first. Raises ``DaemonError``."""
    raw = await engine.call(engine.api.containers, all=True, filters={"label": [LABEL]})
    rows = sorted((_Row.model_validate(row) for row in raw), key=lambda row: row.Created)
    return tuple(_held(row) for row in rows)


def _held(row: _Row) -> Held:
    def label(name: str) -> str:
        return row.Labels.get(f"harness.{name}", "")

    return Held(
        container=row.Id,
        run=label("run"),
        trial=label("trial"),
        attempt=label("attempt"),
        role=label("role"),
        state=row.State,
        age_s=max(0.0, time.time() - row.Created),
        owner=_owner(row.Labels.get(LABEL, "")),
    )


def _owner(label: str) -> Literal["alive", "gone", "elsewhere"]:
    owner = Owner.parse(label)
    if owner is None or owner.host != Owner.this_process().host:
        return "elsewhere"
    return "gone" if owner.is_gone() else "alive"
