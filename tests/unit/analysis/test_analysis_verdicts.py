"""The sentence at the top: what it says, and what it must not."""

from __future__ import annotations

from pathlib import Path

import pytest
from synthetic_run import Decide, Ending, Shape, build_run, demo_like, player

from harness.analysis import Tables, Verdict, analyse, verdict


def judge(folder: Path, decide: Decide, shape: Shape | None = None) -> tuple[Tables, Verdict]:
    tables = analyse(build_run(folder, decide, shape or Shape(events=False)))
    return tables, verdict(tables)


def many(count: int) -> tuple[str, ...]:
    return tuple(f"suite/task-{number:03d}" for number in range(count))


def test_three_tasks_settle_themselves_and_nothing_more(tmp_path: Path) -> None:
    tables, found = judge(tmp_path, demo_like)
    assert found.settled
    assert found.pick == "careful"
    assert found.scope == "these tasks"
    assert found.text == (
        "Pick careful (scripted player): it solved 100 % against 33 % of hasty (scripted player), +67 points "
        "(95 % interval 13 to 90) on these 3 tasks, 2 repeats each; too few tasks to expect the same on others."
    )
    assert "11 tasks" in found.advice
    assert tables.comparisons[0].p_adjusted == 0.5


def test_even_the_largest_difference_on_three_tasks_is_not_called_general(tmp_path: Path) -> None:
    _, found = judge(tmp_path, lambda t, c, r: Ending(how="pass" if c in {"careful", "oracle"} else "fail"))
    assert found.scope == "these tasks"


def test_many_tasks_settle_tasks_like_these(tmp_path: Path) -> None:
    def decide(task: str, candidate: str, repeat: int) -> Ending:
        number = int(task[-3:])
        solved = (
            candidate == "oracle"
            or (candidate == "careful" and number % 4)
            or (candidate == "hasty" and number % 2)
        )
        return Ending(how="pass" if solved else "fail", cost_usd=0.01 if candidate == "careful" else 0.02)

    tables, found = judge(tmp_path, decide, Shape(tasks=many(60), events=False))
    assert found.scope == "tasks like these"
    assert "on tasks like these (60 tasks, 2 repeats each)" in found.text
    assert "67 % cheaper per solved trial" in found.text
    assert tables.comparisons[0].difference.p_method == "paired t"


def test_a_small_difference_is_not_settled_and_says_what_would_settle_it(tmp_path: Path) -> None:
    def decide(task: str, candidate: str, repeat: int) -> Ending:
        wins = {"careful": (0, 1, 2), "hasty": (0, 1, 3), "oracle": range(9)}.get(candidate, ())
        return Ending(
            how="pass"
            if int(task[-3:]) in wins or (candidate == "careful" and task[-1] == "3" and repeat == 1)
            else "fail"
        )

    _, found = judge(tmp_path, decide, Shape(tasks=many(6), events=False))
    assert not found.settled
    assert found.pick is None
    assert found.text.startswith(
        "Not settled: careful (scripted player) solved 58 % and hasty (scripted player) 50 %"
    )
    assert "for tasks like these" in found.text
    assert "tasks in all would settle a difference of 8 points" in found.advice


@pytest.mark.parametrize(
    ("how", "words", "wish"),
    [("pass", "both solved everything", "harder"), ("fail", "neither solved anything", "easier")],
)
def test_candidates_that_do_all_the_same_cannot_be_told_apart(
    tmp_path: Path, how: str, words: str, wish: str
) -> None:
    _, found = judge(tmp_path, lambda t, c, r: demo_like(t, c, r) if c in {"oracle", "nop"} else Ending(how=how))  # type: ignore[arg-type]
    assert not found.settled
    assert words in found.text
    assert wish in found.advice


def test_nothing_finished_settles_nothing(tmp_path: Path) -> None:
    _, found = judge(tmp_path, lambda t, c, r: Ending(how="missing"))
    assert found.text == "Nothing is settled yet: none of 12 trials has a verdict."
    assert "12 trials" in found.advice


