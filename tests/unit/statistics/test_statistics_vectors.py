"""Every formula against a worked example with a known answer."""

from __future__ import annotations

from typing import Any

import pytest

from harness import statistics as st

Vectors = dict[str, Any]


@pytest.mark.parametrize("name", ["proportion_ci_81_of_263", "proportion_ci_0_of_20", "proportion_ci_9_of_10"])
def test_wilson_gives_the_published_interval(vectors: Vectors, name: str) -> None:
    vector = vectors[name]
    found = st.wilson(vector["inputs"]["successes"], vector["inputs"]["trials"])
    assert (found.low, found.high) == pytest.approx(tuple(vector["expected"]["wilson"]), abs=vector["tolerance"])


def test_newcombe_gives_the_published_interval(vectors: Vectors) -> None:
    vector = vectors["difference_independent_newcombe"]
    inputs = vector["inputs"]
    found = st.newcombe_difference(inputs["x1"], inputs["n1"], inputs["x2"], inputs["n2"])
    assert (found.low, found.high) == pytest.approx(tuple(vector["expected"]["newcombe_wilson"]), abs=1e-6)


def test_the_clustered_error_is_the_one_of_cluster_robust_regression(vectors: Vectors) -> None:
    vector = vectors["clustered_se_ten_trials"]
    found = st.clustered_mean(vector["inputs"]["scores"], vector["inputs"]["clusters"])
    assert found.value == pytest.approx(vector["expected"]["mean"])
    assert found.se == pytest.approx(vector["expected"]["clustered_se_times_sqrt_G_over_G_minus_1"], abs=1e-6)
    interval = (found.interval.low, found.interval.high)
    assert interval == pytest.approx(tuple(vector["expected"]["t_interval_df3"]), abs=1e-6)


def test_paired_differences_average_repeats_within_tasks_first(vectors: Vectors) -> None:
    vector = vectors["paired_difference_with_repeats"]
    a, b = ({str(i): row for i, row in enumerate(vector["inputs"][side])} for side in "ab")
    found = st.paired_difference(a, b)
    assert found is not None
    assert found.value == pytest.approx(vector["expected"]["mean_difference"], abs=1e-6)
    assert found.sd == pytest.approx(vector["expected"]["se_paired"] * 6**0.5, abs=1e-6)
    assert found.p_value == pytest.approx(vector["expected"]["exact_sign_flip_p"])
    assert found.smallest_p == pytest.approx(2 / 64)
    assert found.like is not None
    assert found.like.low == pytest.approx(0.222222 - 2.570582 * 0.070273, abs=1e-5)


def test_sign_flips_give_fishers_count_for_darwins_maize(vectors: Vectors) -> None:
    vector = vectors["darwin_maize_paired_permutation"]
    found = st.sign_flip_p(vector["inputs"]["differences"])
    assert found == pytest.approx(2 * 863 / 32768)
    assert found == pytest.approx(vector["expected"]["two_sided_p"], abs=1e-6)


def test_holm_adjusts_as_published(vectors: Vectors) -> None:
    vector = vectors["multiple_comparisons_bh1995"]
    found = st.holm(vector["inputs"]["p_values"])
    assert found == pytest.approx(vector["expected"]["holm"]["adjusted"], abs=1e-6)


def test_holm_does_not_depend_on_the_order(vectors: Vectors) -> None:
    values = vectors["multiple_comparisons_bh1995"]["inputs"]["p_values"]
    assert st.holm(values[::-1]) == st.holm(values)[::-1]


def test_the_sample_size_is_millers(vectors: Vectors) -> None:
    for case in vectors["sample_size_paired_eval"]["expected"]:
        variance = case["omega2"] + case["sigma2_a"] / case["k_a"] + case["sigma2_b"] / case["k_b"]
        assert st.tasks_needed(variance, case["delta"]) == case["n_tasks_rounded_up"]


def test_cost_per_solved_counts_what_failures_cost(vectors: Vectors) -> None:
    vector = vectors["cost_per_solved"]
    found = st.cost_per_solved(vector["inputs"]["cost"], [bool(x) for x in vector["inputs"]["solved"]])
    assert found is not None
    assert found.value == pytest.approx(vector["expected"]["cost_per_solved"], abs=1e-6)
    assert found.se == pytest.approx(vector["expected"]["delta_method_se"], abs=1e-5)


def test_unknown_outcomes_are_bounds(vectors: Vectors) -> None:
    inputs, expected = vectors["missing_trials_bounds"]["inputs"], vectors["missing_trials_bounds"]["expected"]
    found = st.outcome_bounds(inputs["passed"], inputs["failed"], inputs["infrastructure_error"])
    assert found is not None
    assert (found.low, found.high) == (expected["worst_case"], expected["best_case"])


def test_tasks_weigh_the_same_however_often_they_were_tried(vectors: Vectors) -> None:
    vector = vectors["macro_versus_micro"]
    pairs = vector["inputs"]["solved_and_attempts"]
    scores = {str(i): [1.0] * solved + [0.0] * (tried - solved) for i, (solved, tried) in enumerate(pairs)}
    found = st.solve_rate(scores)
    assert found is not None
    assert found.value == pytest.approx(vector["expected"]["mean_of_task_rates"], abs=1e-6)
