from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.journal import AttemptTally, Spend, TrialState, fold_attempt, fold_journal
from harness.schema.event import (
    AgentEnded,
    AnyEvent,
    AttemptOpened,
    ErrorRecord,
    Failed,
    ImageReady,
    LimitHit,
    LimitReached,
    ModelCalled,
    ModelReplied,
    PhaseEnded,
    PhaseStarted,
    ToolEnded,
    ToolStarted,
    VerifierEnded,
)
from harness.schema.message import Reply, ToolCall, ToolResult, Usage
from harness.schema.result import (
    AttemptDiscarded,
    AttemptEnded,
    AttemptResult,
    AttemptStarted,
    EndState,
    JournalLine,
    RunClosed,
    RunOpened,
    Tokens,
)
from harness.schema.sandbox import ImageFacts

ERROR = ErrorRecord(type="X", cause="model", retryable=True, message="x")


def _started(trial: str, attempt: int) -> AttemptStarted:
    return AttemptStarted(at="", trial=trial, attempt=attempt)


def _ended(
    trial: str, attempt: int, end_state: EndState = "verdict", *, final: bool = True, cost: float | None = 1.0
) -> AttemptEnded:
    result = AttemptResult(
        trial=trial,
        attempt=attempt,
        end_state=end_state,
        started_at="",
        ended_at="",
        duration_s=1,
        tokens=Tokens(input=10, output=1),
        cost_usd=cost,
        cost_complete=cost is not None,
    )
    return AttemptEnded(at="", result=result, final=final)


def _discarded(trial: str, attempt: int, cost: float | None = 0.5) -> AttemptDiscarded:
    return AttemptDiscarded(
        at="", trial=trial, attempt=attempt, reason="killed", tokens=Tokens(input=5, output=None), cost_usd=cost
    )


def test_a_trial_that_ended_is_final() -> None:
    end = _ended("a", 1)
    state = fold_journal([_started("a", 1), end])["a"]
    assert state == TrialState(
        final=end.result,
        attempts=(end.result,),
        last_attempt=1,
        spend=Spend(input_tokens=10, output_tokens=1, cost_usd=1.0),
    )


def test_an_attempt_that_will_be_repeated_is_not_final_but_counts() -> None:
    lines = [_started("a", 1), _ended("a", 1, "infra", final=False), _started("a", 2)]
    state = fold_journal(lines)["a"]
    assert (state.final, state.open_attempt, state.last_attempt) == (None, 2, 2)
    assert state.spend.cost_usd == 1.0


def test_a_discarded_attempt_is_closed_and_its_spend_kept() -> None:
    state = fold_journal([_started("a", 1), _discarded("a", 1), _started("a", 2), _ended("a", 2)])["a"]
    assert (state.discarded, state.open_attempt, state.last_attempt) == ((1,), None, 2)
    assert state.final is not None
    assert state.spend == Spend(input_tokens=15, output_tokens=1, cost_usd=1.5, complete=True)


def test_unknown_cost_makes_the_spend_incomplete() -> None:
    assert not fold_journal([_started("a", 1), _ended("a", 1, cost=None)])["a"].spend.complete
    assert not fold_journal([_started("a", 1), _discarded("a", 1, cost=None)])["a"].spend.complete


def test_a_rerun_takes_the_place_of_the_old_result_and_keeps_it() -> None:
    lines: list[JournalLine] = [_started("a", 1), _ended("a", 1, "infra"), _started("a", 2)]
    assert fold_journal(lines)["a"].final is None
    state = fold_journal([*lines, _ended("a", 2)])["a"]
    assert state.final is not None
    assert state.final.attempt == 2
    assert [result.attempt for result in state.attempts] == [1, 2]


def test_trials_do_not_touch_one_another_and_processes_do_not_matter() -> None:
    opened = RunOpened(at="", pid=1, host="h", version="0")
    lines = [
        opened,
        _started("a", 1),
        _started("b", 1),
        RunClosed(at="", reason="interrupted"),
        opened,
        _ended("b", 1),
    ]
    states = fold_journal(lines)
    assert states["a"].open_attempt == 1
    assert states["b"].open_attempt is None


