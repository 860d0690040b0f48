"""Limits are reached by what was used, in every kind."""

from __future__ import annotations

import pytest

from harness.agent.budget import Spent
from harness.schema.candidate import Limits
from harness.schema.message import Reply, Usage

REPLY = Reply(usage=Usage(input_tokens=100, output_tokens=20), cost_usd=0.5)


@pytest.mark.parametrize(
    ("limits", "kind"),
    [
        (Limits(turns=2), "turns"),
        (Limits(input_tokens=200), "input_tokens"),
        (Limits(output_tokens=40), "output_tokens"),
        (Limits(total_tokens=240), "total_tokens"),
        (Limits(cost_usd=1.0), "cost_usd"),
    ],
)
def test_a_limit_is_hit_when_it_is_used_up_and_not_before(limits: Limits, kind: str) -> None:
    once = Spent().after(REPLY)
    assert once.hit(limits) is None
    hit = once.after(REPLY).hit(limits)
    assert hit is not None
    assert hit.kind == kind


def test_without_limits_nothing_is_hit() -> None:
    spent = Spent()
    for _ in range(50):
        spent = spent.after(REPLY)
    assert spent.hit(Limits()) is None


def test_unknown_usage_counts_a_turn_all_the_same() -> None:
    assert Spent().after(Reply()) == Spent(turns=1)
