"""From what a verifier reported to how an attempt ended. Pure."""

from __future__ import annotations

from harness.scoring.rewards import headline, parse_reward, passed

__all__ = ["headline", "parse_reward", "passed"]
