"""The neutral conversation between the loop and a model: what is shown, what comes back, what it used.

A provider's own items travel verbatim in ``Reply.native`` and are what is sent back; the neutral fields are
for the loop, the record and the report.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from harness.schema.base import Record


class TextPart(Record):
    """A piece of text."""

    kind: Literal["text"] = "text"
    text: str


class ImagePart(Record):
    """A picture, base64 of its bytes. ``media_type`` is PNG, JPEG, GIF or WebP (``image/png`` …)."""

    kind: Literal["image"] = "image"
    media_type: str
    data_b64: str


Part = Annotated[TextPart | ImagePart, Field(discriminator="kind")]


class ToolSpec(Record):
    """A tool as the model is told of it. ``parameters`` is a JSON Schema of type object."""

    name: str
    description: str
    parameters: dict[str, JsonValue]


class ToolCall(Record):
    """One call that a model asked for.

    ``arguments`` is ``None`` when ``arguments_text`` was not a JSON object; ``problem`` then says why.
    """

    call_id: str
    name: str
    arguments: dict[str, JsonValue] | None
    arguments_text: str = ""
    problem: str | None = None


class ToolResult(Record):
    """The answer to one call, as the model sees it."""

    call_id: str
    name: str
    parts: tuple[Part, ...]
    is_error: bool = False

    @property
    def text(self) -> str:
        """The text parts, joined."""
        return "\n".join(part.text for part in self.parts if isinstance(part, TextPart))


class Usage(Record):
    """Tokens of one model call. Unknown is ``None``, never 0.

    ``input_tokens`` includes ``cached_tokens`` (read from a cache) and ``cache_write_tokens``;
    ``output_tokens`` includes ``reasoning_tokens``. ``estimated`` marks numbers that no provider gave.
    """

    input_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    estimated: bool = False


StopReason = Literal["end", "tools", "length", "refusal", "context", "pause", "other"]


class Reply(Record):
    """One complete answer of a model: its terminal event was seen.

    ``native`` holds the provider's own output items, verbatim and in order. ``stop`` is why it ended:
    ``tools`` asks for calls, ``length`` was cut by the output limit, ``context`` by the window, ``pause``
    asks to be sent back as it is.
    """

    text: str = ""
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()
    stop: StopReason = "end"
    stop_detail: str = ""
    native: tuple[JsonValue, ...] = ()
    usage: Usage = Usage()
    cost_usd: float | None = None
    served_model: str | None = None
    response_id: str | None = None


class UserItem(Record):
    """What the harness says to the model: the task, or a notice."""

    kind: Literal["user"] = "user"
    parts: tuple[Part, ...]


class ReplyItem(Record):
    """An earlier reply, sent back from its native items."""

    kind: Literal["reply"] = "reply"
    reply: Reply


class ResultsItem(Record):
    """The results of every call of the reply before it, in the order of the calls."""

    kind: Literal["results"] = "results"
    results: tuple[ToolResult, ...]


ViewItem = Annotated[UserItem | ReplyItem | ResultsItem, Field(discriminator="kind")]


class View(Record):
    """All that a model is shown in one call."""

    system: str
    tools: tuple[ToolSpec, ...]
    items: tuple[ViewItem, ...]
