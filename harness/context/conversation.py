"""The conversation of an attempt as a fold over its events.

Feed it every event in order, live or from the record; ``view`` is then what the model is to be shown next.
The log is never rewritten: a strategy that shortens the view does so by an event of its own.
"""

from __future__ import annotations

from harness.schema.event import (
    AnyEvent,
    ModelReplied,
    NoticeShown,
    PromptShown,
    ToolEnded,
)
from harness.schema.message import (
    ReplyItem,
    ResultsItem,
    TextPart,
    ToolResult,
    ToolSpec,
    UserItem,
    View,
    ViewItem,
)


class Conversation:
    """Folds events into the items of a view. Every call of a reply must be answered before the next view."""

    def __init__(self) -> None:
        self._system = ""
        self._tools: tuple[ToolSpec, ...] = ()
        self._items: list[ViewItem] = []
        self._open_calls: list[str] = []
        self._results: dict[str, ToolResult] = {}

    def apply(self, event: AnyEvent) -> None:
        """Take one event into account; kinds that no model sees are ignored."""
        match event:
            case PromptShown():
                self._system = event.system
                self._tools = event.tools
                self._items.append(UserItem(parts=event.parts))
            case NoticeShown():
                self._items.append(UserItem(parts=(TextPart(text=event.text),)))
            case ModelReplied():
                self._items.append(ReplyItem(reply=event.reply))
                self._open_calls = [call.call_id for call in event.reply.calls]
                self._results = {}
            case ToolEnded():
                self._results[event.result.call_id] = event.result
                self._answer_when_complete()
            case _:
                pass

    @property
    def unanswered(self) -> tuple[str, ...]:
        """Ids of calls of the last reply that have no result yet."""
        return tuple(call for call in self._open_calls if call not in self._results)

    def view(self) -> View:
        """Return all that the model is to be shown; raises ``ValueError`` while a call is unanswered."""
        if self.unanswered:
            msg = f"calls without a result: {', '.join(self.unanswered)}"
            raise ValueError(msg)
        # The items are records already: building the view must not validate a long history once more per turn.
        return View.model_construct(system=self._system, tools=self._tools, items=tuple(self._items))

    def _answer_when_complete(self) -> None:
        if self._open_calls and not self.unanswered:
            results = tuple(self._results[call] for call in self._open_calls)
            self._items.append(ResultsItem(results=results))
            self._open_calls = []
            self._results = {}
