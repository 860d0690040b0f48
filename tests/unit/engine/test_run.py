"""The dispatcher: what is pending, what is tried again, what stops it, and that nothing is lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import anyio
import pytest

from harness.errors import DiskFullError
from harness.journal import fold_journal
from harness.ports import Recorder
from harness.run import Control, RunOutcome, RunPolicy, execute
from harness.schema.candidate import Candidate
from harness.schema.event import AnyEvent, ErrorRecord, ModelReplied
from harness.schema.message import Reply, Usage
from harness.schema.plan import Plan, PlannedTask, PlannedTrial, Provenance, RunSettings
from harness.schema.result import AttemptDiscarded, AttemptEnded, AttemptResult, RunClosed
from harness.testing.memory import MemoryStore

Behaviour = Callable[[PlannedTrial, int, Recorder], AttemptResult]


def plan(trials: int, candidates: Sequence[str] = ("a",)) -> Plan:
    return Plan(
        name="p",
        created_at="",
        provenance=Provenance(version="0"),
        settings=RunSettings(),
        tasks=(PlannedTask(name="t", path=Path("/t"), digest="d"),),
        candidates=tuple(Candidate(name=name, agent="nop") for name in candidates),
        trials=tuple(
            PlannedTrial(id=f"{name}{number}", task="t", candidate=name, repeat=number)
            for number in range(1, trials + 1)
            for name in candidates
        ),
    )


def verdict(
    trial: PlannedTrial, number: int, recorder: Recorder | None = None, cost_usd: float | None = 0.0
) -> AttemptResult:
    return AttemptResult(
        trial=trial.id,
        attempt=number,
        end_state="verdict",
        rewards={"reward": 1.0},
        reward=1.0,
        passed=True,
        started_at="",
        ended_at="",
        duration_s=1,
        cost_usd=cost_usd,
    )


def infra(trial: PlannedTrial, number: int, **error: object) -> AttemptResult:
    record = ErrorRecord.model_validate(
        {"type": "X", "cause": "sandbox", "retryable": False, "message": "broken", **error}
    )
    return AttemptResult(
        trial=trial.id,
        attempt=number,
        end_state="infra",
        error=record,
        started_at="",
        ended_at="",
        duration_s=1,
        cost_usd=0.25,
    )


class FakeExecutor:
    """An executor whose attempts end as a function says."""

    def __init__(self, behaviour: Behaviour, slots: int = 2) -> None:
        self.slots = slots
        self.behaviour = behaviour
        self.ran: list[tuple[str, int]] = []
        self.at_once = self.most_at_once = 0

    async def run(self, trial: PlannedTrial, number: int, recorder: Recorder) -> AttemptResult:
        self.ran.append((trial.id, number))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await anyio.sleep(0.001)
            return self.behaviour(trial, number, recorder)
        finally:
            self.at_once -= 1


class Notes:
    """A watcher that keeps what it hears."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.pending: list[str] = []

    def planned(self, plan: Plan, pending: Sequence[PlannedTrial]) -> None:
        self.pending = [trial.id for trial in pending]

    def started(self, trial: PlannedTrial, attempt: int) -> None: ...

    def event(self, trial: PlannedTrial, attempt: int, event: AnyEvent) -> None: ...

    def ended(self, trial: PlannedTrial, result: AttemptResult, *, final: bool) -> None: ...

    def line(self, text: str) -> None:
        self.lines.append(text)


def run(
    store: MemoryStore,
    executor: FakeExecutor,
    what: Plan,
    *,
    control: Control | None = None,
    notes: Notes | None = None,
    **policy: object,
) -> RunOutcome:
    settings = RunPolicy(**{"backoff_s": 0.001, **policy})  # type: ignore[arg-type]

    async def go() -> RunOutcome:
        return await execute(
            what,
            store,
            executor,
            watcher=notes or Notes(),
            policy=settings,
            control=control or Control(),
        )

    return anyio.run(go)


@pytest.fixture
def store(tmp_path: Path) -> MemoryStore:
    return MemoryStore(tmp_path)


def test_every_trial_of_the_plan_is_run_once_and_never_more_at_once_than_there_are_slots(
    store: MemoryStore,
) -> None:
    executor = FakeExecutor(verdict, slots=3)
    outcome = run(store, executor, plan(20))
    assert outcome.reason == "done"
    assert sorted(trial for trial, _ in executor.ran) == sorted(trial.id for trial in plan(20).trials)
    assert executor.most_at_once == 3


def test_the_same_call_again_runs_nothing(store: MemoryStore) -> None:
    run(store, FakeExecutor(verdict), plan(4))
    again = FakeExecutor(verdict)
    assert run(store, again, plan(4)).reason == "done"
    assert again.ran == []


def test_an_attempt_that_a_dead_process_left_open_is_booked_with_its_spend_and_tried_anew(
    store: MemoryStore,
) -> None:
    def dies(trial: PlannedTrial, number: int, recorder: Recorder) -> AttemptResult:
        reply = Reply(usage=Usage(input_tokens=10, output_tokens=5), cost_usd=0.5)
        recorder.emit(ModelReplied(turn=1, reply=reply))
        raise KeyboardInterrupt

    with pytest.raises(BaseException):  # noqa: B017, PT011
        run(store, FakeExecutor(dies, slots=1), plan(1))
    # As after kill -9: the process wrote nothing after the attempt began.
    store.lines = [line for line in store.lines if not isinstance(line, AttemptDiscarded | RunClosed)]
    executor = FakeExecutor(verdict)
    run(store, executor, plan(1))
    assert executor.ran == [("a1", 2)]
    discarded = [line for line in store.lines if isinstance(line, AttemptDiscarded)]
    assert [(line.attempt, line.cost_usd) for line in discarded] == [(1, 0.5)]
    assert fold_journal(store.lines)["a1"].spend.cost_usd == pytest.approx(0.5)


