"""The events of an attempt as a conversation: prompt, turns, tool calls, notices, faults, in their order."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence

from pydantic import JsonValue

from harness.report.node import Element, Node, el
from harness.report.text import count, duration, one_line, size, usd
from harness.report.trial_evidence import long_text
from harness.schema.event import (
    AgentEnded,
    AnyEvent,
    CommandEnded,
    Failed,
    LimitReached,
    ModelCalled,
    ModelReplied,
    Noted,
    NoticeShown,
    PhaseStarted,
    PromptShown,
    ToolEnded,
)
from harness.schema.message import ImagePart, Part, Reply, TextPart, ToolCall

IMAGE_CHARACTERS = 400_000
"""Pictures above this many base64 characters are named, not shown."""

_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")


def conversation(events: Sequence[AnyEvent], *, hide_work: bool = False) -> Iterator[Element]:
    """Yield one block per thing that happened; ``hide_work`` leaves out what a reference solution did."""
    answered = {(event.turn, event.result.call_id) for event in events if isinstance(event, ToolEnded)}
    timings = {event.turn: event for event in events if isinstance(event, ModelCalled) and event.error is None}
    phase: str | None = None
    for event in events:
        match event:
            case PhaseStarted():
                phase = event.phase
                continue
            case ModelReplied():
                block: Element | None = _turn(event, timings.get(event.turn), answered)
            case CommandEnded():
                block = _command(event, hide=hide_work)
            case _:
                block = _remark(event)
        if block is None:
            continue
        if phase:  # a phase is named once there is something to see of it
            yield el("p", phase, cls="phase-mark")
            phase = None
        yield block


def _remark(event: AnyEvent) -> Element | None:
    match event:
        case PromptShown():
            return _prompt(event)
        case ToolEnded():
            return _result(event)
        case ModelCalled(error=error) if error is not None:
            again = "" if event.retry_in_s is None else f"; asked again after {duration(event.retry_in_s)}"
            return _aside("model", f"try {event.try_number}: {error.message}{again}", cls="warn")
        case NoticeShown():
            return _aside("notice to the model", f"({event.reason}) {event.text}")
        case LimitReached(limit=limit):
            of = "" if limit.limit is None else f" of {limit.limit:,g}"
            used = "" if limit.used is None else f", {limit.used:,g} used"
            return _aside("limit", f"{limit.kind.replace('_', ' ')}{of}{used}", cls="warn")
        case AgentEnded():
            said = el("p", el("strong", "It said: "), event.claim) if event.claim else None
            return el(
                "div",
                _label("agent over"),
                el("p", f"{event.reason.replace('_', ' ')} {event.detail}"),
                said,
                cls="aside",
            )
        case Failed():
            return _aside(f"fault in {event.phase}", event.error.message, cls="bad")
        case Noted():
            return _aside("remark", event.text)
        case _:
            return None


def _label(text: str) -> Element:
    return el("p", text, cls="label")


def _aside(label: str, text: str, *, cls: str = "") -> Element:
    return el("div", _label(label), el("p", text), cls=f"aside {cls}".strip())


def _prompt(event: PromptShown) -> Element:
    tools = [el("li", el("code", tool.name), f" {one_line(tool.description, 160)}") for tool in event.tools]
    return el(
        "div",
        el("details", el("summary", "system prompt"), el("pre", event.system)) if event.system else None,
        el("details", el("summary", "the tools"), el("ul", tools, cls="plain")) if tools else None,
        el("details", el("summary", "the task"), _parts(event.parts), open=""),
        cls="prompt",
    )


def _turn(event: ModelReplied, called: ModelCalled | None, answered: set[tuple[int, str]]) -> Element:
    reply = event.reply
    return el(
        "div",
        el("h4", f"Turn {event.turn}", el("span", f" {_meter(reply, called)}", cls="meter")),
        el("details", el("summary", "reasoning"), el("pre", reply.reasoning), cls="reasoning")
        if reply.reasoning
        else None,
        el("p", reply.text, cls="said") if reply.text else None,
        [_call(call, lost=(event.turn, call.call_id) not in answered) for call in reply.calls],
        _stop(reply),
        cls="turn",
        id=f"turn-{event.turn}",
    )


def _meter(reply: Reply, called: ModelCalled | None) -> str:
    usage = reply.usage
    pieces = [
        duration(called.duration_s) if called else "",
        f"{count(usage.input_tokens)} in" if usage.input_tokens is not None else "",
        f"{count(usage.cached_tokens)} cached" if usage.cached_tokens else "",
        f"{count(usage.output_tokens)} out" if usage.output_tokens is not None else "",
        usd(reply.cost_usd) if reply.cost_usd is not None else "",
    ]
    return " · ".join(piece for piece in pieces if piece)


def _stop(reply: Reply) -> Element | None:
    if reply.stop in {"end", "tools"}:
        return None
    return el("p", f"stopped: {reply.stop} {reply.stop_detail}", cls="tag warn")


def _call(call: ToolCall, *, lost: bool) -> Element:
    return el(
        "div",
        _label(f"call {call.name}"),
        list(_arguments(call)),
        el("p", f"not understood: {call.problem}", cls="tag bad") if call.problem else None,
        el("p", "no result in the record", cls="tag warn") if lost else None,
        cls="call",
    )


def _arguments(call: ToolCall) -> Iterator[Element]:
    """Yield each argument; a single text stands alone, long ones under their names."""
    if call.arguments is None:
        yield el("pre", call.arguments_text)
        return
    only = len(call.arguments) == 1
    for name, value in call.arguments.items():
        text = value if isinstance(value, str) else _pretty(value)
        if only and isinstance(value, str):
            yield el("pre", text)
        elif "\n" in text or len(text) > 80:
            yield el("p", name, cls="name")
            yield el("pre", text)
        else:
            yield el("p", f"{name} ", el("code", text), cls="name")


def _pretty(value: JsonValue) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _result(event: ToolEnded) -> Element:
    bad = event.result.is_error or event.rejected
    marks = [
        duration(event.duration_s),
        "" if event.exit_code is None else f"exit {event.exit_code}",
        "out of time" if event.timed_out else "",
        "rejected" if event.rejected else "error" if event.result.is_error else "",
        size(event.output_bytes) if event.output_bytes is not None else "",
    ]
    whole = (
        el("p", "The whole output is ", el("code", f"blobs/{event.output.sha256[:12]}…"), cls="faint")
        if event.output
        else None
    )
    return el(
        "div",
        _label(f"result of {event.result.name} · {' · '.join(mark for mark in marks if mark)}"),
        _parts(event.result.parts),
        whole,
        cls=f"result{' bad' if bad else ''}",
    )


def _command(event: CommandEnded, *, hide: bool) -> Element:
    ending = "out of time" if event.timed_out else f"exit {event.exit_code}"
    label = _label(f"{event.role} · {duration(event.duration_s)} · {ending}")
    if hide and event.role == "oracle":
        return el("div", label, el("p", "The reference solution ran; it is not shown.", cls="faint"), cls="result")
    return el(
        "div", label, el("pre", event.command), long_text(event.output) if event.output else None, cls="result"
    )


def _parts(parts: Sequence[Part]) -> list[Node]:
    return [long_text(part.text) if isinstance(part, TextPart) else _image(part) for part in parts]


def _image(part: ImagePart) -> Element:
    known = part.media_type in {"image/png", "image/jpeg", "image/gif", "image/webp"}
    if not known or len(part.data_b64) > IMAGE_CHARACTERS or not _BASE64.fullmatch(part.data_b64):
        return el(
            "p", f"A picture ({part.media_type}, {size(len(part.data_b64) * 3 // 4)}) is not shown.", cls="faint"
        )
    return el("img", src=f"data:{part.media_type};base64,{part.data_b64}", alt="picture that the model was shown")
