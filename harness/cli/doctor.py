"""``harness doctor``: print what the machine has and lacks, or mend it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from harness.doctor import Check, Purpose, examine, repair
from harness.errors import EXIT_OK, EXIT_USAGE, HarnessError

if TYPE_CHECKING:
    from rich.text import Text

_WORDS = {"error": ("FAIL", "bold red"), "warning": ("warn", "yellow"), "info": ("note", "cyan")}


def doctor_command(*, fix: bool, for_tests: bool, as_json: bool) -> int:
    """Look, or mend and look; print; return 0 when runs can start, 2 when something that they need is missing."""
    purpose: Purpose = "tests" if for_tests else "run"
    trouble: HarnessError | None = None
    if fix:
        try:
            checks = repair(purpose, _say)
        except HarnessError as error:
            trouble = error
            checks = examine(purpose)
    else:
        checks = examine(purpose)
    ready = not any(_stops(check) for check in checks)
    if as_json:
        print(json.dumps({"ok": ready, "checks": [asdict(check) for check in checks]}, ensure_ascii=False))
    else:
        _print(checks, brief=fix and ready)
    if trouble is not None and trouble.message not in {check.found for check in checks}:
        _tell(trouble)
    return EXIT_OK if ready else EXIT_USAGE


def _stops(check: Check) -> bool:
    return not check.ok and check.severity == "error"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _tell(trouble: HarnessError) -> None:
    for text in (trouble.detail, trouble.message, trouble.hint):
        if text:
            _say(text)


def _print(checks: Sequence[Check], *, brief: bool) -> None:
    """One line per check, with what to do below it; ``brief`` leaves out what is well."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True)
    if brief:
        console.print(Text(f"Ready: {next(check.found for check in checks if check.name == 'engine')}"))
    for check in checks:
        if brief and (check.ok or check.severity == "info"):
            continue
        console.print(_line(check))
        if not check.ok and check.fix_hint:
            console.print(Text(f"     {check.fix_hint}"))
            if check.fixable and not brief and "doctor --fix" not in check.fix_hint:
                console.print(Text("     harness doctor --fix does this."))


def _line(check: Check) -> Text:
    from rich.text import Text

    word, style = ("ok", "green") if check.ok else _WORDS[check.severity]
    return Text.assemble((f"{word:<5}", style), (f"{check.name:<16}", "bold"), check.found)
