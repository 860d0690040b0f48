"""What a reader sees of a run while it goes on, from what a watcher hears."""

from __future__ import annotations

import errno
import io
from contextlib import suppress
from pathlib import Path
from threading import Event

import pytest
from rich.console import Console

from harness.cli.progress import Lines, Panel, Silent, choose_watcher
from harness.cli.progress.panel import draw
from harness.cli.progress.state import Progress, clean
from harness.cli.progress.thinning import Thinner
from harness.cli.progress.wording import clock, money, time_left
from harness.ports import Watcher
from harness.schema.candidate import Candidate
from harness.schema.event import ErrorRecord, LimitHit, ModelCalled, ModelReplied, PhaseStarted, ToolStarted
from harness.schema.message import Reply, ToolCall
from harness.schema.plan import Plan, PlannedTask, PlannedTrial, Provenance, RunSettings
from harness.schema.result import AttemptResult

CANDIDATES = (
    Candidate(name="scripted/careful", agent="loop", note="scripted player"),
    Candidate(name="openai/one", agent="loop"),
    Candidate(name="nop", agent="nop", role="control"),
)


def trial(task: str = "move", candidate: str = "openai/one", repeat: int = 1) -> PlannedTrial:
    return PlannedTrial(id=f"{task}-{candidate}-{repeat}", task=task, candidate=candidate, repeat=repeat)


TRIALS = tuple(
    trial(task, candidate.name, repeat)
    for task in ("move", "mend")
    for candidate in CANDIDATES
    for repeat in ((1, 2) if candidate.role == "candidate" else (1,))
)
PLAN = Plan(
    name="demo",
    created_at="2026-01-01T00:00:00Z",
    provenance=Provenance(version="1"),
    settings=RunSettings(),
    tasks=tuple(PlannedTask(name=name, path=Path("/t", name), digest="d") for name in ("move", "mend")),
    candidates=CANDIDATES,
    trials=TRIALS,
)


def ended(of: PlannedTrial, **values: object) -> AttemptResult:
    known: dict[str, object] = {
        "trial": of.id,
        "attempt": 1,
        "end_state": "verdict",
        "passed": True,
        "started_at": "",
        "ended_at": "",
        "duration_s": 10.0,
    }
    return AttemptResult.model_validate(known | values)


def replied(turn: int, cost_usd: float | None) -> ModelReplied:
    return ModelReplied(turn=turn, reply=Reply(cost_usd=cost_usd))


def planned() -> Progress:
    return Progress().hear_plan(PLAN, TRIALS, 0.0)


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def rendered(progress: Progress, width: int, height: int = 24, now_s: float = 0.0) -> str:
    console = Console(file=io.StringIO(), width=width, height=height, record=True, highlight=False)
    console.print(draw(progress, now_s, width, height))
    return console.export_text()


# ----------------------------------------------------------------------------------------------- state


def test_a_plan_is_told_by_its_size_and_the_notes_of_its_candidates() -> None:
    progress = planned()
    assert progress.size == "2 tasks × 2 candidates × 2 repeats, and 2 controls"
    assert progress.notes == (("scripted/careful", "scripted player"),)
    assert (progress.planned, progress.done) == (10, 0)


def test_a_plan_of_controls_alone_is_told_by_its_controls() -> None:
    trials = tuple(one for one in TRIALS if one.candidate == "nop")
    plan = PLAN.model_copy(update={"candidates": CANDIDATES[2:], "trials": trials})
    assert Progress().hear_plan(plan, trials, 0.0).size == "2 tasks × 1 control × 1 repeat"


def test_trials_of_an_earlier_process_count_as_done() -> None:
    progress = Progress().hear_plan(PLAN, TRIALS[4:], 0.0)
    assert progress.done == 4
    assert progress.hear_end(TRIALS[4], ended(TRIALS[4]), final=True).done == 5


def test_a_running_trial_shows_its_phase_turn_and_tool() -> None:
    one = trial()
    progress = planned().hear_start(one, 1, 5.0)
    progress = progress.hear_event(one, PhaseStarted(phase="agent")).hear_event(one, replied(3, 0.01))
    progress = progress.hear_event(one, ToolStarted(turn=3, call=ToolCall(call_id="c", name="shell", arguments={})))
    assert progress.running[one.id].where == "agent · turn 3 · shell"


def test_a_provider_that_is_asked_again_is_named_as_the_wait() -> None:
    one = trial()
    progress = planned().hear_start(one, 1, 0.0)
    progress = progress.hear_event(one, ModelCalled(turn=1, try_number=1, duration_s=1, retry_in_s=8))
    assert "asked again in 8 s" in progress.running[one.id].where
    assert progress.hear_event(one, replied(1, 0.0)).running[one.id].where == "turn 1"


