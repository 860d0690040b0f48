"""Makes a small task that works, to be changed into a real one."""

from __future__ import annotations

from pathlib import Path

from harness.errors import TaskError

_TASK_TOML = """\
schema_version = "1.4"
{identity}
[metadata]
difficulty = "easy"
category = "example"

[agent]
timeout_sec = 600

[verifier]
timeout_sec = 120

[environment]
cpus = 1
memory_mb = 1024
network_mode = "no-network"
"""

_INSTRUCTION = """\
The file `/app/numbers.txt` holds one whole number per line.

Write their sum, and nothing else, to `/app/total.txt`.
"""

_DOCKERFILE = """\
FROM debian:bookworm-slim
WORKDIR /app
COPY numbers.txt ./
"""

_NUMBERS = "17\n-4\n29\n"

_SOLVE = """\
#!/bin/bash
# The reference solution: the oracle runs it to show that the task can be solved.
set -eu
total=0
while read -r number; do
  total=$((total + number))
done < /app/numbers.txt
echo "$total" > /app/total.txt
"""

_TEST = """\
#!/bin/bash
# The hidden tests: they enter the container when the agent is over, as /tests.
# What they find goes to /logs/verifier/reward.txt: 1 is solved, 0 is not.
reward=0
if [ "$(cat /app/total.txt 2>/dev/null)" = "42" ]; then
  echo "The total is right."
  reward=1
else
  echo "Expected 42 in /app/total.txt."
fi
mkdir -p /logs/verifier
echo "$reward" > /logs/verifier/reward.txt
"""


def new_task(folder: Path, name: str) -> None:
    """Write a minimal task whose oracle passes and whose nop fails.

    ``name`` is the task's, with or without ``org/``; a name that is the folder's own need not be written
    down. Raises ``TaskError`` if the folder already holds something, or cannot be written.
    """
    org, _, short = name.rpartition("/")
    identity = "" if name == folder.resolve().name else f'\n[task]\nname = "{org or "local"}/{short}"\n'
    files = {
        "task.toml": _TASK_TOML.format(identity=identity),
        "instruction.md": _INSTRUCTION,
        "environment/Dockerfile": _DOCKERFILE,
        "environment/numbers.txt": _NUMBERS,
        "solution/solve.sh": _SOLVE,
        "tests/test.sh": _TEST,
    }
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise TaskError(f"{folder} is already there and not empty.", hint="Name a new folder.")
        for relative, text in files.items():
            path = folder / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
            path.chmod(0o755 if path.suffix == ".sh" else 0o644)
    except OSError as error:
        raise TaskError(f"{folder} cannot be written ({error.strerror}).") from error
