"""What can be set about a protocol beyond what every protocol has: differences between servers, as data.

Profiles carry them, ``options.NAME=VALUE`` overrides them, the plan records what came out.
"""

from __future__ import annotations

from typing import Literal, TypeVar

from pydantic import ValidationError

from harness.errors import SettingsError, UnknownNameError
from harness.schema.base import Record
from harness.schema.candidate import ModelSettings


class ResponsesOptions(Record):
    """OpenAI Responses.

    ``encrypted_reasoning`` asks for reasoning that can be sent back. ``reasoning_summary`` (``auto``,
    ``concise``, ``detailed``) asks for readable reasoning, which some accounts may not have.
    """

    encrypted_reasoning: bool = True
    reasoning_summary: str = ""
    prompt_cache_key: bool = True


class ChatOptions(Record):
    """OpenAI Chat Completions and the servers that follow it.

    ``effort_field`` is the dotted place of the effort, empty where there is none. ``replay_reasoning`` sends
    reasoning text back with the message it came in. ``stream_usage`` asks for usage at the stream's end.
    """

    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    effort_field: str = "reasoning_effort"
    replay_reasoning: bool = True
    stream_usage: bool = True
    prompt_cache_key: bool = False


class MessagesOptions(Record):
    """Anthropic Messages. ``cache`` marks the prompt for caching; ``key_header`` is how the key is sent."""

    cache: bool = True
    key_header: Literal["authorization", "x-api-key"] = "authorization"


_Options = TypeVar("_Options", ResponsesOptions, ChatOptions, MessagesOptions)


def read_options(kind: type[_Options], settings: ModelSettings) -> _Options:
    """Return the candidate's options for its protocol; raises ``SettingsError`` for what it does not have."""
    for name in settings.options:
        if name not in kind.model_fields:
            raise UnknownNameError(f"option of {settings.api}", name, kind.model_fields)
    try:
        return kind.model_validate(settings.options)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(step) for step in first["loc"])
        raise SettingsError(
            f"options.{name} of {settings.provider}/{settings.name} is wrong: {first['msg']}."
        ) from error
