from __future__ import annotations

import pytest

from harness.errors import ModelAccessError, ModelUnavailableError
from harness.model import RetryPolicy, retry_delay_s

BUSY = ModelUnavailableError("busy")


def most() -> float:
    return 1.0


def test_delays_double_up_to_the_cap() -> None:
    assert [retry_delay_s(BUSY, number, jitter=most) for number in range(1, 8)] == [2, 4, 8, 16, 32, 60, 60]


def test_jitter_spreads_a_delay_over_its_upper_half() -> None:
    assert retry_delay_s(BUSY, 3, jitter=lambda: 0.0) == 4
    assert retry_delay_s(BUSY, 3, jitter=lambda: 0.5) == 6


def test_the_last_try_is_followed_by_none() -> None:
    assert retry_delay_s(BUSY, 8) is None
    assert retry_delay_s(BUSY, 2, policy=RetryPolicy(max_tries=2)) is None


def test_an_error_that_stays_is_not_tried_again() -> None:
    assert retry_delay_s(ModelAccessError("no"), 1) is None


@pytest.mark.parametrize(("asked", "waited"), [(0.0, 0.0), (7.5, 7.5), (86_400.0, 120.0)])
def test_what_the_provider_asks_for_is_kept_to_up_to_two_minutes(asked: float, waited: float) -> None:
    error = ModelUnavailableError("busy", retry_after_s=asked)
    assert retry_delay_s(error, 5, jitter=lambda: 0.0) == waited