def test_a_retryable_fault_is_tried_again_up_to_the_cap_and_every_attempt_is_kept(store: MemoryStore) -> None:
    executor = FakeExecutor(lambda trial, number, _: infra(trial, number, retryable=True))
    run(store, executor, plan(1), attempts=3)
    assert executor.ran == [("a1", 1), ("a1", 2), ("a1", 3)]
    ended = [line for line in store.lines if isinstance(line, AttemptEnded)]
    assert [line.final for line in ended] == [False, False, True]
    assert fold_journal(store.lines)["a1"].spend.cost_usd == pytest.approx(0.75)


def test_a_fault_that_no_retry_mends_is_final_and_never_stops_siblings(store: MemoryStore) -> None:
    executor = FakeExecutor(lambda trial, number, _: (infra if trial.id == "a1" else verdict)(trial, number))
    outcome = run(store, executor, plan(5))
    assert outcome.reason == "done"
    assert len(executor.ran) == 5


def test_final_infra_is_tried_again_only_when_asked(store: MemoryStore) -> None:
    run(store, FakeExecutor(lambda trial, number, _: infra(trial, number)), plan(1))
    silent = FakeExecutor(verdict)
    run(store, silent, plan(1))
    assert silent.ran == []
    asked = FakeExecutor(verdict)
    run(store, asked, plan(1), rerun=frozenset({"infra"}))
    assert asked.ran == [("a1", 2)]


def test_a_fault_of_the_whole_machine_stops_new_trials_and_they_stay_pending(store: MemoryStore) -> None:
    executor = FakeExecutor(lambda trial, number, _: infra(trial, number, reach="run"), slots=1)
    notes = Notes()
    outcome = run(store, executor, plan(10), notes=notes)
    assert outcome.reason == "error"
    assert len(executor.ran) == 1
    assert "broken" in notes.lines[0]


def test_a_fault_of_one_candidate_stops_only_that_candidate(store: MemoryStore) -> None:
    def behaviour(trial: PlannedTrial, number: int, _: Recorder) -> AttemptResult:
        refused = trial.candidate == "refused"
        return infra(trial, number, cause="model", reach="candidate") if refused else verdict(trial, number)

    executor = FakeExecutor(behaviour, slots=1)
    run(store, executor, plan(4, ("fine", "refused")))
    ran = [trial for trial, _ in executor.ran]
    assert sum(trial.startswith("fine") for trial in ran) == 4
    assert sum(trial.startswith("refused") for trial in ran) == 1


def test_the_budget_stops_new_trials_and_counts_what_was_spent_before(store: MemoryStore) -> None:
    executor = FakeExecutor(lambda trial, number, _: verdict(trial, number, cost_usd=1.0), slots=1)
    assert run(store, executor, plan(10), max_cost_usd=2.5).reason == "budget"
    assert len(executor.ran) == 3
    again = FakeExecutor(verdict, slots=1)
    assert run(store, again, plan(10), max_cost_usd=3.0).reason == "budget"
    assert again.ran == []


def test_draining_lets_running_trials_finish_and_starts_no_more(store: MemoryStore) -> None:
    control = Control()

    def behaviour(trial: PlannedTrial, number: int, _: Recorder) -> AttemptResult:
        control.drain()
        return verdict(trial, number)

    executor = FakeExecutor(behaviour, slots=2)
    assert run(store, executor, plan(10), control=control).reason == "interrupted"
    assert len(executor.ran) == 2
    assert all(state.final for state in fold_journal(store.lines).values())


def test_stopping_ends_running_trials_and_books_them_as_discarded(store: MemoryStore) -> None:
    control = Control()

    class Slow(FakeExecutor):
        async def run(self, trial: PlannedTrial, number: int, recorder: Recorder) -> AttemptResult:
            self.ran.append((trial.id, number))
            control.stop()
            await anyio.sleep(30)
            raise AssertionError

    executor = Slow(verdict, slots=1)
    assert run(store, executor, plan(3), control=control).reason == "interrupted"
    discarded = [line.trial for line in store.lines if isinstance(line, AttemptDiscarded)]
    assert discarded == [executor.ran[0][0]]
    assert isinstance(store.lines[-1], RunClosed)


def test_a_full_disk_stops_the_run_with_its_own_error(store: MemoryStore) -> None:
    def behaviour(trial: PlannedTrial, number: int, _: Recorder) -> AttemptResult:
        raise DiskFullError("no space")

    with pytest.raises(DiskFullError):
        run(store, FakeExecutor(behaviour), plan(3))


def test_an_attempt_never_writes_where_another_one_did_even_if_the_journal_was_lost(store: MemoryStore) -> None:
    with store.recorder("a1", 3):
        pass
    executor = FakeExecutor(verdict)
    run(store, executor, plan(1))
    assert executor.ran == [("a1", 4)]
