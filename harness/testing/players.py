"""Scripted players: what a player answers, turn by turn, as data; and how its folder is read.

A player stands where a model stands, but nothing in it thinks: it plays the script whose phrase occurs in
the task. It is for tests, for the demo, and for trying out an adapter without a key. How the answers travel
over a wire is the model server's business (``harness.testing.model_server``).
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar, get_args

from pydantic import JsonValue

from harness.errors import SettingsError
from harness.schema.candidate import Api

FaultKind = Literal[
    "rate_limit",  # 429 with Retry-After
    "quota",  # 429 insufficient_quota (402 billing_error over Messages)
    "payment",  # 402
    "auth",  # 401
    "server_error",  # 500
    "unavailable",  # 503
    "overloaded",  # 529
    "context_overflow",  # 400, worded as the protocol words it
    "html",  # 502 with an HTML page
    "wrong_content_type",  # 200 with text/plain and no JSON
    "stall",  # nothing, not even headers, for stall_s
    "stall_stream",  # silence in the middle of the stream for stall_s, then the connection is dropped
    "drop",  # connection closed before any byte
    "drop_stream",  # connection closed in the middle of the body
    "no_terminal",  # the stream ends in good order, but without its terminal event
    "bad_json",  # a data line that is no JSON
    "error_event",  # an error inside the stream: response.failed, an error chunk, an error event
    "error_frame",  # the same, but as a bare ``error`` event also over Responses
    "empty",  # a complete reply with nothing in it
    "no_usage",  # a complete reply without usage numbers
    "bad_arguments",  # the first call's arguments are cut in the middle, so they are no JSON
    "unknown_tool",  # the first call names a tool that nobody offered
    "refusal",  # the provider declines
    "length",  # the reply is cut by the output limit
]

T = TypeVar("T", bound=str)

_API_NAMES: tuple[Api, ...] = get_args(Api)
_FAULT_NAMES: tuple[FaultKind, ...] = get_args(FaultKind)


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong instead of a scripted reply, or with it.

    ``turn`` counts replies from 1; ``times`` counts requests for that turn of a conversation, so that the
    retry after them succeeds. ``player`` ``None`` means every player.
    """

    kind: FaultKind
    turn: int = 1
    times: int = 1
    player: str | None = None
    retry_after_s: float = 1.0
    stall_s: float = 3600.0

    def __post_init__(self) -> None:
        if self.kind not in _FAULT_NAMES:
            raise SettingsError(f"Unknown fault kind {self.kind!r}.", hint=f"Known: {', '.join(_FAULT_NAMES)}.")


@dataclass(frozen=True)
class Call:
    """One tool call. ``arguments`` as a string goes out as it is, so that it may be broken JSON."""

    tool: str
    arguments: Mapping[str, JsonValue] | str = field(default_factory=dict)

    @property
    def arguments_text(self) -> str:
        """The arguments as they go over the wire."""
        if isinstance(self.arguments, str):
            return self.arguments
        return json.dumps(self.arguments, ensure_ascii=False)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One reply: reasoning, text, calls. A turn without calls ends the conversation.

    ``expect`` is a regular expression that must be found in the last tool result shown to the player;
    otherwise it says so instead of playing on, so that drift is visible. ``delay_s`` is how long it thinks.
    """

    say: str = ""
    reasoning: str = ""
    calls: Sequence[Call] = ()
    expect: str | None = None
    delay_s: float = 0.0
    faults: Sequence[Fault] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "calls", tuple(self.calls))
        object.__setattr__(self, "faults", tuple(self.faults))


@dataclass(frozen=True, kw_only=True)
class Script:
    """The turns for one task. ``match`` is a phrase of its instruction; empty matches every task."""

    turns: Sequence[Turn]
    match: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "turns", tuple(self.turns))

    def fits(self, instruction: str) -> bool:
        """Tell whether this script is for the task; line breaks and runs of spaces do not matter."""
        return " ".join(self.match.split()) in " ".join(instruction.split())


@dataclass(frozen=True)
class Player:
    """A scripted player; its name is the model name that clients ask for.

    ``api`` is the protocol it prefers; it can be asked over any. ``context_window`` is in tokens, estimated
    as bytes / 4. ``reasoning_field`` names the field that carries reasoning over Chat (``reasoning_content``,
    ``reasoning``, or ``None`` for none); with ``must_return_reasoning`` a client has to send it back with
    every assistant message that calls tools, also when it is empty. ``extra_params`` are request fields
    taken beside the standard ones. ``fingerprint`` is the SHA-256 of all that decides what it says.
    """

    name: str
    api: Api = "openai-responses"
    scripts: Sequence[Script] = ()
    description: str = ""
    context_window: int = 200_000
    reasoning_field: str | None = "reasoning_content"
    must_return_reasoning: bool = False
    extra_params: Sequence[str] = ()
    fingerprint: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "scripts", tuple(self.scripts))
        object.__setattr__(self, "extra_params", tuple(self.extra_params))
        if not self.fingerprint:
            text = json.dumps(asdict(self), sort_keys=True, default=str)
            object.__setattr__(self, "fingerprint", hashlib.sha256(text.encode()).hexdigest())

    def script_for(self, instruction: str) -> Script | None:
        """Return the script with the longest phrase that occurs in ``instruction``."""
        fitting = [script for script in self.scripts if script.fits(instruction)]
        return max(fitting, key=lambda script: len(script.match), default=None)


def bundled_players() -> tuple[Player, ...]:
    """Return the players that come with the harness: those of the demo."""
    return load_players(Path(__file__).parent / "players")


def load_players(folder: Path) -> tuple[Player, ...]:
    """Read every player below ``folder``: one folder each, with ``player.toml`` and one file per task.

    Raises ``SettingsError`` that names the file and the key.
    """
    if not folder.is_dir():
        raise SettingsError(f"There is no folder {folder}.", hint="Name a folder that holds one folder per player.")
    return tuple(load_player(path.parent) for path in sorted(folder.glob("*/player.toml")))


def load_player(folder: Path) -> Player:
    """Read one player's folder; the folder's name is the player's."""
    files = sorted(folder.glob("*.toml"))
    head = _Table(folder / "player.toml", "", _read(folder / "player.toml"))
    scripts = tuple(_script(path) for path in files if path.name != "player.toml")
    player = Player(
        folder.name,
        scripts=scripts,
        description=head.text("description"),
        must_return_reasoning=head.truth("must_return_reasoning"),
        extra_params=head.texts("extra_params"),
        fingerprint=_fingerprint(files),
    )
    reasoning = head.text("reasoning_field", player.reasoning_field or "") or None
    window = head.whole("context_window", player.context_window)
    api = head.choice("api", _API_NAMES, player.api)
    head.close()
    return replace(player, api=api, context_window=window, reasoning_field=reasoning)


