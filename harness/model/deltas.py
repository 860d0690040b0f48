"""Merge the deltas of a Chat Completions stream into the message they make.

Texts grow, lists grow entry by entry, names and ids are set once. Servers disagree on ``index`` and ``id`` of
tool calls: some leave the index out, some give every parallel call the same one, some repeat names.
"""

from __future__ import annotations

from pydantic import JsonValue

from harness.model.reading import Object, as_count, as_object, as_objects, as_text, mend_text

_SET_ONCE = frozenset({"role", "type", "id", "format", "index", "signature_type"})


class MessageDeltas:
    """An assistant message as it grows."""

    def __init__(self) -> None:
        self._fields: dict[str, _Growing] = {}
        self._calls: list[_GrowingCall] = []

    def add(self, delta: Object) -> None:
        """Merge one delta."""
        for name, value in delta.items():
            if name == "tool_calls":
                for part in as_objects(value):
                    self._call_for(part).add(part)
            elif value is not None:
                self._fields.setdefault(name, _Growing()).add(name, value)

    def message(self, response_id: str) -> Object:
        """Return the message as it would have come without a stream, to be sent back."""
        message: Object = {"role": "assistant", **_grown(self._fields)}
        message["role"] = "assistant"
        message.setdefault("content", None if self._calls else "")
        if self._calls:
            message["tool_calls"] = [call.value(response_id, number) for number, call in enumerate(self._calls)]
        return message

    def _call_for(self, part: Object) -> _GrowingCall:
        """Return the call that a delta belongs to, a new one when it brings an id or index of its own."""
        index, call_id = as_count(part.get("index")), as_text(part.get("id"))
        same = [call for call in self._calls if index is None or call.index == index]
        if call_id:
            same = [call for call in same if call.call_id in {"", call_id}]
        if same and (index is not None or call_id or not as_object(part.get("function")).get("name")):
            return same[-1]
        self._calls.append(_GrowingCall(index))
        return self._calls[-1]


class _Growing:
    """A value that arrives in pieces."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._entries: list[tuple[int | None, dict[str, _Growing]]] = []
        self._fields: dict[str, _Growing] = {}
        self._last: JsonValue = None

    def add(self, name: str, value: JsonValue) -> None:
        """Take one piece."""
        match value:
            case str() if name not in _SET_ONCE:
                self._pieces.append(value)
            case str():
                self._pieces = self._pieces or [value]
            case dict():
                _grow(self._fields, value)
            case list():
                for entry in as_objects(value):
                    self._add_entry(entry)
                if not as_objects(value):
                    self._last = value
            case _:
                self._last = value

    def value(self) -> JsonValue:
        """Return what the pieces make."""
        text = mend_text("".join(self._pieces))
        if self._entries:
            entries: list[JsonValue] = [_grown(fields) for _, fields in self._entries]
            return [*entries, {"type": "text", "text": text}] if text else entries
        if self._fields:
            return _grown(self._fields)
        return text if self._pieces else self._last

    def _add_entry(self, entry: Object) -> None:
        index = as_count(entry.get("index"))
        for known, fields in self._entries:
            if index is not None and known == index:
                _grow(fields, entry)
                return
        self._entries.append((index, {}))
        _grow(self._entries[-1][1], entry)


class _GrowingCall:
    """A tool call that arrives in pieces."""

    def __init__(self, index: int | None) -> None:
        self.index = index
        self.call_id = ""
        self._name = ""
        self._arguments: list[str] = []
        self._whole: JsonValue = None
        self._function: dict[str, _Growing] = {}
        self._others: dict[str, _Growing] = {}

    def add(self, part: Object) -> None:
        """Take one piece."""
        self.call_id = self.call_id or as_text(part.get("id"))
        function = as_object(part.get("function"))
        name = as_text(function.get("name"))
        if name != self._name:
            self._name += name
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            self._arguments.append(arguments)
        elif arguments is not None:
            self._whole = arguments
        _grow(self._function, {key: value for key, value in function.items() if key not in {"name", "arguments"}})
        known = {"id", "index", "type", "function"}
        _grow(self._others, {key: value for key, value in part.items() if key not in known})

    def value(self, response_id: str, number: int) -> Object:
        """Return the call. One without an id gets one, as its result has to name it."""
        arguments: JsonValue = mend_text("".join(self._arguments)) if self._whole is None else self._whole
        function: Object = {"name": self._name, "arguments": arguments, **_grown(self._function)}
        call_id = self.call_id or f"call_{response_id or 'reply'}_{number}"
        return {"id": call_id, "type": "function", "function": function, **_grown(self._others)}


def _grow(fields: dict[str, _Growing], values: Object) -> None:
    for name, value in values.items():
        if value is not None:
            fields.setdefault(name, _Growing()).add(name, value)


def _grown(fields: dict[str, _Growing]) -> Object:
    return {name: field.value() for name, field in fields.items()}
