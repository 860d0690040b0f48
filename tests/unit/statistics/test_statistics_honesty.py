"""What the numbers must not do: claim certainty from few tasks, leave their range, forget a failure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from harness import statistics as st

outcomes = some.lists(some.sampled_from([0.0, 1.0]), min_size=1, max_size=4)
tasks = some.dictionaries(some.text(min_size=1, max_size=3), outcomes, min_size=1, max_size=9)


def scores(*rows: list[int]) -> dict[str, list[float]]:
    return {str(i): [float(x) for x in row] for i, row in enumerate(rows)}


@given(tasks)
def test_a_rates_interval_holds_the_rate_and_stays_within_0_and_1(values: dict[str, list[float]]) -> None:
    found = st.solve_rate(values)
    assert found is not None
    assert 0 <= found.interval.low <= found.value + 1e-9
    assert found.value - 1e-9 <= found.interval.high <= 1
    assert found.interval.high - found.interval.low > 0.01


@given(tasks, tasks)
def test_turning_a_comparison_round_turns_its_numbers_round(
    a: dict[str, list[float]], b: dict[str, list[float]]
) -> None:
    there, back = st.paired_difference(a, b), st.paired_difference(b, a)
    assert (there is None) == (back is None) == (not a.keys() & b.keys())
    if there and back:
        assert there.value == pytest.approx(-back.value)
        assert there.these.low == pytest.approx(-back.these.high)
        assert there.p_value == pytest.approx(back.p_value)
        assert there.these.low - 1e-9 <= there.value <= there.these.high + 1e-9


def test_all_solved_is_not_certain_to_stay_so() -> None:
    found = st.solve_rate(scores([1, 1], [1, 1], [1, 1]))
    assert found is not None
    assert found.value == 1
    assert found.interval.low == pytest.approx(st.wilson(3, 3).low)


def test_one_task_speaks_only_of_itself() -> None:
    found = st.solve_rate(scores([1, 0, 1]))
    assert found is not None
    assert found.scope == "these tasks"


def test_three_tasks_cannot_give_a_small_p() -> None:
    found = st.paired_difference(scores([1, 1], [1, 1], [1, 1]), scores([0, 0], [0, 0], [0, 0]))
    assert found is not None
    assert found.p_value == found.smallest_p == 0.25
    assert found.like is not None
    assert found.like.high - found.like.low > 0.2


def test_one_task_has_no_interval_for_tasks_like_these() -> None:
    found = st.paired_difference(scores([1, 1]), scores([0, 0]))
    assert found is not None
    assert found.like is None
    assert found.p_value is None


def test_tasks_without_scores_on_one_side_do_not_count() -> None:
    found = st.paired_difference({"x": [1.0], "y": [1.0]}, {"x": [0.0], "y": []})
    assert found is not None
    assert found.tasks == 1


def test_many_tasks_use_students_t() -> None:
    rng = np.random.default_rng(7)
    a = scores(*[[int(x)] for x in rng.random(40) < 0.9])
    b = scores(*[[int(x)] for x in rng.random(40) < 0.3])
    found = st.paired_difference(a, b)
    assert found is not None
    assert found.p_method == "paired t"
    assert found.p_value is not None
    assert found.p_value < 1e-4


def test_nothing_scored_is_no_rate_and_nothing_solved_no_cost_per_solved() -> None:
    assert st.solve_rate({}) is None
    assert st.solve_rate({"x": []}) is None
    assert st.cost_per_solved([1.0, 2.0], [False, False]) is None
    assert st.outcome_bounds(0, 0, 0) is None


def test_fewer_tasks_than_can_differ_are_never_called_enough() -> None:
    assert st.tasks_needed(0.01, 1.0) == 6
    assert st.tasks_needed(0.01, 2 / 3) == 11


@pytest.mark.parametrize(("groups", "repeats"), [(3, 2), (5, 2), (10, 5), (30, 2)])
def test_intervals_cover_at_about_their_level(groups: int, repeats: int) -> None:
    rng = np.random.default_rng(groups * 10 + repeats)
    covered, rounds = 0, 400
    for _ in range(rounds):
        chances = rng.beta(2, 2, size=groups)
        rows = (rng.random((groups, repeats)) < chances[:, None]).astype(int).tolist()
        found = st.solve_rate(scores(*rows))
        assert found is not None
        covered += found.interval.low <= 0.5 <= found.interval.high
    assert covered / rounds > 0.92


def test_newcombes_interval_covers_a_difference_on_fixed_tasks() -> None:
    rng = np.random.default_rng(3)
    chances_a, chances_b = np.array([0.9, 0.6, 0.2, 0.8]), np.array([0.5, 0.6, 0.1, 0.3])
    truth, covered, rounds = float((chances_a - chances_b).mean()), 0, 500
    for _ in range(rounds):
        a = scores(*(rng.random((4, 3)) < chances_a[:, None]).astype(int).tolist())
        b = scores(*(rng.random((4, 3)) < chances_b[:, None]).astype(int).tolist())
        found = st.paired_difference(a, b)
        assert found is not None
        covered += found.these.low <= truth <= found.these.high
    assert covered / rounds > 0.93
