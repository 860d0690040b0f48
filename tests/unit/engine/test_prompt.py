"""The prompt file: its two parts, and what is said when one is missing."""

from __future__ import annotations

import pytest

from harness.agent.prompt import default_prompt_text, parse_prompt
from harness.errors import SettingsError


def test_the_bundled_prompt_shows_the_instruction_and_where_one_is() -> None:
    prompt = parse_prompt(default_prompt_text(), source="bundled")
    text = prompt.first_message(instruction="Do $this.", workdir="/app", user="root", timeout_s=600)
    assert text.startswith("Do $this.")
    assert "`/app`" in text
    assert "10 minutes" in text
    assert "$" not in prompt.system


def test_nothing_is_said_of_time_where_there_is_no_limit() -> None:
    prompt = parse_prompt(default_prompt_text(), source="bundled")
    assert "You have" not in prompt.first_message(instruction="x", workdir="/", user="u", timeout_s=None)


@pytest.mark.parametrize(
    "text",
    [
        "only a system prompt",
        "system\n=== task\nno instruction",
        "s\n=== task\n$instruction $other",
        "s\n=== task\n$ ",
    ],
)
def test_a_prompt_file_that_cannot_work_is_refused_by_name(text: str) -> None:
    with pytest.raises(SettingsError, match=r"mine\.md"):
        parse_prompt(text, source="mine.md")
