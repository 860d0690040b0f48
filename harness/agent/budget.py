"""The limits of a trial as a fold over its events: what was used, and which limit is reached first. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from harness.schema.candidate import Limits
from harness.schema.event import LimitHit, LimitKind
from harness.schema.message import Reply


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What an agent has used so far. Tokens and money that no provider told count as nothing here."""

    turns: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0

    def after(self, reply: Reply) -> Spent:
        """Return the sum after one more reply."""
        return Spent(
            turns=self.turns + 1,
            input_tokens=self.input_tokens + (reply.usage.input_tokens or 0),
            output_tokens=self.output_tokens + (reply.usage.output_tokens or 0),
            cost_usd=self.cost_usd + (reply.cost_usd or 0.0),
        )

    def hit(self, limits: Limits) -> LimitHit | None:
        """Return the limit that is used up, ``None`` while there is room for another call."""
        used: tuple[tuple[LimitKind, float | None, float], ...] = (
            ("turns", limits.turns, self.turns),
            ("input_tokens", limits.input_tokens, self.input_tokens),
            ("output_tokens", limits.output_tokens, self.output_tokens),
            ("total_tokens", limits.total_tokens, self.input_tokens + self.output_tokens),
            ("cost_usd", limits.cost_usd, self.cost_usd),
        )
        for kind, limit, value in used:
            if limit is not None and value >= limit:
                return LimitHit(kind=kind, limit=limit, used=value)
        return None