def test_spend_counts_running_trials_and_is_not_counted_twice_when_they_end() -> None:
    one = trial()
    progress = planned().hear_start(one, 1, 0.0).hear_event(one, replied(1, 0.25)).hear_event(one, replied(2, 0.5))
    assert progress.spend_usd == 0.75
    assert progress.hear_end(one, ended(one, cost_usd=0.75), final=True).spend_usd == 0.75


def test_attempts_that_are_tried_again_cost_but_do_not_count_as_done() -> None:
    one = trial()
    fault = ErrorRecord(type="SandboxGoneError", cause="sandbox", retryable=True, message="The container is gone.")
    progress = planned().hear_start(one, 1, 0.0)
    progress = progress.hear_end(
        one, ended(one, end_state="infra", passed=None, error=fault, cost_usd=0.1), final=False
    )
    assert (progress.done, progress.spend_usd, dict(progress.outcomes)) == (0, 0.1, {})
    assert (progress.recent[-1].word, progress.recent[-1].remark) == ("again", "The container is gone.")


def test_an_unknown_cost_makes_the_spend_a_lower_bound_never_zero() -> None:
    one, two = TRIALS[0], TRIALS[1]
    progress = planned().hear_start(one, 1, 0.0).hear_event(one, replied(1, None))
    assert money(progress) == "cost unknown"
    progress = progress.hear_end(one, ended(one, cost_complete=False), final=True)
    progress = progress.hear_end(two, ended(two, cost_usd=0.5), final=True)
    assert money(progress) == "over $0.50"


def test_controls_are_counted_apart_from_the_candidates() -> None:
    nop = trial(candidate="nop")
    progress = planned().hear_end(nop, ended(nop, passed=False), final=True)
    assert (dict(progress.outcomes), progress.controls_done, progress.done) == ({}, 1, 1)


def test_a_limit_is_its_own_outcome_and_says_when_the_work_passes() -> None:
    one = trial()
    result = ended(one, end_state="limit", limit=LimitHit(kind="turns", limit=5, used=5))
    progress = planned().hear_end(one, result, final=True)
    assert dict(progress.outcomes) == {"limit": 1}
    assert progress.recent[-1].remark == "turns used up, its work passes"


def test_events_of_an_attempt_that_is_over_change_nothing() -> None:
    progress = planned()
    assert progress.hear_event(trial(), replied(9, 1.0)) is progress


def test_time_left_is_unknown_until_three_trials_ended_and_then_a_range_around_the_mean() -> None:
    progress = planned()
    for one, duration_s in zip(TRIALS[:3], (8.0, 10.0, 12.0), strict=True):
        assert progress.left_s(0.0) is None
        progress = progress.hear_start(one, 1, 0.0).hear_end(one, ended(one, duration_s=duration_s), final=True)
    span = progress.left_s(30.0)
    assert span is not None
    low, high = span
    assert low < 70.0 < high
    assert low + high == pytest.approx(140.0)


def test_time_left_shrinks_with_trials_at_the_same_time_and_with_work_already_done() -> None:
    progress = planned()
    for one in TRIALS[:2]:
        progress = progress.hear_start(one, 1, 0.0)
    for one in TRIALS[:3]:
        progress = progress.hear_end(one, ended(one), final=True)
    assert progress.left_s(30.0) == (35.0, 35.0)
    assert progress.hear_start(TRIALS[4], 1, 26.0).left_s(30.0) == (33.0, 33.0)


