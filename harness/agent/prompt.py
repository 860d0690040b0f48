"""The loop's prompt: one file with the system prompt, a line ``=== task``, and the form of the first message.

The form knows ``$instruction`` (required), ``$workdir``, ``$user`` and ``$time_note``. Nothing in the system
prompt changes during a trial, so prompt caches and bound reasoning stay valid.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from string import Template

from harness.errors import SettingsError

_SEPARATOR = "=== task"


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A parsed prompt file."""

    system: str
    form: Template

    def first_message(self, *, instruction: str, workdir: str, user: str, timeout_s: float | None) -> str:
        """Return the first message to the model."""
        note = "" if timeout_s is None else f" You have about {_duration(timeout_s)}."
        return self.form.substitute(instruction=instruction.strip(), workdir=workdir, user=user, time_note=note)


def default_prompt_text() -> str:
    """Return the text of the prompt file that comes with the harness."""
    return (files("harness.agent") / "prompts" / "loop.md").read_text(encoding="utf-8")


def parse_prompt(text: str, *, source: str) -> Prompt:
    """Split a prompt file; raises ``SettingsError`` that says what is missing in ``source``."""
    system, found, form = text.partition(f"\n{_SEPARATOR}\n")
    if not found:
        raise SettingsError(
            f"The prompt file {source} has no line {_SEPARATOR!r}.",
            hint="Put it between the system prompt and the form of the first message.",
        )
    template = Template(form.strip())
    known = {"instruction", "workdir", "user", "time_note"}
    names = set(template.get_identifiers()) if template.is_valid() else set()
    if not template.is_valid() or "instruction" not in names or names - known:
        raise SettingsError(
            f"The form of the first message in {source} must use $instruction and may use $workdir, $user and "
            f"$time_note, nothing else.",
            hint="Write $$ for a dollar sign.",
        )
    return Prompt(system=system.strip(), form=template)


def _duration(seconds: float) -> str:
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} hours"
    return f"{seconds / 60:.0f} minutes" if seconds >= 90 else f"{seconds:.0f} seconds"