_lines = st.lists(
    st.one_of(
        st.builds(_started, st.sampled_from("ab"), st.integers(1, 4)),
        st.builds(
            _ended,
            st.sampled_from("ab"),
            st.integers(1, 4),
            st.sampled_from(["verdict", "infra", "limit"]),
            final=st.booleans(),
            cost=st.none() | st.floats(0, 10),
        ),
        st.builds(_discarded, st.sampled_from("ab"), st.integers(1, 4), st.none() | st.floats(0, 10)),
        st.just(RunClosed(at="", reason="done")),
    ),
    max_size=12,
)


@settings(deadline=None)
@given(_lines)
def test_any_prefix_of_any_journal_folds_and_grows_only(lines: list[JournalLine]) -> None:
    before: dict[str, TrialState] = {}
    for end in range(len(lines) + 1):
        now = fold_journal(lines[:end])
        assert set(before) <= set(now)
        for trial, old in before.items():
            new = now[trial]
            assert new.attempts[: len(old.attempts)] == old.attempts
            assert new.discarded[: len(old.discarded)] == old.discarded
            assert new.last_attempt >= old.last_attempt
            assert new.spend.cost_usd >= old.spend.cost_usd
            assert new.spend.input_tokens >= old.spend.input_tokens
            assert new.spend.complete <= old.spend.complete
        before = now


@settings(deadline=None)
@given(_lines, _lines)
def test_one_trials_lines_say_nothing_of_another(lines: list[JournalLine], others: list[JournalLine]) -> None:
    def of(trial: str) -> list[JournalLine]:
        return [line for line in lines if _trial(line) == trial]

    whole = fold_journal(lines)
    assert whole == {**fold_journal(of("a")), **fold_journal(of("b"))}


def _trial(line: JournalLine) -> str | None:
    match line:
        case AttemptStarted() | AttemptDiscarded():
            return line.trial
        case AttemptEnded():
            return line.result.trial
        case _:
            return None


# ---------------------------------------------------------------------------------------------- attempts


def _numbered(*events: AnyEvent) -> list[AnyEvent]:
    return [
        event.model_copy(update={"seq": number, "at": f"at{number}", "t": float(number)})
        for number, event in enumerate(events)
    ]


def _reply(cost: float | None = 0.25, served: str | None = "m-1", **usage: int) -> ModelReplied:
    return ModelReplied(
        turn=1,
        reply=Reply(usage=Usage(**usage), cost_usd=cost, served_model=served),  # type: ignore[arg-type]
    )


def _call(name: str) -> ToolStarted:
    return ToolStarted(turn=1, call=ToolCall(call_id=name, name="shell", arguments={}))


def _result(name: str, *, is_error: bool = False, rejected: bool = False) -> ToolEnded:
    result = ToolResult(call_id=name, name="shell", parts=(), is_error=is_error)
    return ToolEnded(turn=1, result=result, duration_s=0, rejected=rejected)


def test_without_a_model_call_nothing_was_used_and_that_is_known() -> None:
    summary = fold_attempt([])
    assert summary.tokens == Tokens(input=0, cached=0, cache_write=0, output=0, reasoning=0)
    assert (summary.cost_usd, summary.cost_complete) == (0.0, True)
    assert (summary.turns, summary.claim, summary.rewards, summary.last_seq) == (0, "", None, None)


def test_tokens_and_cost_add_up() -> None:
    usage = {"input_tokens": 10, "cached_tokens": 4, "output_tokens": 3, "reasoning_tokens": 1}
    summary = fold_attempt(_numbered(_reply(**usage), _reply(**usage, served="m-2"), _reply(**usage)))
    assert summary.tokens == Tokens(input=30, cached=12, output=9, reasoning=3, cache_write=None)
    assert summary.cost_usd == pytest.approx(0.75)
    assert summary.cost_complete
    assert summary.turns == 3
    assert summary.served_models == ("m-1", "m-2")


