"""What a wire protocol has to say for itself: the request for a view, and the fold of a stream's events.

Both are pure. Sending, deadlines, errors and the record of the exchange are in ``call``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from pydantic import JsonValue

from harness.errors import SettingsError
from harness.model.reading import Object, merged
from harness.schema.candidate import ModelSettings
from harness.schema.message import Reply, Usage, View, ViewItem

_BYTES_PER_TOKEN = 4
_IMAGE_TOKENS = 1500

_Made = TypeVar("_Made")


class Fold(Protocol):
    """Takes a stream's events one by one until they make a reply."""

    @property
    def complete(self) -> bool:
        """Whether the terminal event was seen."""
        ...

    @property
    def closing(self) -> bool:
        """Whether nothing that matters can follow any more."""
        ...

    def add(self, event: Object) -> None:
        """Take one event. Raises ``ProviderFault`` when it is an error in disguise."""
        ...

    def reply(self) -> Reply:
        """Return the reply. Only after ``complete``; raises ``ProviderFault`` when it holds no answer at all."""
        ...


class Wire(Protocol):
    """A protocol with a candidate's settings."""

    @property
    def history_field(self) -> str:
        """The request's field that holds the conversation."""
        ...

    def body(self, view: View) -> Object:
        """Return the whole request for a view."""
        ...

    def fold(self) -> Fold:
        """Return a fresh fold for one stream."""
        ...


class ItemMemo(Generic[_Made]):
    """Remembers what was made of each item of a view, for as long as views show the item.

    A view of a long trial holds thousands of items, and all but the last few are those of the call before.
    """

    def __init__(self, make: Callable[[ViewItem], _Made]) -> None:
        self._make = make
        self._known: dict[int, tuple[ViewItem, _Made]] = {}

    def of(self, items: Sequence[ViewItem]) -> list[_Made]:
        """Return what is made of each item, in order."""
        known = self._known
        kept: dict[int, tuple[ViewItem, _Made]] = {}
        for item in items:
            entry = known.get(id(item))
            kept[id(item)] = entry if entry is not None and entry[0] is item else (item, self._make(item))
        self._known = kept
        return [kept[id(item)][1] for item in items]


def with_extra(body: Object, settings: ModelSettings, *, reserved: Sequence[str]) -> Object:
    """Lay the candidate's extra body upon a request; the reserved fields are the harness's own."""
    for name in reserved:
        if name in settings.extra_body:
            raise SettingsError(
                f"extra_body.{name} of {settings.provider}/{settings.name} cannot be set: the harness decides it."
            )
    return merged(body, settings.extra_body) if settings.extra_body else body


def estimated(usage: Usage, body: Object, reply: Reply) -> Usage:
    """Return the usage with its missing numbers estimated from the size of what was sent and received."""
    update: dict[str, int | bool] = {"estimated": True}
    if usage.input_tokens is None:
        update["input_tokens"] = _tokens(dict(body))
    if not usage.output_tokens:
        update["output_tokens"] = _tokens(list(reply.native))
    return usage.model_copy(update=update)


def _tokens(value: JsonValue) -> int:
    return -(-_weight(value) // _BYTES_PER_TOKEN)


def _weight(value: JsonValue) -> int:
    """Bytes of the JSON, an image counting as a fixed number of tokens however many bytes it has."""
    match value:
        case str():
            return _IMAGE_TOKENS * _BYTES_PER_TOKEN if value.startswith("data:image/") else len(value.encode()) + 2
        case {"type": "base64", "data": str()}:
            return _IMAGE_TOKENS * _BYTES_PER_TOKEN
        case dict():
            return 2 + sum(len(key) + 4 + _weight(item) for key, item in value.items())
        case list():
            return 2 + sum(1 + _weight(item) for item in value)
        case _:
            return len(json.dumps(value))
