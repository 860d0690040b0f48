"""Reads task folders in the Harbor format, checks them and makes new ones.

Owns the folder format; what is then done with a ``Task`` is the engine's.
"""

from __future__ import annotations

from harness.task.check import Finding, check_task
from harness.task.find import find_tasks
from harness.task.folder import require_unchanged
from harness.task.harbor import read_task
from harness.task.ignore import ignored
from harness.task.scaffold import new_task
from harness.task.support import unsupported
from harness.task.templates import resolve_env

__all__ = [
    "Finding",
    "check_task",
    "find_tasks",
    "ignored",
    "new_task",
    "read_task",
    "require_unchanged",
    "resolve_env",
    "unsupported",
]
