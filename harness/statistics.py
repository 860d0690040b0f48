"""Numbers for comparing candidates: intervals, paired differences, bounds, money. Pure functions of plain data.

Owns formulas only: what a trial is, which trials count and what is said about them is ``analysis``'s.

The unit is the task: repeats are averaged within a task before anything else, and a headline rate is the mean
of the tasks' rates. Two questions are kept apart, because their answers differ in width:

- *these tasks again*: only the noise from run to run; the tasks are fixed;
- *tasks like these*: the tasks are a sample of such tasks. This is what a buyer needs, and it is wider.

Rates, differences and limits of intervals are fractions (0.25 is 25 %), levels too (0.95). numpy and scipy are
imported on use, so that importing this module costs nothing.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

EXACT_LIMIT = 16
"""Sign flips are enumerated up to this many tasks (65,536 of them); beyond it Student's t is used."""

TASK_VARIANCE = 1 / 9
TRIAL_VARIANCE = 1 / 6
"""Planning values for a difference between tasks and for one trial's outcome (Miller 2024, section on power)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A confidence interval; both limits in the unit of what it is about."""

    low: float
    high: float
    level: float = 0.95

    def excludes(self, value: float) -> bool:
        """Say whether ``value`` lies outside."""
        return value < self.low or value > self.high


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """A solve rate: the mean over ``tasks`` of each task's mean over its repeats; ``trials`` in all.

    ``scope`` names the question that ``interval`` answers.
    """

    value: float
    interval: Interval
    tasks: int
    trials: int
    scope: Literal["these tasks", "tasks like these"]
    method: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Mean:
    """A mean, its standard error, and a t interval with ``clusters`` - 1 degrees of freedom."""

    value: float
    se: float
    interval: Interval
    clusters: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedDifference:
    """Rate of A minus rate of B over the same tasks.

    ``like`` is the interval for tasks like these (``None`` with one task), ``these`` the one for these tasks
    again. ``p_value`` tests that neither is better, for tasks like these; ``smallest_p`` is the least that this
    number of tasks could have given, so that a reader sees when no result could have been convincing.
    """

    value: float
    tasks: int
    rate_a: float
    rate_b: float
    sd: float | None
    like: Interval | None
    these: Interval
    p_value: float | None
    p_method: str
    smallest_p: float


@dataclass(frozen=True, kw_only=True, slots=True)
class CostPerSolved:
    """USD spent for each solved trial, failures included; ``se`` by the delta method, ``None`` with one trial."""

    value: float
    se: float | None


def normal_quantile(probability: float) -> float:
    """Return the standard normal quantile."""
    from scipy.special import ndtri

    return float(ndtri(probability))


def t_quantile(probability: float, degrees: float) -> float:
    """Return the quantile of Student's t with ``degrees`` of freedom."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))


def t_two_sided_p(t: float, degrees: float) -> float:
    """Return the two-sided p of Student's t."""
    from scipy.special import stdtr

    return float(2 * stdtr(degrees, -abs(t)))


def wilson(successes: float, trials: float, *, level: float = 0.95) -> Interval:
    """Return Wilson's score interval for ``successes`` of ``trials``; both may be effective, fractional counts.

    Centre (p + z²/2n) / (1 + z²/n), half width z/(1 + z²/n) · sqrt(p(1-p)/n + z²/4n²).
    Source: Wilson 1927; Newcombe 1998, Statistics in Medicine 17:857, method 3. Without trials it is 0 to 1.
    """
    if trials <= 0:
        return Interval(low=0.0, high=1.0, level=level)
    z = normal_quantile((1 + level) / 2)
    p = successes / trials
    scale = 1 + z * z / trials
    centre = (p + z * z / (2 * trials)) / scale
    half = z / scale * math.sqrt(max(p * (1 - p), 0.0) / trials + z * z / (4 * trials * trials))
    low = 0.0 if successes <= 0 else max(0.0, centre - half)
    high = 1.0 if successes >= trials else min(1.0, centre + half)
    return Interval(low=low, high=high, level=level)


