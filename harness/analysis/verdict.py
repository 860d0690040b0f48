"""The sentence at the top: which candidate to pick, how sure that is, or what would settle it."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.tables import Comparison, Standing, Tables, Verdict
from harness.statistics import Interval


def verdict(tables: Tables) -> Verdict:
    """Say in words what the tables settle. Never says more than the number of tasks can carry."""
    standing = [line for line in tables.leaderboard if line.rate is not None]
    notes = _notes(tables)
    blocked = [check.text for check in tables.fairness if check.status == "bad"]
    if not tables.leaderboard:
        return _open(_controls(tables), "", notes)
    if not standing:
        return _open(*_nothing(tables), notes)
    if len(tables.leaderboard) == 1:
        return _open(*_single(tables, standing[0]), notes)
    if blocked:
        text = f"Not settled: the candidates did not meet the same conditions ({'; '.join(blocked)})."
        return _open(text, "Run them again in one plan.", notes)
    if len(standing) == 1:
        text = f"Not settled: only {_label(tables, standing[0].candidate)} has verdicts so far."
        return _open(text, _resume(tables), notes)
    return _compared(tables, notes)


def _open(text: str, advice: str, notes: Sequence[str]) -> Verdict:
    return Verdict(text=text, settled=False, scope=None, pick=None, advice=advice, notes=tuple(notes))


def _nothing(tables: Tables) -> tuple[str, str]:
    planned = sum(line.planned for line in tables.leaderboard)
    if tables.unsound and all(not row.sound for row in tables.grid):
        advice = "See the controls below; repair the tasks and run again."
        return "Not settled: no task of this run is sound.", advice
    infra = sum(line.infra for line in tables.coverage if line.role == "candidate")
    why = f", {infra} of them for faults of the infrastructure" if infra else ""
    return f"Nothing is settled yet: none of {planned} trials has a verdict{why}.", _resume(tables)


def _controls(tables: Tables) -> str:
    """Say what a run without candidates is for: how many of its tasks are sound here."""
    doubtful = {check.task for check in tables.controls if check.status != "ok"}
    sound = len({check.task for check in tables.controls} - doubtful)
    names = sorted({check.control for check in tables.controls}, reverse=True)
    tasks = _count(len(tables.grid), "task")
    return f"This run has only controls ({', '.join(names)}): {sound} of {tasks} behaved as expected."


def _single(tables: Tables, line: Standing) -> tuple[str, str]:
    rate = line.rate
    assert rate is not None
    where = "for this task again" if rate.scope == "these tasks" else "for tasks like these"
    text = (
        f"{_label(tables, line.candidate)} solved {percent(rate.value)} "
        f"(95 % interval {span(rate.interval)} {where}): {_extent(tables, rate.tasks, line.scored)}."
    )
    return text, "There is one candidate, so nothing to choose between; add another with the same run folder."


def _compared(tables: Tables, notes: Sequence[str]) -> Verdict:
    """Compare the first with everyone else, each by what is settled between the two."""
    first = tables.leaderboard[0].candidate
    rivals = [pair for pair in tables.comparisons if pair.a == first]
    if not rivals:
        text = f"Not settled: {_label(tables, first)} and the others share no task with verdicts."
        return _open(text, _resume(tables), notes)
    open_pairs = [pair for pair in rivals if pair.settled == "no"]
    if open_pairs or len(rivals) < len(tables.leaderboard) - 1:
        closest = open_pairs[0] if open_pairs else rivals[0]
        return _open(_undecided(tables, closest, open_pairs, rivals), _settle(tables, closest), notes)
    scope = "these tasks" if any(pair.settled == "these tasks" for pair in rivals) else "tasks like these"
    closest = rivals[0]
    text, advice = _decided(tables, closest, scope, len(rivals))
    return Verdict(
        text=text,
        settled=True,
        scope="these tasks" if scope == "these tasks" else "tasks like these",
        pick=first,
        advice=advice,
        notes=tuple(notes),
    )


def _decided(tables: Tables, pair: Comparison, scope: str, rivals: int) -> tuple[str, str]:
    seen = pair.difference
    again = scope == "these tasks"
    interval = seen.these if again or seen.like is None else seen.like
    others = "" if rivals == 1 else f", the next of {rivals} others"
    where = f"on {_these(seen.tasks)}" if again else "on tasks like these"
    extent = _repeats(tables) if again else f"({_extent(tables, seen.tasks)})"
    text = (
        f"Pick {_label(tables, pair.a)}: it solved {percent(seen.rate_a)} against {percent(seen.rate_b)} of "
        f"{_label(tables, pair.b)}{others}, {points(seen.value)} (95 % interval {span(interval, signed=True)}) "
        f"{where}{', ' if again else ' '}{extent}{_cheaper(tables, pair)}"
    )
    if not again:
        return f"{text}.", ""
    reach = "one task says nothing of others" if seen.tasks == 1 else "too few tasks to expect the same on others"
    if seen.tasks > 1 and seen.smallest_p < 0.05:
        reach = "not shown for other tasks"
    return f"{text}; {reach}.", _more_tasks(pair)


def _undecided(
    tables: Tables, pair: Comparison, open_pairs: Sequence[Comparison], rivals: Sequence[Comparison]
) -> str:
    seen = pair.difference
    a, b = _label(tables, pair.a), _label(tables, pair.b)
    if seen.value == 0 and seen.rate_a in {0.0, 1.0}:
        did = "both solved everything" if seen.rate_a else "neither solved anything"
        return f"Not settled: {a} and {b} cannot be told apart, {did} on {_these(seen.tasks)}."
    interval = seen.these if seen.like is None else seen.like
    reach = "this task again" if seen.like is None else "tasks like these"
    text = (
        f"Not settled: {a} solved {percent(seen.rate_a)} and {b} {percent(seen.rate_b)} on {_these(seen.tasks)}, "
        f"{points(seen.value)} (95 % interval {span(interval, signed=True)} for {reach})"
    )
    if pair.unscored and pair.worst.low <= 0 <= pair.worst.high:
        text += f", and {_count(pair.unscored, 'trial')} without a verdict could turn it round"
    if len(rivals) > 1:
        text += f". {len(rivals) - len(open_pairs)} of {len(rivals)} others are settled behind {a}"
    return f"{text}."


def _settle(tables: Tables, pair: Comparison) -> str:
    if pair.unscored:
        return _resume(tables)
    return _more_tasks(pair)


def _more_tasks(pair: Comparison) -> str:
    """Say how many tasks would decide, for a difference of the size seen."""
    seen = pair.difference
    size = f"a difference of {abs(seen.value) * 100:.0f} points" if abs(seen.value) >= 0.01 else "one of 10 points"
    if seen.value == 0 and seen.rate_a in {0.0, 1.0}:
        kind = "harder" if seen.rate_a else "easier"
        return f"Tasks that are {kind} would tell them apart; about {pair.tasks_needed} settle {size} (80 % power)."
    return f"About {pair.tasks_needed} tasks in all would settle {size} on tasks like these (80 % power)."


def _resume(tables: Tables) -> str:
    waiting = sum(line.unscored for line in tables.coverage if line.role == "candidate")
    return f"The same command again runs what is without a verdict ({_count(waiting, 'trial')})." if waiting else ""


def _notes(tables: Tables) -> list[str]:
    notes = []
    if tables.unsound:
        many = _count(len(tables.unsound), "task")
        rates = " and left out of the rates" if tables.leaderboard else ""
        names = _some(tables, tables.unsound)
        notes.append(f"{many} of {len(tables.grid)} unsound by the controls{rates}: {names}.")
    unchecked = {check.task for check in tables.controls if check.status == "unchecked"} - set(tables.unsound)
    if unchecked:
        many = _count(len(unchecked), "task")
        names = _some(tables, [row.task for row in tables.grid if row.task in unchecked])
        notes.append(f"{many} of {len(tables.grid)} not checked, for a control has no verdict: {names}.")
    waiting = [line for line in tables.coverage if line.role == "candidate" and line.unscored]
    for line in waiting:
        bounds = (
            f" They could put its share of solved trials anywhere from {span(line.bounds)}." if line.bounds else ""
        )
        notes.append(
            f"{_label(tables, line.candidate)}: {line.unscored} of {line.planned} trials have no verdict "
            f"({line.infra} infra, {line.missing} missing{_unverified(line.unscored - line.infra - line.missing)})."
            f"{bounds}"
        )
    bases = [check.text for check in tables.fairness if check.name == "base images" and check.status == "warn"]
    return notes + [f"{text[0].upper()}{text[1:]}." for text in bases]


def _some(tables: Tables, tasks: Sequence[str]) -> str:
    """Return names of tasks; where they are what the run is about, more of them."""
    most = 3 if tables.leaderboard else 20
    return ", ".join(tasks[:most]) + (" …" if len(tasks) > most else "")


def _unverified(count: int) -> str:
    return f", {count} at a limit and not verified" if count else ""


def _label(tables: Tables, name: str) -> str:
    """Return the name with its note, short enough for a sentence."""
    label = " ".join(tables.candidate(name).label.split())
    return label if len(label) <= 80 else f"{label[:79]}…"


def _these(tasks: int) -> str:
    return "this 1 task" if tasks == 1 else f"these {tasks} tasks"


def _repeats(tables: Tables) -> str:
    low, high = tables.run.repeats
    return f"{_count(low, 'repeat')} each" if low == high else f"{low} to {high} repeats each"


def _extent(tables: Tables, tasks: int, scored: int | None = None) -> str:
    text = f"{_count(tasks, 'task')}, {_repeats(tables)}"
    return text if scored is None else f"{text}, {_count(scored, 'trial')} with a verdict"


def _cheaper(tables: Tables, pair: Comparison) -> str:
    costs = {line.candidate: line.cost_per_solved_usd for line in tables.leaderboard}
    a, b = costs.get(pair.a), costs.get(pair.b)
    if not a or not b or abs(1 - a / b) < 0.05:
        return ""
    if a > b:
        return f", {a / b:.1f} × the cost per solved trial"
    return f", {percent(1 - a / b)} cheaper per solved trial"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def percent(value: float) -> str:
    """Return a fraction as whole percent; never 0 or 100 for what is not."""
    shown = round(value * 100)
    if (shown == 0 and value > 0) or (shown == 100 and value < 1):
        return f"{value * 100:.1f} %"
    return f"{shown} %"


def points(value: float) -> str:
    """Return a difference of rates in signed percentage points."""
    shown = f"{value * 100:+.0f}".replace("-", "−")
    return f"{'0' if shown in {'+0', '−0'} else shown} points"


def span(interval: Interval, *, signed: bool = False) -> str:
    """Return an interval of fractions as ``low to high`` in percent, or in points when ``signed``."""
    low, high = (f"{value * 100:.0f}".replace("-", "−") for value in (interval.low, interval.high))
    low, high = ("0" if text == "−0" else text for text in (low, high))
    return f"{low} to {high}" if signed else f"{low} to {high} %"
