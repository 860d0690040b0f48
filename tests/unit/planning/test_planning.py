from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import SettingsError
from harness.journal import TrialState
from harness.planning import default_run_name, extend_plan, make_plan, pending, trial_id
from harness.schema.candidate import Candidate, Limits, ModelSettings, Price
from harness.schema.plan import Plan, PlannedTask, Provenance, RunSettings
from harness.schema.result import AttemptResult, EndState
from harness.schema.task import Task

HERE = Provenance(version="0.1.0")
MODEL = ModelSettings(
    provider="p",
    name="m",
    api="openai-chat",
    base_url=None,
    key_env="KEY",
    price=Price(input_mtok=1, output_mtok=2),
)
ORACLE = Candidate(name="oracle", agent="oracle", role="control")
NOP = Candidate(name="nop", agent="nop", role="control")
ONE = Candidate(name="one", agent="loop", model=MODEL, settings={"tools": ["shell"]})
TWO = Candidate(name="two", agent="loop", model=MODEL)


def _task(name: str, digest: str = "d", folder: str = "/suites/demo") -> Task:
    return Task(name=name, path=Path(folder) / name, digest=digest * 64, instruction="x")


def _plan(
    tasks: str = "ab",
    candidates: tuple[Candidate, ...] = (ONE, TWO),
    repeats: int = 2,
    created_at: str = "now",
    **more: Any,
) -> Plan:
    settings = more.pop("settings", RunSettings())
    return make_plan(
        name="demo",
        tasks=more.pop("task_list", [_task(name) for name in tasks]),
        candidates=candidates,
        repeats=repeats,
        settings=settings,
        provenance=HERE,
        prices_version="1",
        created_at=created_at,
        **more,
    )


def _final(end_state: EndState) -> TrialState:
    result = AttemptResult(trial="t", attempt=1, end_state=end_state, started_at="", ended_at="", duration_s=1)
    return TrialState(final=result, attempts=(result,), last_attempt=1)


# ---------------------------------------------------------------------------------------------------- ids

TASK = PlannedTask(name="a", path=Path("/a"), digest="d")
COSTLY = RunSettings(limits=Limits(cost_usd=1))


def _with_model(**changes: Any) -> Candidate:
    return ONE.model_copy(update={"model": MODEL.model_copy(update=changes)})


DETERMINING: list[tuple[PlannedTask, Candidate, int, RunSettings]] = [
    (TASK.model_copy(update={"name": "b"}), ONE, 1, RunSettings()),
    (TASK.model_copy(update={"digest": "e"}), ONE, 1, RunSettings()),
    (TASK, ONE.model_copy(update={"name": "uno"}), 1, RunSettings()),
    (TASK, ONE.model_copy(update={"agent": "other"}), 1, RunSettings()),
    (TASK, ONE.model_copy(update={"model": None}), 1, RunSettings()),
    (TASK, ONE.model_copy(update={"settings": {"tools": ["shell", "edit"]}}), 1, RunSettings()),
    *(
        (TASK, _with_model(**{field: value}), 1, RunSettings())
        for field, value in {
            "provider": "q",
            "name": "n",
            "api": "anthropic-messages",
            "base_url": "http://x",
            "effort": "high",
            "temperature": 0.5,
            "max_output_tokens": 5,
            "context_window": 9,
            "headers": {"a": "b"},
            "extra_body": {"a": 1},
            "options": {"a": 1},
            "fingerprint": "f",
        }.items()
    ),
    (TASK, ONE, 2, RunSettings()),
    *(
        (TASK, ONE, 1, RunSettings(limits=Limits(**{field: 7})))
        for field in ("turns", "input_tokens", "output_tokens", "total_tokens", "time_s")
    ),
    (TASK, ONE, 1, RunSettings(timeout_multiplier=2)),
    (TASK, ONE, 1, RunSettings(network="none")),
    (TASK, ONE, 1, RunSettings(build="always")),
    (TASK, ONE, 1, COSTLY),
    (TASK, _with_model(price=None), 1, COSTLY),
    (TASK, _with_model(priced=False), 1, COSTLY),
]
INDIFFERENT: list[tuple[PlannedTask, Candidate]] = [
    (TASK.model_copy(update={"path": Path("/elsewhere")}), ONE),
    (TASK.model_copy(update={"description": "x", "keywords": ("k",), "metadata": {"a": 1}}), ONE),
    (TASK, ONE.model_copy(update={"note": "scripted player"})),
    (TASK, ONE.model_copy(update={"role": "control"})),
    (TASK, _with_model(key_env="OTHER_KEY")),
    (TASK, _with_model(price=Price(input_mtok=9, output_mtok=9))),
    (TASK, _with_model(priced=False)),
]