def test_infrastructure_alone_is_nobodys_failure(tmp_path: Path) -> None:
    tables, found = judge(tmp_path, lambda t, c, r: Ending(how="infra"))
    assert "12 of them for faults of the infrastructure" in found.text
    assert all(line.rate is None for line in tables.leaderboard)


def test_one_candidate_is_stated_and_not_picked(tmp_path: Path) -> None:
    _, found = judge(tmp_path, demo_like, Shape(candidates=(player("careful"),), events=False))
    assert found.pick is None
    assert found.text.startswith(
        "careful (scripted player) solved 100 % (95 % interval 44 to 100 % for tasks like these)"
    )


def test_one_task_speaks_of_itself(tmp_path: Path) -> None:
    _, found = judge(
        tmp_path,
        lambda t, c, r: Ending(how="pass" if c in {"careful", "oracle"} else "fail"),
        Shape(tasks=("demo/only",), repeats=6, events=False),
    )
    assert found.settled
    assert "on this 1 task, 6 repeats each; one task says nothing of others" in found.text


def test_only_controls_is_nothing_to_decide(tmp_path: Path) -> None:
    _, found = judge(tmp_path, demo_like, Shape(candidates=(), events=False))
    assert found.text == "This run has only controls (oracle, nop): 3 of 3 tasks behaved as expected."


def test_only_controls_names_the_tasks_that_are_not_sound_or_not_known(tmp_path: Path) -> None:
    def decide(task: str, candidate: str, repeat: int) -> Ending:
        if "migrate" in task and candidate == "oracle":
            return Ending(how="fail")
        return Ending(how="infra") if "orders" in task else demo_like(task, candidate, repeat)

    _, found = judge(tmp_path, decide, Shape(candidates=(), events=False))
    assert "1 of 3 tasks behaved as expected" in found.text
    assert found.notes[:2] == (
        "1 task of 3 unsound by the controls: demo/migrate-parsimonious.",
        "1 task of 3 not checked, for a control has no verdict: demo/orders-service.",
    )


def test_what_is_missing_must_not_be_able_to_turn_a_verdict(tmp_path: Path) -> None:
    def decide(task: str, candidate: str, repeat: int) -> Ending:
        lost = candidate == "hasty" and repeat == 2 and "migrate" not in task
        return Ending(how="infra") if lost else demo_like(task, candidate, repeat)

    tables, found = judge(tmp_path, decide)
    assert tables.comparisons[0].difference.these.low > 0, "as seen it would be settled"
    assert not found.settled
    assert tables.comparisons[0].worst.low < tables.comparisons[0].difference.value
    assert any(
        "hasty (scripted player): 2 of 6 trials have no verdict (2 infra, 0 missing)" in n for n in found.notes
    )
    assert "The same command again" in found.advice


def test_different_images_block_the_verdict(tmp_path: Path) -> None:
    def decide(task: str, candidate: str, repeat: int) -> Ending:
        ending = demo_like(task, candidate, repeat)
        other = {"image_id": f"sha256:{candidate}", "context_digest": None}
        return Ending(how=ending.how, cost_usd=ending.cost_usd, **other)  # type: ignore[arg-type]

    _, found = judge(tmp_path, decide)
    assert not found.settled
    assert "did not meet the same conditions" in found.text


def test_three_candidates_need_the_first_to_be_ahead_of_all(tmp_path: Path) -> None:
    def decide(task: str, candidate: str, repeat: int) -> Ending:
        number = int(task[-3:])
        solved = {"a": number < 18, "b": number < 17, "c": number < 2, "oracle": True}.get(candidate, False)
        return Ending(how="pass" if solved else "fail")

    shape = Shape(
        tasks=many(20), candidates=(player("a", note=""), player("b", note=""), player("c", note="")), events=False
    )
    tables, found = judge(tmp_path, decide, shape)
    assert [pair.settled for pair in tables.comparisons] == ["no", "tasks like these", "tasks like these"]
    assert not found.settled
    assert "1 of 2 others are settled behind a" in found.text