@pytest.mark.parametrize(
    ("hostile", "seen"),
    [
        ("plain", "plain"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("a\r\nb\tc\x08\x00d", "a b cd"),
        ("left\u202eright\u200b", "leftright"),
        ("\x9b31mx", "31mx"),
        ("[bold]kept[/bold]", "[bold]kept[/bold]"),
    ],
)
def test_text_is_one_line_without_control_codes(hostile: str, seen: str) -> None:
    assert clean(hostile) == seen


def test_long_text_is_cut_and_marked() -> None:
    assert clean("x" * 1000, 10) == "x" * 9 + "…"


# --------------------------------------------------------------------------------------------- wording


def test_times_read_as_on_a_clock() -> None:
    assert [clock(7.9), clock(723), clock(3723)] == ["0:07", "12:03", "1:02:03"]


def test_time_left_is_told_in_the_unit_that_fits() -> None:
    assert time_left(None) == ""
    assert time_left((20.0, 50.0)) == "20–50 s left"
    assert time_left((100.0, 260.0)) == "2–4 min left"
    assert time_left((3600.0, 7300.0)) == "1–2 h left"
    assert time_left((61.0, 62.0)) == "61–62 s left"


# ------------------------------------------------------------------------------------------------ panel


def busy(trials: int = 3) -> Progress:
    progress = planned().hear_line("image for move: Step 2/5 : RUN \x1b[31mmake [red]all")
    for one in TRIALS[:3]:
        progress = progress.hear_end(one, ended(one, cost_usd=0.1), final=True)
    for number in range(trials):
        one = PlannedTrial(id=f"r{number}", task=f"task-{number}-{'long' * 20}", candidate="openai/one", repeat=1)
        progress = progress.hear_start(one, 2, 0.0).hear_event(one, PhaseStarted(phase="verifier"))
    return progress


def test_the_panel_shows_how_far_what_runs_what_ended_and_what_it_costs() -> None:
    text = rendered(busy(), 120, now_s=75.0)
    for expected in (
        *(
            "3/10",
            "pass 3",
            "fail 0",
            "$0.30",
            "1:15 so far",
            "task-0",
            "openai/one #1 (attempt 2)",
            "hidden tests",
        ),
        *("pass   move  scripted/careful #1  0:10", "Step 2/5 : RUN make [red]all"),
    ):
        assert expected in text


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("height", [10, 24, 60])
def test_the_panel_fits_any_terminal(width: int, height: int) -> None:
    lines = rendered(busy(50), width, height).rstrip("\n").split("\n")
    assert max(map(len, lines)) <= width
    assert len(lines) <= height
    assert any("more" in line for line in lines)


def test_remarks_are_printed_above_the_panel_and_not_lost() -> None:
    output = Terminal()
    console = Console(file=output, force_terminal=True, width=100, height=30, color_system=None)
    with Panel(console) as panel:
        panel.planned(PLAN, TRIALS)
        panel.started(TRIALS[0], 1)
        for number in range(20):
            panel.line(f"remark {number}")
        panel.ended(TRIALS[0], ended(TRIALS[0]), final=True)
    text = output.getvalue()
    assert all(f"remark {number}\n" in text for number in range(20))
    assert text.index("scripted/careful: scripted player") < text.index("remark 0\n")


def test_the_panel_gives_the_cursor_back_when_the_run_breaks_off() -> None:
    output = Terminal()
    console = Console(file=output, force_terminal=True, width=80)
    with suppress(KeyboardInterrupt), Panel(console) as panel:
        panel.planned(PLAN, TRIALS)
        raise KeyboardInterrupt
    shown, hidden = output.getvalue().rfind("\x1b[?25h"), output.getvalue().rfind("\x1b[?25l")
    assert shown > hidden >= 0


# ------------------------------------------------------------------------------------------------ lines


def test_lines_tell_the_plan_each_end_and_no_control_codes() -> None:
    output = io.StringIO()
    one, nop = TRIALS[0], trial(candidate="nop")
    with Lines(output) as lines:
        lines.planned(PLAN, TRIALS)
        lines.started(one, 1)
        lines.event(one, 1, replied(1, 0.02))
        lines.ended(one, ended(one, cost_usd=0.02), final=True)
        lines.ended(nop, ended(nop, passed=False), final=True)
        lines.line("the engine\x1b[2J is away")
    assert output.getvalue().splitlines() == [
        "demo: 10 trials (2 tasks × 2 candidates × 2 repeats, and 2 controls)",
        "scripted/careful: scripted player",
        "[ 1/10] pass    move · scripted/careful · repeat 1  0:10  $0.02",
        "[ 2/10] fail    move · nop · repeat 1  0:10  control",
        "the engine is away",
    ]


def test_lines_tell_that_a_provider_is_asked_again_and_why() -> None:
    output = io.StringIO()
    fault = ErrorRecord(type="X", cause="model", retryable=True, message="p/m is\x1b[2J overloaded.")
    with Lines(output) as lines:
        lines.started(TRIALS[0], 1)
        lines.event(TRIALS[0], 1, ModelCalled(turn=1, try_number=1, duration_s=1, retry_in_s=8, error=fault))
        lines.event(TRIALS[0], 1, ModelCalled(turn=1, try_number=2, duration_s=1))
    assert output.getvalue() == "move · scripted/careful: p/m is overloaded. Asking again in 8 s.\n"


def test_lines_give_a_sign_of_life_after_a_minute_of_silence() -> None:
    output, now = io.StringIO(), Clock()
    lines = Lines(output, clock_s=now)
    lines.planned(PLAN, TRIALS)
    lines.started(TRIALS[0], 1)
    lines.event(TRIALS[0], 1, PhaseStarted(phase="agent"))
    before = output.getvalue()
    now.now_s = 59.0
    lines.tick()
    assert output.getvalue() == before
    now.now_s = 61.0
    lines.tick()
    assert output.getvalue().removeprefix(before) == (
        "still going: 0/10 done, 1 running, longest move · scripted/careful (agent) for 1:01, pass 0 · fail 0\n"
    )
    lines.tick()
    assert output.getvalue().count("still going") == 1


def test_the_sign_of_life_comes_by_itself_while_the_context_is_open() -> None:
    class Heard(io.StringIO):
        def write(self, text: str) -> int:
            if "still going" in text:
                heard.set()
            return super().write(text)

    heard, now = Event(), Clock()
    with Lines(Heard(), clock_s=now) as lines:
        lines.planned(PLAN, TRIALS)
        now.now_s = 100.0
        assert heard.wait(30)


def test_lines_are_coloured_only_when_asked() -> None:
    output = io.StringIO()
    with Lines(output, coloured=True) as lines:
        lines.planned(PLAN, TRIALS)
        lines.ended(TRIALS[0], ended(TRIALS[0]), final=True)
    assert "\x1b[32mpass   \x1b[0m" in output.getvalue()


def test_a_reader_that_went_away_does_not_disturb_the_run() -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    with Lines(Broken()) as lines:
        lines.planned(PLAN, TRIALS)
        lines.ended(TRIALS[0], ended(TRIALS[0]), final=True)
    assert lines._progress.done == 1


# --------------------------------------------------------------------------------------------- thinning


def test_a_flood_of_one_source_is_thinned_and_its_newest_remark_comes_through() -> None:
    thinner = Thinner()
    shown = [text for number in range(100) for text in thinner.admit(f"image: step {number}", 0.0)]
    assert shown == ["image: step 0", "image: step 1", "image: step 2"]
    assert thinner.due(4.9) == []
    assert thinner.due(5.0) == ["image: step 99"]
    assert thinner.due(99.0) == []


def test_the_steps_of_a_build_are_one_source() -> None:
    thinner = Thinner()
    shown = [text for number in range(9) for text in thinner.admit(f"Step {number}/9 : RUN make", 0.0)]
    assert len(shown) == 3
    assert thinner.flush() == ["Step 8/9 : RUN make"]


def test_sources_do_not_hold_one_another_up() -> None:
    thinner = Thinner()
    for number in range(100):
        thinner.admit(f"image: step {number}", 0.0)
    assert thinner.admit("Starting no more trials: the engine is away", 0.0) != []
    assert thinner.flush() == ["image: step 99"]


# --------------------------------------------------------------------------------------------- choosing


@pytest.mark.parametrize(
    ("terminal", "environ", "kind"),
    [
        (True, {"TERM": "xterm"}, Panel),
        (True, {"TERM": "xterm", "NO_COLOR": "1"}, Panel),
        (True, {"TERM": "dumb"}, Lines),
        (True, {}, Lines),
        (True, {"TERM": "xterm", "CI": "true"}, Lines),
        (False, {"TERM": "xterm"}, Lines),
        (False, {"TERM": "xterm", "FORCE_COLOR": "1"}, Lines),
    ],
)
def test_the_panel_is_for_terminals_only(terminal: bool, environ: dict[str, str], kind: type) -> None:
    stream = Terminal() if terminal else io.StringIO()
    assert type(choose_watcher(stream=stream, environ=environ)) is kind


class HungUp(Terminal):
    """A terminal whose window was closed after its first words."""

    def write(self, text: str) -> int:
        if self.tell():
            raise OSError(errno.EIO, "Input/output error")
        return super().write(text)


def test_a_terminal_that_is_closed_does_not_disturb_the_run() -> None:
    environ = {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    with choose_watcher(stream=HungUp(), environ=environ) as watcher:
        watcher.planned(PLAN, TRIALS)
        watcher.line("x")
        watcher.ended(TRIALS[0], ended(TRIALS[0]), final=True)


def test_quiet_shows_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    watcher: Watcher = choose_watcher(quiet=True)
    assert isinstance(watcher, Silent)
    watcher.planned(PLAN, TRIALS)
    watcher.line("x")
    assert capfd.readouterr() == ("", "")


def test_no_color_keeps_colour_out_of_the_panel() -> None:
    texts = []
    for extra in ({}, {"NO_COLOR": "1"}):
        stream = Terminal()
        environ = {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24", **extra}
        with choose_watcher(stream=stream, environ=environ) as watcher:
            watcher.planned(PLAN, TRIALS)
            watcher.ended(TRIALS[0], ended(TRIALS[0]), final=True)
        texts.append(stream.getvalue())
    coloured, plain = ("\x1b[32m" in text for text in texts)
    assert coloured
    assert not plain


def test_forced_colour_reaches_lines_but_never_against_no_color() -> None:
    outputs = []
    for environ in ({"FORCE_COLOR": "1"}, {"FORCE_COLOR": "1", "NO_COLOR": "1"}, {"FORCE_COLOR": "0"}):
        stream = io.StringIO()
        with choose_watcher(stream=stream, environ=environ) as watcher:
            watcher.ended(TRIALS[0], ended(TRIALS[0]), final=True)
        outputs.append("\x1b[" in stream.getvalue())
    assert outputs == [True, False, False]
