"""When to ask a model again: pure arithmetic. The loop sleeps, and records every try.

Providers bill a request that was cut as well as one that was answered, so tries are few and counted.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from harness.errors import ModelError


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How often and how long. The defaults wait three minutes in all before the provider counts as away."""

    max_tries: int = 8
    first_delay_s: float = 2.0
    max_delay_s: float = 60.0
    max_retry_after_s: float = 120.0


_DEFAULT = RetryPolicy()


def retry_delay_s(
    error: ModelError,
    try_number: int,
    *,
    policy: RetryPolicy = _DEFAULT,
    jitter: Callable[[], float] = random.random,
) -> float | None:
    """Return seconds to wait after the try of this number (from 1) failed, ``None`` to give up.

    Delays double up to a cap and are spread over their upper half by ``jitter`` (from 0 to 1), so that many
    trials do not come back at once. What the provider asks for is kept to, up to a cap of its own.
    """
    if not error.retryable or try_number >= policy.max_tries:
        return None
    delay_s: float = min(policy.max_delay_s, policy.first_delay_s * 2.0 ** (try_number - 1))
    if error.retry_after_s is not None:
        return min(error.retry_after_s, policy.max_retry_after_s) + jitter() * policy.first_delay_s / 2
    return delay_s * (0.5 + jitter() / 2)
