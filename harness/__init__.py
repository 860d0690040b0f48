"""A benchmark harness for coding agents: tasks sandboxes, models, hidden tests, one report."""

from __future__ import annotations

__version__ = "0.1.0"