def test_everything_that_can_change_an_outcome_changes_the_id() -> None:
    ids = [trial_id(TASK, ONE, 1, RunSettings()), *(trial_id(*case) for case in DETERMINING)]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(("task", "candidate"), INDIFFERENT)
def test_nothing_else_changes_the_id(task: PlannedTask, candidate: Candidate) -> None:
    assert trial_id(task, candidate, 1, RunSettings()) == trial_id(TASK, ONE, 1, RunSettings())


def test_no_field_is_forgotten_by_the_two_tests_above() -> None:
    """A new field of a candidate, its model or the settings must be put on one side or the other."""
    known = {"name", "agent", "role", "model", "settings", "note"}
    assert set(Candidate.model_fields) == known
    named = {"provider", "name", "api", "base_url", "effort", "temperature", "max_output_tokens", "context_window"}
    named |= {"headers", "extra_body", "options", "fingerprint", "key_env", "price", "priced"}
    assert set(ModelSettings.model_fields) == named
    assert set(RunSettings.model_fields) == {"limits", "timeout_multiplier", "network", "build"}
    assert len(Limits.model_fields) == 6


def test_ids_stay_the_same_from_version_to_version() -> None:
    """If this fails, every stored run would be started anew: change what is hashed only on purpose."""
    assert trial_id(TASK, ONE, 1, RunSettings()) == "80b9fa4a205f17b3"


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=3), _json, max_size=4), st.randoms(use_true_random=False))
def test_the_order_of_settings_does_not_matter(content: dict[str, Any], random: Any) -> None:
    items = list(content.items())
    random.shuffle(items)
    one, other = (ONE.model_copy(update={"settings": given}) for given in (content, dict(items)))
    assert trial_id(TASK, one, 1, RunSettings()) == trial_id(TASK, other, 1, RunSettings())


@settings(deadline=None)
@given(
    tasks=st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=4, unique=True),
    names=st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=4, unique=True),
    repeats=st.integers(1, 3),
)
def test_a_plan_holds_each_trial_once_under_an_id_of_its_own(
    tasks: list[str], names: list[str], repeats: int
) -> None:
    candidates = tuple(ONE.model_copy(update={"name": name}) for name in names)
    plan = _plan(task_list=[_task(name) for name in tasks], candidates=candidates, repeats=repeats)
    trials = {(trial.task, trial.candidate, trial.repeat) for trial in plan.trials}
    assert trials == set(itertools.product(tasks, names, range(1, repeats + 1)))
    assert len({trial.id for trial in plan.trials}) == len(plan.trials) == len(trials)


# --------------------------------------------------------------------------------------------------- plans


def test_controls_come_first_and_are_repeated_on_their_own() -> None:
    plan = _plan(candidates=(ONE, ORACLE, TWO, NOP), repeats=3)
    heads = [trial.candidate for trial in plan.trials[:4]]
    assert sorted(heads) == ["nop", "nop", "oracle", "oracle"]
    assert not {"nop", "oracle"} & {trial.candidate for trial in plan.trials[4:]}
    assert len(plan.trials) == 2 * (2 * 1 + 2 * 3)
    assert len(_plan(candidates=(ONE, ORACLE), repeats=1, control_repeats=5).trials) == 2 * (1 + 5)


def test_candidates_take_turns_within_each_task_and_repeat() -> None:
    plan = _plan(tasks="abcd", repeats=2)
    assert [(trial.repeat, trial.task) for trial in plan.trials[::2]] == [
        (repeat, task) for repeat in (1, 2) for task in "abcd"
    ]
    first = [trial.candidate for trial in plan.trials[::2]]
    assert all(one.task == two.task for one, two in zip(plan.trials[::2], plan.trials[1::2], strict=True))
    assert first.count("one") == first.count("two") == 4
    assert all(first[place] != first[place + 4] for place in range(4)), "the next repeat begins with the other"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tasks": ""}, "at least one task"),
        ({"candidates": ()}, "at least one candidate"),
        ({"tasks": "aa"}, "Two tasks are called 'a'"),
        ({"candidates": (ONE, ONE)}, "Two candidates are called 'one'"),
        ({"repeats": 0}, "at least one repeat"),
        ({"control_repeats": 0}, "at least one repeat"),
    ],
)
def test_an_impossible_plan_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        _plan(**wrong)


