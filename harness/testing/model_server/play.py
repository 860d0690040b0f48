"""Choose what a player answers: script, turn, fault, and the numbers of its usage.

Progress is read from the request, never remembered, so that resumed and concurrent trials just work. What
is remembered is only how often a turn was asked for (faults, ids) and which prompts were seen (cached tokens).
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.testing.model_server.asked import Asked, Dialect, Reply, SentCall, Tokens, text_digest
from harness.testing.model_server.seal import Seal, Stamp
from harness.testing.players import Fault, Player, Turn

NO_SCRIPT = "I have no script for this task."
REFUSAL = "I cannot help with that request."
UNKNOWN_TOOL = "no_such_tool"
_REMEMBERED_CONVERSATIONS = 4096


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is to be sent: a reply, and what goes wrong with it.

    ``scripted`` is false for the text that says that there is no script; ``drifted`` is true when a script's
    expectation of the last tool result was not met. ``number`` counts the requests for this turn from 1.
    """

    reply: Reply
    conversation: str
    turn: int
    number: int
    script: str | None
    scripted: bool
    drifted: bool
    fault: Fault | None
    delay_s: float = 0.0


class Stage:
    """Where players play: holds the server's faults and the little that is remembered."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self._faults = tuple(faults)
        self._asked: Counter[tuple[str, str, int]] = Counter()
        self._seen: dict[tuple[str, str], set[str]] = {}

    def answer(self, player: Player, seal: Seal, dialect: Dialect, asked: Asked) -> Answer:
        """Choose the answer to a request."""
        conversation = _conversation(player, asked)
        place = (f"{player.name} {dialect.api}", conversation, asked.turn)
        self._asked[place] += 1
        script = player.script_for(asked.instruction)
        turn = script.turns[asked.turn - 1] if script and asked.turn <= len(script.turns) else None
        drifted = turn is not None and not _as_expected(turn, asked)
        fault = self._fault(player, turn, asked.turn, self._asked[place])
        stamp = Stamp(conversation=conversation, turn=asked.turn, reasoned=_reasons(turn, asked) and not drifted)
        reply = Reply(
            token=seal.token(stamp),
            number=self._asked[place],
            model=player.name,
            created=int(time.time()),
        )
        reply = _filled(reply, _drift(turn) if turn and drifted else turn, asked)
        reply = _bent(reply, fault)
        reply = replace(reply, tokens=self._tokens(place[:2], asked, reply))
        if asked.max_output is not None and reply.tokens and reply.tokens.output > asked.max_output:
            reply = _cut(reply, asked.max_output / reply.tokens.output)
            reply = replace(reply, tokens=self._tokens(place[:2], asked, reply))
        if reply.reasoning:
            reply = replace(reply, sealed=dialect.seal_reasoning(asked, reply, seal))
        if fault and fault.kind == "no_usage":
            reply = replace(reply, tokens=None)
        return Answer(
            reply=reply,
            conversation=conversation,
            turn=asked.turn,
            number=self._asked[place],
            script=script.name if script else None,
            scripted=turn is not None,
            drifted=drifted,
            fault=fault,
            delay_s=turn.delay_s if turn else 0.0,
        )

    def remember(self, player: Player, dialect: Dialect, answer: Answer, asked: Asked) -> None:
        """Keep a prompt as cached, after it was answered."""
        self._seen.setdefault((f"{player.name} {dialect.api}", answer.conversation), set()).update(
            unit.digest for unit in asked.units[: _cacheable(asked)]
        )
        while len(self._seen) > _REMEMBERED_CONVERSATIONS:
            self._seen.pop(next(iter(self._seen)))

    def _fault(self, player: Player, turn: Turn | None, number: int, asked: int) -> Fault | None:
        own = [fault for fault in self._faults if fault.turn == number and fault.player in {None, player.name}]
        for fault in [*own, *(turn.faults if turn else ())]:
            if asked <= fault.times:
                return fault
            asked -= fault.times
        return None

    def _tokens(self, conversation: tuple[str, str], asked: Asked, reply: Reply) -> Tokens:
        seen = self._seen.get(conversation, set())
        cacheable = _cacheable(asked)
        cached = max((n + 1 for n, unit in enumerate(asked.units[:cacheable]) if unit.digest in seen), default=0)
        reasoning = _size(reply.reasoning)
        written = sum(unit.tokens for unit in asked.units[cached:cacheable]) if asked.marks_caches else 0
        read = sum(unit.tokens for unit in asked.units[:cached])
        return Tokens(
            fresh=asked.input_tokens - read - written,
            cached=read,
            written=written,
            output=reasoning
            + _size(reply.text)
            + sum(_size(call.name + call.arguments) for call in reply.calls)
            + 1,
            reasoning=reasoning,
        )


def _conversation(player: Player, asked: Asked) -> str:
    known = next((stamp for stamp in asked.replies if stamp), None)
    return known.conversation if known else text_digest(f"{player.name}\0{asked.hint}\0{asked.instruction}")[:8]


def _cacheable(asked: Asked) -> int:
    if not asked.marks_caches:
        return len(asked.units)
    return max((number + 1 for number, unit in enumerate(asked.units) if unit.marked), default=0)


def _size(text: str) -> int:
    return -(-len(text.encode()) // 4)


def _reasons(turn: Turn | None, asked: Asked) -> bool:
    return turn is not None and bool(turn.reasoning) and asked.reasons


def _as_expected(turn: Turn, asked: Asked) -> bool:
    return turn.expect is None or re.search(turn.expect, asked.last_result or "", re.MULTILINE) is not None


def _drift(turn: Turn) -> Turn:
    return Turn(say=f"The script expected {turn.expect!r} in the last tool result, and it is not there.")


def _filled(reply: Reply, turn: Turn | None, asked: Asked) -> Reply:
    if turn is None:
        return replace(reply, text=NO_SCRIPT)
    return replace(
        reply,
        text=turn.say,
        reasoning=turn.reasoning if asked.reasons else "",
        calls=tuple(SentCall(name=call.tool, arguments=call.arguments_text) for call in turn.calls),
        stop="tools" if turn.calls else "end",
    )


def _bent(reply: Reply, fault: Fault | None) -> Reply:
    match fault.kind if fault else None:
        case "empty":
            return replace(reply, text="", reasoning="", calls=(), stop="end")
        case "refusal":
            return replace(reply, text=REFUSAL, calls=(), stop="refusal")
        case "length":
            return _cut(reply, 0.5)
        case "bad_arguments" if reply.calls:
            first = reply.calls[0]
            broken = replace(first, arguments=first.arguments[: max(1, len(first.arguments) // 2)])
            return replace(reply, calls=(broken, *reply.calls[1:]))
        case "unknown_tool" if reply.calls:
            return replace(reply, calls=(replace(reply.calls[0], name=UNKNOWN_TOOL), *reply.calls[1:]))
        case _:
            return reply


def _cut(reply: Reply, share: float) -> Reply:
    """Keep the first part of what was to be said."""
    if not reply.calls:
        return replace(reply, text=reply.text[: max(1, int(len(reply.text) * share))], stop="length")
    last = reply.calls[-1]
    cut = replace(last, arguments=last.arguments[: max(1, int(len(last.arguments) * share))])
    return replace(reply, calls=(*reply.calls[:-1], cut), stop="length")