def _fingerprint(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        data = path.read_bytes()
        digest.update(f"{path.name}\0{len(data)}\0".encode() + data)
    return digest.hexdigest()


def _read(path: Path) -> dict[str, JsonValue]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}.", hint="Correct the file.") from error


class _Table:
    """A TOML table that knows where it stands and whether every key of it was wanted."""

    def __init__(self, path: Path, place: str, value: JsonValue) -> None:
        self._path = path
        self._place = place
        if not isinstance(value, dict):
            raise self.wrong("", "a table")
        self._left = dict(value)

    def wrong(self, key: str, wanted: str) -> SettingsError:
        where = ".".join(part for part in (self._place, key) if part) or "the file"
        return SettingsError(f"{self._path}: {where} must be {wanted}.", hint="Correct the script.")

    def text(self, key: str, default: str = "") -> str:
        value = self._left.pop(key, default)
        if not isinstance(value, str):
            raise self.wrong(key, "a string")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._left.pop(key, [])
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.wrong(key, "a list of strings")
        return tuple(str(item) for item in value)

    def whole(self, key: str, default: int) -> int:
        value = self._left.pop(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise self.wrong(key, "a whole number above 0")
        return value

    def number(self, key: str, default: float) -> float:
        value = self._left.pop(key, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or value < 0:
            raise self.wrong(key, "a number of at least 0")
        return float(value)

    def truth(self, key: str) -> bool:
        value = self._left.pop(key, False)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def choice(self, key: str, allowed: tuple[T, ...], default: T | None = None) -> T:
        value = self._left.pop(key, default)
        for item in allowed:
            if item == value:
                return item
        raise self.wrong(key, f"one of {', '.join(allowed)}")

    def tables(self, key: str) -> Iterator[_Table]:
        value = self._left.pop(key, [])
        if not isinstance(value, list):
            raise self.wrong(key, "a list of tables")
        for number, item in enumerate(value, start=1):
            yield _Table(self._path, f"{self._place}{'.' if self._place else ''}{key}[{number}]", item)

    def table(self, key: str) -> dict[str, JsonValue]:
        value = self._left.pop(key, {})
        if not isinstance(value, dict):
            raise self.wrong(key, "a table")
        return value

    def text_or_table(self, key: str) -> str | dict[str, JsonValue]:
        return self.text(key) if isinstance(self._left.get(key), str) else self.table(key)

    def close(self) -> None:
        if self._left:
            where = f"{self._place} has" if self._place else "there is"
            raise SettingsError(
                f"{self._path}: {where} an unknown key {min(self._left)!r}.", hint="See docs/scripted-players.md."
            )


def _script(path: Path) -> Script:
    table = _Table(path, "", _read(path))
    script = Script(
        name=path.stem, match=table.text("match"), turns=tuple(_turn(item) for item in table.tables("turn"))
    )
    table.close()
    if not script.match.strip():
        raise SettingsError(f"{path}: `match` is missing.", hint="Give it a phrase of the task's instruction.")
    if not script.turns:
        raise SettingsError(f"{path}: there is no [[turn]].", hint="A script needs at least one turn.")
    return script


def _turn(table: _Table) -> Turn:
    expect = table.text("expect") or None
    try:
        re.compile(expect or "")
    except re.error as error:
        raise table.wrong("expect", f"a regular expression ({error})") from error
    turn = Turn(
        say=table.text("say"),
        reasoning=table.text("reasoning"),
        expect=expect,
        delay_s=table.number("delay_s", 0.0),
        calls=tuple(_call(item) for item in table.tables("call")),
        faults=tuple(_fault(item) for item in table.tables("fault")),
    )
    table.close()
    return turn


def _call(table: _Table) -> Call:
    call = Call(table.text("tool"), table.text_or_table("arguments"))
    table.close()
    if not call.tool:
        raise table.wrong("tool", "the name of a tool")
    return call


def _fault(table: _Table) -> Fault:
    fault = Fault(
        table.choice("kind", _FAULT_NAMES),
        times=table.whole("times", 1),
        retry_after_s=table.number("retry_after_s", 1.0),
        stall_s=table.number("stall_s", 3600.0),
    )
    table.close()
    return fault
