"""What a request comes down to, whatever protocol it came in; and what is answered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pydantic import JsonValue

from harness.schema.candidate import Api
from harness.testing.model_server.node import Node
from harness.testing.model_server.refused import Refused
from harness.testing.model_server.seal import Seal, Stamp, item_id
from harness.testing.players import Player

IMAGE_TOKENS = 1500


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A piece of the prompt in order: its digest chained to all before it, its tokens, a cache mark."""

    digest: str
    tokens: int
    marked: bool = False


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request that passed every check.

    ``replies`` has one entry per assistant reply in the history: what its ids say, ``None`` if nothing.
    ``hint`` tells conversations with the same text apart. ``reasons`` is whether reasoning is wanted, and
    ``shows_reasoning`` whether its text is. ``request`` is the parsed body, for what is echoed.
    ``remarks`` are doubtful things that a service would let pass.
    """

    model: str
    stream: bool
    instruction: str
    replies: tuple[Stamp | None, ...]
    last_result: str | None
    units: tuple[Unit, ...]
    request: Node
    max_output: int | None = None
    hint: str = ""
    reasons: bool = True
    shows_reasoning: bool = True
    marks_caches: bool = False
    remarks: tuple[str, ...] = ()
    notes: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def input_tokens(self) -> int:
        """The prompt's estimated tokens."""
        return sum(unit.tokens for unit in self.units)

    @property
    def turn(self) -> int:
        """The number of the reply that is wanted, from 1."""
        last = 0
        for stamp in self.replies:
            last = (last if stamp is None else stamp.turn - 1) + 1
        return last + 1

    @property
    def prefix(self) -> str:
        """The digest of the whole prompt."""
        return self.units[-1].digest if self.units else ""


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """What a reply is said to have used. ``fresh`` is neither read from nor written to a cache."""

    fresh: int
    cached: int
    written: int
    output: int
    reasoning: int

    @property
    def input(self) -> int:
        """All input."""
        return self.fresh + self.cached + self.written


@dataclass(frozen=True, kw_only=True)
class SentCall:
    """A call on its way out."""

    name: str
    arguments: str


Stop = Literal["end", "tools", "length", "refusal"]


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A reply on its way out. ``number`` counts how often this turn was answered (for the reply's own id)."""

    token: str
    number: int
    model: str
    created: int
    text: str = ""
    reasoning: str = ""
    calls: tuple[SentCall, ...] = ()
    stop: Stop = "end"
    tokens: Tokens | None = None
    sealed: str = ""

    def id(self, kind: str) -> str:
        """Return the reply's own id, new for every time it is sent."""
        return item_id(kind, self.token, self.number % 256)

    def item(self, kind: str, index: int) -> str:
        """Return an item's id, the same every time."""
        return item_id(kind, self.token, index)

    def call(self, kind: str, index: int) -> str:
        """Return a call's id, the same every time."""
        return item_id(kind, self.token, 2 + index)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One server-sent event. ``event`` is its name where the protocol names events."""

    data: str
    event: str | None = None

    def encode(self) -> bytes:
        """Return it as it goes over the wire."""
        head = f"event: {self.event}\n" if self.event else ""
        return f"{head}data: {self.data}\n\n".encode()


class Dialect(Protocol):
    """One of the wire protocols."""

    @property
    def api(self) -> Api:
        """Which protocol it is."""
        ...

    def read(self, body: Mapping[str, JsonValue], headers: Mapping[str, str], player: Player, seal: Seal) -> Asked:
        """Check a request as the service does and return what it comes down to; raise ``Refused``."""
        ...

    def overflow(self, asked: Asked, window: int) -> Refused:
        """Return the refusal of a prompt that is too long."""
        ...

    def seal_reasoning(self, asked: Asked, reply: Reply, seal: Seal) -> str:
        """Return what proves later that reasoning came from here."""
        ...

    def frames(self, reply: Reply, asked: Asked) -> list[Frame]:
        """Return the events of a streamed reply; the last ``terminal_frames`` of them say that it is complete."""
        ...

    def terminal_frames(self, reply: Reply, asked: Asked) -> int:
        """Return how many frames at the end make a reply complete."""
        ...

    def error_frames(self, reply: Reply, asked: Asked, *, bare: bool) -> list[Frame]:
        """Return an error inside a stream; ``bare`` asks for an ``error`` event where there are two ways."""
        ...

    def body(self, reply: Reply, asked: Asked) -> dict[str, JsonValue]:
        """Return a reply that is not streamed."""
        ...


def chunks(text: str, size: int = 24) -> list[str]:
    """Cut a text into the pieces that are sent as deltas, at most 64 of them, at least two if it can be."""
    size = min(size, max(1, -(-len(text) // 2)))
    size = max(size, -(-len(text) // 64))
    return [text[start : start + size] for start in range(0, len(text), size)]


def compact(value: JsonValue) -> str:
    """Write JSON as the services do, in one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class Prompt:
    """Adds up a prompt piece by piece: digests for caching and binding, tokens for limits."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._units: list[Unit] = []

    @property
    def digest(self) -> str:
        """The digest of everything added so far."""
        return self._hash.hexdigest()

    @property
    def units(self) -> tuple[Unit, ...]:
        """What was added."""
        return tuple(self._units)

    def add(self, value: JsonValue, *, without: Collection[str] = (), marked: bool = False) -> None:
        """Add a piece; fields named in ``without`` do not count."""
        if without:
            value = _stripped(value, without)
        text = json.dumps(value, sort_keys=True, ensure_ascii=False)
        self._hash.update(text.encode())
        size = len(text.encode()) if "base64" not in text else _weight(value)
        self._units.append(Unit(digest=self.digest, tokens=-(-size // 4), marked=marked))


def _stripped(value: JsonValue, without: Collection[str]) -> JsonValue:
    if isinstance(value, dict):
        return {key: _stripped(item, without) for key, item in value.items() if key not in without}
    if isinstance(value, list):
        return [_stripped(item, without) for item in value]
    return value


def _weight(value: JsonValue) -> int:
    match value:
        case {"type": "base64", "data": str()}:
            return IMAGE_TOKENS * 4
        case str() if value.startswith("data:image/"):
            return IMAGE_TOKENS * 4
        case str():
            return len(value.encode()) + 2
        case dict():
            return 2 + sum(len(key) + 6 + _weight(item) for key, item in value.items())
        case list():
            return 2 + sum(2 + _weight(item) for item in value)
        case _:
            return 4


def joined(parts: Sequence[str]) -> str:
    """Join the texts of a message."""
    return "\n".join(part for part in parts if part)


def text_digest(text: str) -> str:
    """Return a short digest of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:24]
