"""The command line: parse, call, print. Results go to stdout, progress and remarks to stderr."""

from __future__ import annotations

import os
import sys

from harness.errors import HarnessError


def main() -> None:
    """Run the ``harness`` command and leave with its exit code."""
    from harness.cli.app import app

    try:
        app()
    except HarnessError as error:
        sys.exit(say_error(error))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader of a pipe went away; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


def say_error(error: HarnessError) -> int:
    """Print what happened, the evidence, and what to do; return the exit code."""
    lines = [f"harness: {error.message}"]
    lines += [f"  | {line}" for line in error.detail.splitlines()]
    lines += [f"  {error.hint}"] if error.hint else []
    print("\n".join(lines), file=sys.stderr)
    return error.exit_code
