"""What a model is shown follows from the events alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.context import Conversation
from harness.schema.event import ModelReplied, NoticeShown, PromptShown, ToolEnded, ToolStarted
from harness.schema.message import Reply, ReplyItem, ResultsItem, TextPart, ToolCall, ToolResult, UserItem


def call(number: int) -> ToolCall:
    return ToolCall(call_id=f"c{number}", name="shell", arguments={"command": "true"})


def ended(number: int) -> ToolEnded:
    result = ToolResult(call_id=f"c{number}", name="shell", parts=(TextPart(text=f"r{number}"),))
    return ToolEnded(turn=1, result=result, duration_s=0.1)


def prompt() -> PromptShown:
    return PromptShown(system="be good", tools=(), parts=(TextPart(text="task"),))


def replied(*numbers: int) -> ModelReplied:
    return ModelReplied(turn=1, reply=Reply(calls=tuple(call(number) for number in numbers)))


def test_the_results_of_parallel_calls_stand_together_in_the_order_of_the_calls() -> None:
    conversation = Conversation()
    for event in (prompt(), replied(1, 2), ended(2), ended(1)):
        conversation.apply(event)
    items = conversation.view().items
    assert [type(item) for item in items] == [UserItem, ReplyItem, ResultsItem]
    assert isinstance(items[2], ResultsItem)
    assert [result.call_id for result in items[2].results] == ["c1", "c2"]


def test_a_view_is_refused_while_a_call_is_unanswered() -> None:
    conversation = Conversation()
    for event in (prompt(), replied(1, 2), ended(1)):
        conversation.apply(event)
    assert conversation.unanswered == ("c2",)
    with pytest.raises(ValueError, match="c2"):
        conversation.view()


def test_events_that_no_model_sees_change_nothing() -> None:
    conversation = Conversation()
    conversation.apply(prompt())
    before = conversation.view()
    conversation.apply(ToolStarted(turn=1, call=call(1)))
    assert conversation.view() == before


@given(st.lists(st.integers(min_value=0, max_value=4), max_size=12))
def test_every_call_is_paired_with_one_result_in_every_view(calls_per_turn: list[int]) -> None:
    conversation = Conversation()
    conversation.apply(prompt())
    number = 0
    for count in calls_per_turn:
        numbers = list(range(number, number + count))
        number += count
        conversation.apply(replied(*numbers))
        for each in reversed(numbers):
            conversation.apply(ended(each))
        if not count:
            conversation.apply(NoticeShown(text="call a tool", reason="no_call"))
    items = conversation.view().items
    for position, item in enumerate(items):
        if isinstance(item, ReplyItem) and item.reply.calls:
            answer = items[position + 1]
            assert isinstance(answer, ResultsItem)
            assert [r.call_id for r in answer.results] == [c.call_id for c in item.reply.calls]
