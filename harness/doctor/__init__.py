"""What this machine needs before a run: what is here, what is missing, what to do, and doing it.

Owns the checks (``examine``), the repair of what can be repaired (``repair``) and the guard that a run
starts behind (``require_engine``). Leaves images and containers to ``sandbox``, printing to ``cli``.
Nothing here is imported before it is needed: ``harness --help`` stays instant.
"""

from __future__ import annotations

from harness.doctor.checks import Check, Purpose, Severity, examine, find_chromium
from harness.doctor.engine import Engine, EngineFacts, find_engine, require_engine
from harness.doctor.mending import repair

__all__ = [
    "Check",
    "Engine",
    "EngineFacts",
    "Purpose",
    "Severity",
    "examine",
    "find_chromium",
    "find_engine",
    "repair",
    "require_engine",
]
