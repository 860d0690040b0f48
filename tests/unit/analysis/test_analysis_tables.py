"""What the journal says, in tables: the plan is the denominator, and all money counts."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from synthetic_run import Ending, Shape, build_run, demo_like, player

from harness.analysis import RESULT_FIELDS, TABLES, analyse, result_object, result_rows
from harness.errors import RecordError
from harness.store import RunStore

QUICK = Shape(events=False)
ALONE = Shape(events=False, controls=())


def test_there_is_a_row_for_every_planned_trial_in_the_plans_order(tmp_path: Path) -> None:
    store = build_run(tmp_path, lambda t, c, r: Ending(how="missing") if r == 2 else demo_like(t, c, r), QUICK)
    plan = store.plan()
    assert plan is not None
    rows = result_rows(store)
    assert [row.trial for row in rows] == [trial.id for trial in plan.trials]
    assert {row.end_state for row in rows if row.repeat == 2} == {"missing"}


def test_a_results_line_has_exactly_the_promised_keys(tmp_path: Path) -> None:
    row = result_rows(build_run(tmp_path, shape=QUICK))[0]
    value = result_object(row)
    assert tuple(value) == RESULT_FIELDS
    assert value["model"] == "scripted/careful"
    assert value["tokens"] == 11640
    assert json.loads(json.dumps(value)) == value


def test_unknown_is_null_and_never_zero(tmp_path: Path) -> None:
    rows = result_rows(build_run(tmp_path, lambda t, c, r: Ending(how="missing"), QUICK))
    value = result_object(rows[0])
    assert [value[name] for name in ("passed", "reward", "duration_s", "turns", "tokens", "cost_usd", "error")] == [
        None
    ] * 7


def test_failed_and_discarded_attempts_cost_what_they_cost(tmp_path: Path) -> None:
    store = build_run(tmp_path, lambda t, c, r: Ending(earlier=("infra", "discarded"), cost_usd=0.5), ALONE)
    tables = analyse(store)
    row = tables.trials[0]
    assert row.cost_usd == pytest.approx(1.5)
    assert row.attempts == 3
    assert row.attempt == 3
    spent = tables.spend[0]
    assert (spent.counted_usd, spent.failed_usd, spent.discarded_usd) == pytest.approx((3.0, 3.0, 3.0))
    assert tables.leaderboard[0].cost_per_solved_usd == pytest.approx(1.5)


def test_an_attempt_cut_off_with_the_process_makes_the_cost_incomplete(tmp_path: Path) -> None:
    tables = analyse(build_run(tmp_path, lambda t, c, r: Ending(earlier=("open",)), QUICK))
    assert not tables.trials[0].cost_complete
    assert tables.leaderboard[0].cost_per_solved_usd is None
    assert tables.spend[0].unknown_attempts == 6


def test_an_unknown_price_is_an_unknown_cost(tmp_path: Path) -> None:
    tables = analyse(build_run(tmp_path, lambda t, c, r: replace(demo_like(t, c, r), cost_usd=None), QUICK))
    assert tables.leaderboard[0].cost_usd is None
    assert not tables.leaderboard[0].cost_complete


def test_a_trial_that_awaits_another_attempt_is_missing_and_keeps_its_error(tmp_path: Path) -> None:
    row = result_rows(build_run(tmp_path, lambda t, c, r: Ending(how="waiting", earlier=("infra",)), QUICK))[0]
    assert row.end_state == "missing"
    assert row.error is not None
    assert "container is gone" in row.error


def test_a_limit_counts_by_what_the_tests_said(tmp_path: Path) -> None:
    hows = {1: "limit_pass", 2: "limit_fail", 3: "limit_unknown"}
    store = build_run(tmp_path, lambda t, c, r: Ending(how=hows[r]), replace(ALONE, repeats=3))  # type: ignore[arg-type]
    tables = analyse(store)
    line = tables.coverage[0]
    assert (line.limit, line.passed, line.failed, line.limit_passed, line.unscored) == (9, 3, 3, 3, 3)
    assert tables.leaderboard[0].rate is not None
    assert tables.leaderboard[0].rate.value == 0.5


def test_what_has_no_verdict_is_shown_as_bounds(tmp_path: Path) -> None:
    def decide(task: str, candidate: str, repeat: int) -> Ending:
        return Ending(how="infra") if repeat == 2 and candidate == "careful" else demo_like(task, candidate, repeat)

    line = analyse(build_run(tmp_path, decide, QUICK)).coverage[0]
    assert (line.planned, line.verdict, line.infra) == (6, 3, 3)
    assert line.bounds is not None
    assert (line.bounds.low, line.bounds.high) == (0.5, 1.0)


@pytest.mark.parametrize(
    ("control", "how", "words"), [("oracle", "fail", "the oracle fails"), ("nop", "pass", "the nop passes")]
)
def test_a_control_that_does_the_wrong_thing_makes_its_task_unsound(
    tmp_path: Path, control: str, how: str, words: str
) -> None:
    def decide(task: str, candidate: str, repeat: int) -> Ending:
        wrong = candidate == control and "orders" in task
        return Ending(how=how) if wrong else demo_like(task, candidate, repeat)  # type: ignore[arg-type]

    tables = analyse(build_run(tmp_path, decide, QUICK))
    assert tables.unsound == ("demo/orders-service",)
    assert any(words in check.text for check in tables.controls)
    assert all("demo/orders-service" in pair.left_out for pair in tables.comparisons)
    assert tables.leaderboard[0].scored == 4
    assert tables.coverage[0].planned == 6, "the plan stays the denominator of what became of it"


def test_a_control_without_a_verdict_leaves_its_task_unchecked(tmp_path: Path) -> None:
    tables = analyse(
        build_run(tmp_path, lambda t, c, r: Ending(how="infra") if c == "nop" else demo_like(t, c, r), QUICK)
    )
    assert {check.status for check in tables.controls if check.control == "nop"} == {"unchecked"}
    assert not tables.unsound


def test_the_grid_shows_disagreement_first(tmp_path: Path) -> None:
    tables = analyse(build_run(tmp_path, shape=QUICK))
    assert tables.grid[-1].task == "demo/migrate-parsimonious"
    assert [row.disagreement for row in tables.grid] == [1.0, 1.0, 0.0]
    cell = tables.grid[0].cells[0]
    assert {tables.trials[place].candidate for place in cell.trials} == {"careful"}


def test_substituted_bases_versions_and_hosts_are_told(tmp_path: Path) -> None:
    tables = analyse(build_run(tmp_path, shape=replace(QUICK, versions=("0.1.0", "0.2.0"))))
    status = {check.name: check.status for check in tables.fairness}
    assert status["base images"] == "warn"
    assert status["harness"] == "warn"
    assert status["host settings"] == "warn"
    assert status["images"] == "ok"
    assert [stand_in.asked for stand_in in tables.run.substitutions] == ["python:3.11-slim"]
    assert tables.run.index_settings == ("PIP_INDEX_URL",)


def test_an_image_built_anew_from_the_same_files_is_told_but_does_not_block(tmp_path: Path) -> None:
    def decide(task: str, candidate: str, repeat: int) -> Ending:
        return replace(demo_like(task, candidate, repeat), image_id=f"sha256:{candidate}")

    tables = analyse(build_run(tmp_path, decide, QUICK))
    assert next(check for check in tables.fairness if check.name == "images").status == "warn"


def test_equal_rates_share_a_rank_and_the_cheaper_stands_first(tmp_path: Path) -> None:
    def decide(task: str, candidate: str, repeat: int) -> Ending:
        return Ending(how="fail" if candidate == "nop" else "pass", cost_usd=0.1 if candidate == "hasty" else 0.2)

    board = analyse(build_run(tmp_path, decide, QUICK)).leaderboard
    assert [(line.candidate, line.rank) for line in board] == [("hasty", 1), ("careful", 1)]


def test_flags_are_counted_with_their_trials(tmp_path: Path) -> None:
    tables = analyse(
        build_run(tmp_path, lambda t, c, r: replace(demo_like(t, c, r), flags=("odd",) * (c == "hasty")), QUICK)
    )
    assert [(row.flag, len(row.trials)) for row in tables.flags] == [("odd", 6)]


def test_tables_survive_json(tmp_path: Path) -> None:
    tables = analyse(build_run(tmp_path, shape=QUICK))
    assert TABLES.validate_json(TABLES.dump_json(tables)) == tables
    assert "TrialRow" in json.dumps(TABLES.json_schema())


def test_a_folder_without_a_plan_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"no plan"):
        analyse(RunStore(tmp_path))


def test_lines_of_trials_that_are_not_planned_are_left_out(tmp_path: Path) -> None:
    store = build_run(tmp_path, shape=QUICK)
    other = build_run(tmp_path / "other", shape=replace(QUICK, candidates=(player("stranger"),)))
    (tmp_path / "journal.jsonl").write_bytes(
        (tmp_path / "journal.jsonl").read_bytes() + (tmp_path / "other" / "journal.jsonl").read_bytes()
    )
    assert len(other.journal()) > 0
    assert {row.candidate for row in analyse(store).trials} == {"careful", "hasty", "oracle", "nop"}
