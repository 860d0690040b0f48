"""Models behind one port: three wire protocols, the providers' profiles, prices, and when to try again.

Owns everything between a ``View`` and a ``Reply``: requests, streams, errors, usage, cost. Leaves to others
when to call (``agent``), what to show (``context``) and what to record. The vendors' packages are slow to
import and are imported when a model is built.
"""

from __future__ import annotations

from harness.model.build import build_model
from harness.model.checking import check_model
from harness.model.parsing import parse_model
from harness.model.pricing import cost_usd, prices_version
from harness.model.profiles import Profile, profiles
from harness.model.retry import RetryPolicy, retry_delay_s

__all__ = [
    "Profile",
    "RetryPolicy",
    "build_model",
    "check_model",
    "cost_usd",
    "parse_model",
    "prices_version",
    "profiles",
    "retry_delay_s",
]
