"""Where attempts run: on this machine, for now."""

from harness.executor.local import LocalExecutor

__all__ = ["LocalExecutor"]