def clustered_mean(scores: Sequence[float], clusters: Sequence[Hashable], *, level: float = 0.95) -> Mean:
    """Return the mean of ``scores`` with a standard error that allows for likeness within ``clusters``.

    SE² = G/(G-1) · Σ_g (Σ_{i in g} (s_i - mean))² / N²; Student's t with G-1 degrees of freedom.
    Source: Liang and Zeger 1986; Miller 2024 (arXiv 2411.00640) with the small-sample factor. Needs two clusters.
    """
    import numpy as np

    values = np.asarray(scores, dtype=float)
    names, index = np.unique(np.asarray([str(c) for c in clusters]), return_inverse=True)
    groups = len(names)
    if groups < 2:
        raise ValueError("A clustered interval needs at least two clusters.")
    mean = float(values.mean())
    sums = np.bincount(index, weights=values - mean, minlength=groups)
    se = math.sqrt(groups / (groups - 1) * float((sums**2).sum())) / len(values)
    half = t_quantile((1 + level) / 2, groups - 1) * se
    return Mean(
        value=mean, se=se, interval=Interval(low=mean - half, high=mean + half, level=level), clusters=groups
    )


def task_means(scores: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return each task's mean over its repeats; tasks without a score are left out."""
    return {task: math.fsum(values) / len(values) for task, values in scores.items() if values}


def solve_rate(scores: Mapping[str, Sequence[float]], *, level: float = 0.95) -> Rate | None:
    """Return the rate over tasks with its interval; ``scores`` maps a task to its repeats' outcomes (0 or 1).

    One repeat per task: Wilson over the tasks. Several: t with G-1 on the tasks' means. Where that interval
    would leave 0 to 1, or nothing varies between tasks, Wilson on the effective number of trials
    p(1-p)/SE², shrunk by (z/t)² for the few tasks it rests on (Korn and Graubard 1998; Dean and Pagano 2015),
    between the number of tasks (a task's mean varies less than one trial) and that of trials; at 0 or 1 the
    number of tasks. One task says nothing of others: Wilson over its repeats, for these tasks. ``None``
    without any score.
    """
    means = task_means(scores)
    if not means:
        return None
    trials = sum(len(values) for values in scores.values())
    groups = len(means)
    value = math.fsum(means.values()) / groups
    if groups == 1:
        interval, method = wilson(value * trials, trials, level=level), "Wilson over repeats"
    elif trials == groups:
        interval, method = wilson(value * groups, groups, level=level), "Wilson over tasks"
    else:
        interval, method = _rate_over_tasks(list(means.values()), value, trials, level)
    scope: Literal["these tasks", "tasks like these"] = "these tasks" if groups == 1 else "tasks like these"
    return Rate(value=value, interval=interval, tasks=groups, trials=trials, scope=scope, method=method)


def _rate_over_tasks(means: list[float], value: float, trials: int, level: float) -> tuple[Interval, str]:
    groups = len(means)
    mean = clustered_mean(means, range(groups), level=level)
    if mean.se > 0 and mean.interval.low >= 0 and mean.interval.high <= 1:
        return mean.interval, "t over tasks"
    if value in (0.0, 1.0):
        return wilson(value * groups, groups, level=level), "Wilson over tasks"
    shrink = (normal_quantile((1 + level) / 2) / t_quantile((1 + level) / 2, groups - 1)) ** 2
    effective = value * (1 - value) / mean.se**2 if mean.se > 0 else float(trials)
    effective = min(max(effective * shrink, groups), trials)
    return wilson(value * effective, effective, level=level), "Wilson over effective trials"


def newcombe_difference(
    successes_a: float, trials_a: float, successes_b: float, trials_b: float, *, level: float = 0.95
) -> Interval:
    """Return the interval for the difference of two independent rates, from their Wilson intervals.

    Lower d - sqrt((pA - lA)² + (uB - pB)²), upper d + sqrt((uA - pA)² + (pB - lB)²).
    Source: Newcombe 1998, Statistics in Medicine 17:873, method 10. With fixed tasks, outcomes vary less than
    one binomial with the pooled rate does (Hoeffding 1956), so there it is on the safe side.
    """
    a, b = wilson(successes_a, trials_a, level=level), wilson(successes_b, trials_b, level=level)
    rate_a = successes_a / trials_a if trials_a else 0.5
    rate_b = successes_b / trials_b if trials_b else 0.5
    value = rate_a - rate_b
    low = value - math.hypot(rate_a - a.low, b.high - rate_b)
    high = value + math.hypot(a.high - rate_a, rate_b - b.low)
    return Interval(low=max(-1.0, low), high=min(1.0, high), level=level)


def sign_flip_p(differences: Sequence[float]) -> float:
    """Return the exact two-sided p that the differences' signs are arbitrary; at most ``EXACT_LIMIT`` of them.

    The share of all 2^n sign patterns whose sum is at least as far from 0 as the one seen.
    Source: Fisher 1935, The Design of Experiments, section 21.
    """
    import numpy as np

    values = np.asarray(differences, dtype=float)
    if len(values) > EXACT_LIMIT:
        raise ValueError(f"{len(values)} differences are too many to enumerate; at most {EXACT_LIMIT}.")
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate((sums + value, sums - value))
    seen = abs(float(values.sum()))
    return float(np.mean(np.abs(sums) >= seen - 1e-9 * max(1.0, seen)))


def paired_difference(
    a: Mapping[str, Sequence[float]], b: Mapping[str, Sequence[float]], *, level: float = 0.95
) -> PairedDifference | None:
    """Compare A with B over the tasks on which both have scores; ``None`` when there is none.

    d_t = mean of A's repeats - mean of B's on task t. Tasks like these: t interval on d with G-1 degrees of
    freedom (Newcombe's over tasks where every d is the same), p by exact sign flips up to ``EXACT_LIMIT`` tasks
    and by t beyond. These tasks again: Newcombe's interval on the pooled trials, each task weighing the same.
    Source: Miller 2024 (arXiv 2411.00640), paired analysis. Limits are clipped to -1 and 1.
    """
    means_a, means_b = task_means(a), task_means(b)
    shared = [task for task in means_a if task in means_b]
    if not shared:
        return None
    differences = [means_a[task] - means_b[task] for task in shared]
    groups = len(shared)
    rate_a = math.fsum(means_a[task] for task in shared) / groups
    rate_b = math.fsum(means_b[task] for task in shared) / groups
    trials_a, trials_b = (_equivalent_trials([len(side[task]) for task in shared]) for side in (a, b))
    like, sd = _like_interval(differences, rate_a, rate_b, level)
    exact = groups <= EXACT_LIMIT
    p_value = None if groups < 2 else sign_flip_p(differences) if exact else _t_p(differences)
    return PairedDifference(
        value=rate_a - rate_b,
        tasks=groups,
        rate_a=rate_a,
        rate_b=rate_b,
        sd=sd,
        like=like,
        these=newcombe_difference(rate_a * trials_a, trials_a, rate_b * trials_b, trials_b, level=level),
        p_value=p_value,
        p_method="exact sign flips" if exact else "paired t",
        smallest_p=min(1.0, 2.0 ** (1 - groups)) if exact else 0.0,
    )


def _equivalent_trials(repeats: Sequence[int]) -> float:
    """Trials that a rate with each task weighing the same is worth: G² / Σ 1/K_t, the whole when K is constant."""
    return len(repeats) ** 2 / math.fsum(1 / count for count in repeats)


def _like_interval(
    differences: Sequence[float], rate_a: float, rate_b: float, level: float
) -> tuple[Interval | None, float | None]:
    groups = len(differences)
    if groups < 2:
        return None, None
    mean = clustered_mean(differences, range(groups), level=level)
    if mean.se == 0:  # t would claim certainty from a few tasks that happened to agree
        return newcombe_difference(rate_a * groups, groups, rate_b * groups, groups, level=level), 0.0
    sd = mean.se * math.sqrt(groups)
    return Interval(low=max(-1.0, mean.interval.low), high=min(1.0, mean.interval.high), level=level), sd


def _t_p(differences: Sequence[float]) -> float:
    mean = clustered_mean(differences, range(len(differences)))
    if mean.se == 0:
        return 1.0 if mean.value == 0 else 0.0
    return t_two_sided_p(mean.value / mean.se, len(differences) - 1)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p values adjusted for being looked at together: step-down max of (m - i) · p_(i), at most 1.

    Keeps the chance of any false finding below alpha. Source: Holm 1979, Scandinavian Journal of Statistics 6:65.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [1.0] * len(p_values)
    worst = 0.0
    for rank, i in enumerate(order):
        worst = max(worst, (len(p_values) - rank) * p_values[i])
        adjusted[i] = min(1.0, worst)
    return adjusted


def outcome_bounds(passed: int, failed: int, unknown: int) -> Interval | None:
    """Return the least and the greatest rate that the unknown outcomes allow: pass/N to (pass + unknown)/N.

    Source: Manski 1989, worst-case bounds. ``level`` is 1: no chance is involved. ``None`` without trials.
    """
    total = passed + failed + unknown
    if not total:
        return None
    return Interval(low=passed / total, high=(passed + unknown) / total, level=1.0)


def cost_per_solved(costs_usd: Sequence[float], solved: Sequence[bool]) -> CostPerSolved | None:
    """Return all money over the number of solved trials; ``None`` when none is solved (no finite answer).

    r = Σcost/Σsolved; SE = sqrt(Σ(c_i - r·s_i)² / ((n-1)·n)) / mean(s). Source: Cochran 1977, chapter 6.
    """
    count = sum(solved)
    if not count:
        return None
    total = len(costs_usd)
    ratio = math.fsum(costs_usd) / count
    if total < 2:
        return CostPerSolved(value=ratio, se=None)
    residual = math.fsum((cost - ratio * done) ** 2 for cost, done in zip(costs_usd, solved, strict=True))
    return CostPerSolved(value=ratio, se=math.sqrt(residual / ((total - 1) * total)) * total / count)


def tasks_needed(variance: float, difference: float, *, level: float = 0.95, power: float = 0.8) -> int:
    """Return how many tasks show a true ``difference`` with this ``power``, paired and two-sided.

    n = (z_{α/2} + z_β)² · variance / difference², with ``variance`` that of a task's difference (Miller 2024,
    arXiv 2411.00640). Where that gives few, the least number at which six tasks differ, all one way, with this
    power: fewer than six cannot reach .05 by exact sign flips.
    """
    z = normal_quantile((1 + level) / 2) + normal_quantile(power)
    wanted = math.ceil(z * z * variance / difference**2 - 1e-9)
    return max(wanted, _tasks_for_six(min(abs(difference), 1.0), power))


def _tasks_for_six(share: float, power: float) -> int:
    """Return the least n at which a binomial(n, ``share``) is six or more with probability ``power``."""
    from scipy.special import bdtrc

    low, high = 6, 6
    while bdtrc(5, high, share) < power:
        low, high = high + 1, high * 2
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if bdtrc(5, middle, share) >= power else (middle + 1, high)
    return low


def planned_variance(repeats_a: float, repeats_b: float) -> float:
    """Return the variance of a task's difference to plan with before there is data: ω² + σ²/K_A + σ²/K_B."""
    return TASK_VARIANCE + TRIAL_VARIANCE / repeats_a + TRIAL_VARIANCE / repeats_b