def test_what_one_call_does_not_tell_is_unknown_in_the_sum() -> None:
    summary = fold_attempt(_numbered(_reply(input_tokens=1), _reply(None, None), _reply(input_tokens=2)))
    assert summary.tokens == Tokens()
    assert summary.cost_usd == 0.5
    assert not summary.cost_complete
    assert fold_attempt(_numbered(_reply(None))).cost_usd is None


def test_a_stream_that_broke_off_makes_the_cost_incomplete_and_a_refusal_does_not() -> None:
    refused = ModelCalled(turn=1, try_number=1, duration_s=1, error=ERROR)
    broken = refused.model_copy(update={"first_event_s": 0.5})
    assert fold_attempt(_numbered(refused, _reply())).cost_complete
    assert not fold_attempt(_numbered(broken, _reply())).cost_complete


def test_retries_and_calls_are_counted() -> None:
    calls = [ModelCalled(turn=1, try_number=number, duration_s=1) for number in (1, 2, 3, 1)]
    summary = fold_attempt(_numbered(*calls))
    assert (summary.model_calls, summary.model_retries) == (4, 2)


def test_tool_calls_count_once_whether_rejected_finished_or_cut_off() -> None:
    summary = fold_attempt(
        _numbered(_call("a"), _result("a"), _result("b", is_error=True, rejected=True), _call("c"), _call("d"))
    )
    assert (summary.tool_calls, summary.tool_errors) == (4, 1)


def test_a_phase_that_was_cut_off_counts_to_the_last_event() -> None:
    summary = fold_attempt(
        _numbered(
            PhaseStarted(phase="image"),
            PhaseEnded(phase="image", duration_s=0.5),
            PhaseStarted(phase="agent"),
            _reply(),
            _reply(),
        )
    )
    assert summary.phases == {"image": 0.5, "agent": 2.0}
    assert (summary.started_at, summary.ended_at, summary.duration_s) == ("at0", "at4", 4.0)


def test_facts_are_taken_from_their_events() -> None:
    opened = AttemptOpened(trial="t", attempt=1, task="x", task_digest="d", candidate="c", repeat=1)
    image = ImageFacts(tag="x", image_id="y", origin="fake")
    limit = LimitHit(kind="turns", limit=1, used=1)
    summary = fold_attempt(
        _numbered(
            opened,
            ImageReady(image=image),
            LimitReached(limit=limit),
            AgentEnded(reason="submitted", claim="done"),
            Failed(phase="collect", error=ERROR, fatal=False),
            VerifierEnded(exit_code=0, duration_s=1, rewards={"reward": 1}),
        )
    )
    assert summary.opened is not None
    assert summary.opened.task == "x"
    assert (summary.image, summary.limit, summary.claim) == (image, limit, "done")
    assert (summary.rewards, summary.error, summary.last_seq) == ({"reward": 1}, None, 5)
    assert fold_attempt([Failed(phase="agent", error=ERROR)]).error == ERROR


_events = st.lists(
    st.one_of(
        st.builds(
            lambda cost, tokens: _reply(cost, input_tokens=tokens), st.none() | st.floats(0, 1), st.integers(0, 9)
        ),
        st.builds(_call, st.sampled_from("ab")),
        st.builds(_result, st.sampled_from("ab"), is_error=st.booleans()),
        st.sampled_from([PhaseStarted(phase="agent"), PhaseEnded(phase="agent", duration_s=1.0)]),
        st.just(Failed(phase="agent", error=ERROR)),
    ),
    max_size=15,
)


@settings(deadline=None)
@given(_events)
def test_an_attempt_cut_off_anywhere_sums_up_and_only_grows(events: list[AnyEvent]) -> None:
    tally = AttemptTally()
    before = tally.summary()
    for number, event in enumerate(_numbered(*events), start=1):
        tally.add(event)
        now = tally.summary()
        assert now == fold_attempt(_numbered(*events)[:number])
        assert now.turns >= before.turns
        assert now.tool_calls >= before.tool_calls
        assert now.tool_calls >= now.tool_errors
        assert (now.cost_usd or 0) >= (before.cost_usd or 0)
        assert now.cost_complete <= before.cost_complete
        before = now
