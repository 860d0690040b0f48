"""The tool loop: a view, a reply, its calls, and again, until the agent submits or a limit is reached.

    state = fold(events); view = context(events); reply = model(view); for each call: tool(session)

Everything the model sees or does is an event. Retries of a model call are in ``calling``, limits in
``budget``, what is shown in ``harness.context``; this file is only the order of things.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import anyio

from harness.agent.budget import Spent
from harness.agent.calling import Caller, HistoryLog, RetryDelay
from harness.agent.prompt import Prompt
from harness.context import Conversation
from harness.errors import ContextOverflowError
from harness.ports import AgentContext, Model, Session, Tool, ToolContext, ToolOutcome
from harness.schema.event import (
    AgentEnded,
    AnyEvent,
    LimitHit,
    LimitReached,
    ModelReplied,
    NoticeShown,
    PromptShown,
    ToolEnded,
    ToolStarted,
)
from harness.schema.message import Reply, TextPart, ToolCall, ToolResult

NO_CALL = (
    "Your reply called no tool, so nothing happened. Go on with the task, or call submit if it is done and checked."
)
CUT_SHORT = "Your reply was cut off at the output limit. Go on in smaller pieces."
_SILENT_REPLIES = 3


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """What the loop is made of. ``sources`` says where the prompt came from, for the record."""

    prompt: Prompt
    tools: Sequence[Tool]
    retry_delay: RetryDelay
    sources: Mapping[str, str] = field(default_factory=dict)


class Loop:
    """The agent that calls tools in a loop."""

    def __init__(self, model: Model, settings: LoopSettings) -> None:
        self._model = model
        self._settings = settings

    async def work(self, context: AgentContext) -> None:
        """Work until the agent submits, falls silent, or uses up a limit."""
        session = await context.sandbox.open_session(user=context.user)
        try:
            user = context.user or await _own_name(session)
            await _Work(self._model, self._settings, context, session).run(user)
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(10):
                await session.close()


class _Work:
    """One trial's work: the fold and the steps that feed it."""

    def __init__(self, model: Model, settings: LoopSettings, context: AgentContext, session: Session) -> None:
        self._context = context
        self._settings = settings
        self._tools = {tool.spec.name: tool for tool in settings.tools}
        self._conversation = Conversation()
        self._spent = Spent()
        self._silent = 0
        self._caller = Caller(
            model=model, recorder=context.recorder, retry_delay=settings.retry_delay, history=HistoryLog()
        )
        self._tool_context = ToolContext(
            sandbox=context.sandbox, session=session, user=context.user, remaining_s=self._remaining_s
        )

    async def run(self, user: str) -> None:
        """Go through turns until one ends the work."""
        self._show_prompt(user)
        ended = None
        while ended is None:
            ended = await self._turn()
        self._emit(ended)

    async def _turn(self) -> AgentEnded | None:
        hit = self._limit_hit()
        if hit is not None:
            return self._stop_at(hit)
        try:
            reply = await self._caller.ask(
                self._conversation.view(), turn=self._spent.turns + 1, remaining_s=self._remaining_s
            )
        except ContextOverflowError as error:
            return self._stop_at(LimitHit(kind="context"), error.message)
        self._spent = self._spent.after(reply)
        self._emit(ModelReplied(turn=self._spent.turns, reply=reply))
        claim = await self._answer(reply.calls)
        if claim is not None:
            return AgentEnded(reason="submitted", claim=claim)
        return self._go_on(reply)

    def _go_on(self, reply: Reply) -> AgentEnded | None:
        """Decide what follows a reply that did not submit."""
        if reply.stop == "refusal":
            return AgentEnded(reason="gave_up", detail=f"The model refused. {reply.stop_detail}".strip())
        if reply.stop == "context":
            return self._stop_at(LimitHit(kind="context"), reply.stop_detail)
        if reply.calls or reply.stop == "pause":
            self._silent = 0
            if reply.stop == "length":
                self._emit(NoticeShown(text=CUT_SHORT, reason="length"))
            return None
        self._silent += 1
        if self._silent >= _SILENT_REPLIES:
            return AgentEnded(reason="gave_up", detail=f"{_SILENT_REPLIES} replies in a row called no tool.")
        notice = CUT_SHORT if reply.stop == "length" else NO_CALL
        self._emit(NoticeShown(text=notice, reason="length" if reply.stop == "length" else "no_call"))
        return None

    async def _answer(self, calls: Sequence[ToolCall]) -> str | None:
        """Carry out every call in order; return the claim if one of them submitted."""
        claim = None
        for call in calls:
            self._emit(ToolStarted(turn=self._spent.turns, call=call))
            started = time.monotonic()
            if claim is not None:
                outcome, rejected = _refused("Not carried out: the task was submitted before."), True
            else:
                outcome, rejected = await self._carry_out(call)
            if outcome.submission is not None:
                claim = outcome.submission
            self._emit(
                ToolEnded(
                    turn=self._spent.turns,
                    result=ToolResult(
                        call_id=call.call_id, name=call.name, parts=outcome.parts, is_error=outcome.is_error
                    ),
                    duration_s=time.monotonic() - started,
                    rejected=rejected,
                    exit_code=outcome.exit_code,
                    timed_out=outcome.timed_out,
                    output_bytes=outcome.output_bytes,
                )
            )
        return claim

    async def _carry_out(self, call: ToolCall) -> tuple[ToolOutcome, bool]:
        tool = self._tools.get(call.name)
        if tool is None:
            return _refused(f"There is no tool {call.name!r}. Tools: {', '.join(self._tools)}."), True
        if call.arguments is None:
            return _refused(f"The arguments of {call.name} could not be read: {call.problem}"), True
        return await tool.call(call.arguments, self._tool_context), False

    def _show_prompt(self, user: str) -> None:
        context = self._context
        text = self._settings.prompt.first_message(
            instruction=context.task.instruction,
            workdir=context.sandbox.workdir,
            user=user,
            timeout_s=self._remaining_s(),
        )
        self._emit(
            PromptShown(
                system=self._settings.prompt.system,
                tools=tuple(tool.spec for tool in self._settings.tools),
                parts=(TextPart(text=text),),
                sources=dict(self._settings.sources),
            )
        )

    def _limit_hit(self) -> LimitHit | None:
        remaining_s = self._remaining_s()
        if remaining_s is not None and remaining_s <= 0:
            return LimitHit(kind="time_s")
        return self._spent.hit(self._context.limits)

    def _stop_at(self, hit: LimitHit, detail: str = "") -> AgentEnded:
        self._emit(LimitReached(limit=hit))
        return AgentEnded(reason="limit", detail=detail)

    def _remaining_s(self) -> float | None:
        deadline = self._context.deadline
        return None if deadline is None else deadline - anyio.current_time()

    def _emit(self, event: AnyEvent) -> None:
        self._conversation.apply(self._context.recorder.emit(event))


async def _own_name(session: Session) -> str:
    result = await session.run("id -un 2>/dev/null || id -u", timeout_s=10)
    return result.output.strip() or "unknown"


def _refused(text: str) -> ToolOutcome:
    return ToolOutcome(parts=(TextPart(text=text),), is_error=True)
