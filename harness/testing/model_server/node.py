"""Read a request's JSON piece by piece, refusing what a service would refuse, in its own words."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Protocol

from pydantic import JsonValue

from harness.testing.model_server.refused import Refused

Path = tuple[str | int, ...]


def words(text: str) -> frozenset[str]:
    """Return the words of a text, so that tables of field names stay readable."""
    return frozenset(text.split())


class Wording(Protocol):
    """How a service words what is wrong with a field."""

    def missing(self, path: Path) -> Refused:
        """Return the refusal for a field that has to be there."""
        ...

    def unknown(self, path: Path) -> Refused:
        """Return the refusal for a field that nobody knows."""
        ...

    def wrong_type(self, path: Path, wanted: str, value: JsonValue) -> Refused:
        """Return the refusal for a value of another type. ``wanted`` is ``string``, ``integer`` …"""
        ...

    def wrong_value(self, path: Path, value: JsonValue, allowed: Collection[str]) -> Refused:
        """Return the refusal for a value that is none of the allowed ones."""
        ...


class OpenAIWording:
    """The OpenAI services' words."""

    @staticmethod
    def name(path: Path) -> str:
        """Write a path as ``input[0].call_id``."""
        text = ""
        for step in path:
            text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
        return text

    def missing(self, path: Path) -> Refused:
        """Say that a field is missing."""
        return self._refused(
            path, f"Missing required parameter: '{self.name(path)}'.", "missing_required_parameter"
        )

    def unknown(self, path: Path) -> Refused:
        """Say that a field is unknown."""
        return self._refused(path, f"Unknown parameter: '{self.name(path)}'.", "unknown_parameter")

    def wrong_type(self, path: Path, wanted: str, value: JsonValue) -> Refused:
        """Say that a value has another type."""
        article = "an" if wanted[0] in "aeio" else "a"
        got = _type_name(value)
        text = f"Invalid type for '{self.name(path)}': expected {article} {wanted}, but got {got} instead."
        return self._refused(path, text, "invalid_type")

    def wrong_value(self, path: Path, value: JsonValue, allowed: Collection[str]) -> Refused:
        """Say that a value is none of the allowed ones."""
        names = ", ".join(f"'{item}'" for item in sorted(allowed))
        text = f"Invalid value: {value!r}. Supported values are: {names}."
        return self._refused(path, text, "invalid_value")

    def _refused(self, path: Path, message: str, code: str) -> Refused:
        return Refused(400, message, param=self.name(path), code=code)


class AnthropicWording:
    """The Messages service's words."""

    @staticmethod
    def name(path: Path) -> str:
        """Write a path as ``messages.0.content``."""
        return ".".join(str(step) for step in path)

    def missing(self, path: Path) -> Refused:
        """Say that a field is missing."""
        return Refused(400, f"{self.name(path)}: Field required")

    def unknown(self, path: Path) -> Refused:
        """Say that a field is unknown."""
        return Refused(400, f"{self.name(path)}: Extra inputs are not permitted")

    def wrong_type(self, path: Path, wanted: str, value: JsonValue) -> Refused:
        """Say that a value has another type."""
        names = {"object": "dictionary", "array": "list"}
        return Refused(400, f"{self.name(path)}: Input should be a valid {names.get(wanted, wanted)}")

    def wrong_value(self, path: Path, value: JsonValue, allowed: Collection[str]) -> Refused:
        """Say that a value is none of the allowed ones."""
        names = [f"'{item}'" for item in sorted(allowed)]
        listed = " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
        return Refused(400, f"{self.name(path)}: Input should be {listed}")


def _type_name(value: JsonValue) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case str():
            return "a string"
        case int():
            return "an integer"
        case float():
            return "a decimal"
        case list():
            return "an array"
        case _:
            return "an object"


class Node:
    """A JSON object of a request, with the place where it stands."""

    def __init__(self, value: Mapping[str, JsonValue], wording: Wording, path: Path = ()) -> None:
        self.value = value
        self.wording = wording
        self.path = path

    def at(self, key: str) -> Path:
        """Return the path of one of its fields."""
        return (*self.path, key)

    def get(self, key: str) -> JsonValue:
        """Return a field as it is, ``None`` when it is absent or null."""
        return self.value.get(key)

    def closed(self, required: Collection[str], optional: Collection[str] = ()) -> None:
        """Refuse absent required fields and fields that nobody knows."""
        for key in required:
            if key not in self.value:
                raise self.wording.missing(self.at(key))
        for key in self.value:
            if key not in required and key not in optional:
                raise self.wording.unknown(self.at(key))

    def text(self, key: str) -> str:
        """Return a string that has to be there."""
        value = self._needed(key)
        if not isinstance(value, str):
            raise self.wording.wrong_type(self.at(key), "string", value)
        return value

    def text_or_none(self, key: str) -> str | None:
        """Return a string, ``None`` when it is absent or null."""
        return None if self.get(key) is None else self.text(key)

    def whole_or_none(self, key: str) -> int | None:
        """Return a whole number, ``None`` when it is absent or null."""
        value = self.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise self.wording.wrong_type(self.at(key), "integer", value)
        return value

    def truth(self, key: str, default: bool) -> bool:
        """Return a boolean."""
        value = self.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.wording.wrong_type(self.at(key), "boolean", value)
        return default if value is None else value

    def choice(self, key: str, allowed: Collection[str]) -> str:
        """Return a string that is one of ``allowed``."""
        value = self.text(key)
        if value not in allowed:
            raise self.wording.wrong_value(self.at(key), value, allowed)
        return value

    def child(self, key: str) -> Node:
        """Return an object that has to be there."""
        return self._node(self._needed(key), self.at(key))

    def child_or_none(self, key: str) -> Node | None:
        """Return an object, ``None`` when it is absent or null."""
        return None if self.get(key) is None else self.child(key)

    def children(self, key: str) -> list[Node]:
        """Return an array of objects; none when it is absent or null."""
        return list(self._children(key))

    def _children(self, key: str) -> Iterator[Node]:
        value = self.get(key)
        if value is None:
            return
        if not isinstance(value, list):
            raise self.wording.wrong_type(self.at(key), "array", value)
        for number, item in enumerate(value):
            yield self._node(item, (*self.path, key, number))

    def _node(self, value: JsonValue, path: Path) -> Node:
        if not isinstance(value, dict):
            raise self.wording.wrong_type(path, "object", value)
        return Node(value, self.wording, path)

    def _needed(self, key: str) -> JsonValue:
        if key not in self.value:
            raise self.wording.missing(self.at(key))
        return self.value[key]