def test_the_same_command_again_is_the_same_plan() -> None:
    old = _plan(created_at="then")
    dearer = _with_model(price=Price(input_mtok=99, output_mtok=99))
    again = _plan(created_at="now", candidates=(dearer, TWO)).model_copy(
        update={"provenance": Provenance(version="9"), "prices_version": "2"}
    )
    assert extend_plan(old, again) == old


def test_tasks_candidates_and_repeats_can_be_added_and_earlier_trials_stay() -> None:
    old = _plan(tasks="ab", candidates=(ONE,), repeats=1)
    for new in (
        _plan(tasks="abc", candidates=(ONE,), repeats=1),
        _plan(tasks="ab", candidates=(ONE, TWO), repeats=1),
        _plan(tasks="ab", candidates=(ONE,), repeats=3),
        _plan(tasks="c", candidates=(TWO, ORACLE), repeats=2),
    ):
        both = extend_plan(old, new)
        assert {trial.id for trial in both.trials} == {trial.id for trial in (*old.trials, *new.trials)}
        assert len(both.trials) == len({trial.id for trial in both.trials})
        assert {both.task(trial.task).name for trial in both.trials} == {task.name for task in both.tasks}
        assert {both.candidate(trial.candidate).name for trial in both.trials} == {c.name for c in both.candidates}
        assert extend_plan(both, new) == extend_plan(both, old) == both


def test_a_task_that_moved_is_found_where_it_is_now() -> None:
    new = _plan(task_list=[_task("a", folder="/new"), _task("b", folder="/new")])
    assert extend_plan(_plan(), new).task("a").path == Path("/new/a")


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ({"task_list": [_task("a", "e"), _task("b")]}, "The files of the task a have changed.*/suites/demo/a"),
        ({"settings": RunSettings(limits=Limits(turns=5))}, "other settings: limits.turns null → 5"),
        ({"candidates": (_with_model(effort="high"), TWO)}, 'candidate one is not .* model.effort null → "high"'),
        ({"candidates": (ONE.model_copy(update={"settings": {}}), TWO)}, r"settings.tools \[\"shell\"\] → null"),
    ],
)
def test_results_of_different_things_are_not_mixed(new: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        extend_plan(_plan(), _plan(**new))


def test_pending_is_what_has_no_final_result_in_the_plans_order() -> None:
    plan = _plan()
    done = plan.trials[2]
    states = {done.id: _final("verdict"), plan.trials[0].id: TrialState(open_attempt=1, last_attempt=1)}
    assert pending(plan, states) == tuple(trial for trial in plan.trials if trial is not done)
    assert pending(plan, {}) == plan.trials
    assert pending(plan, {trial.id: _final("verdict") for trial in plan.trials}) == ()


def test_end_states_are_tried_again_only_when_named() -> None:
    plan = _plan()
    ends: list[EndState] = ["verdict", "infra", "limit", "infra"]
    states = {trial.id: _final(end) for trial, end in zip(plan.trials, ends * 2, strict=True)}
    assert pending(plan, states) == ()
    again = pending(plan, states, rerun={"infra"})
    assert {states[trial.id].final.end_state for trial in again} == {"infra"}  # type: ignore[union-attr]
    assert len(again) == 4


def test_the_default_name_is_the_suites_and_always_the_same() -> None:
    assert default_run_name(_plan(created_at="a")) == default_run_name(_plan(created_at="b"))
    assert default_run_name(_plan()).startswith("demo-")
    assert default_run_name(_plan()) != default_run_name(_plan(repeats=3))
    assert default_run_name(_plan(task_list=[_task("org/only one")])).startswith("only-one-")
    assert default_run_name(_plan(task_list=[_task("..")])).startswith("run-")


def test_ten_thousand_trials_are_planned_without_waste() -> None:
    tasks = [_task(f"task-{number}") for number in range(500)]
    plan = _plan(task_list=tasks, repeats=10)
    assert len(plan.trials) == 10_000
    assert extend_plan(plan, plan) == plan
