"""Plans: which trials a run consists of, what they are called, and which of them are still to be done. Pure.

A trial's id is a digest of everything that can change its outcome, so results are found again by what they
are results of. Reading tasks and the record is left to others.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import PurePath

from pydantic import JsonValue

from harness.errors import SettingsError
from harness.journal import TrialState
from harness.schema.candidate import Candidate
from harness.schema.plan import Plan, PlannedTask, PlannedTrial, Provenance, RunSettings
from harness.schema.task import Task

_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")


def make_plan(
    *,
    name: str,
    tasks: Sequence[Task],
    candidates: Sequence[Candidate],
    repeats: int,
    control_repeats: int = 1,
    settings: RunSettings,
    provenance: Provenance,
    prices_version: str,
    created_at: str,
) -> Plan:
    """Freeze tasks × candidates × repeats, in the order in which they are best run.

    Controls are repeated ``control_repeats`` times. Raises ``SettingsError`` for an empty plan, names used
    twice and repeats below 1.
    """
    _require_names("task", [task.name for task in tasks])
    _require_names("candidate", [candidate.name for candidate in candidates])
    if repeats < 1 or control_repeats < 1:
        raise SettingsError(f"A trial needs at least one repeat, not {min(repeats, control_repeats)}.")
    planned = tuple(_planned_task(task) for task in tasks)
    repeats_of = {c.name: control_repeats if c.role == "control" else repeats for c in candidates}
    trials = [
        PlannedTrial(
            id=trial_id(task, candidate, repeat, settings), task=task.name, candidate=candidate.name, repeat=repeat
        )
        for task in planned
        for candidate in candidates
        for repeat in range(1, repeats_of[candidate.name] + 1)
    ]
    return Plan(
        name=name,
        created_at=created_at,
        provenance=provenance,
        settings=settings,
        prices_version=prices_version,
        tasks=planned,
        candidates=tuple(candidates),
        trials=_in_order(trials, planned, candidates),
    )


def trial_id(task: PlannedTask, candidate: Candidate, repeat: int, settings: RunSettings) -> str:
    """Return 16 hex digits of the SHA-256 over everything that can change the trial's outcome.

    Settings at their defaults are left out, so that a version with more settings finds the results of older ones.
    """
    determinants: dict[str, JsonValue] = {
        "task": {"name": task.name, "digest": task.digest},
        "candidate": _determinants(candidate, settings),
        "repeat": repeat,
        "settings": settings.model_dump(mode="json", exclude_defaults=True),
    }
    return _digest(determinants)[:16]


def extend_plan(old: Plan, new: Plan) -> Plan:
    """Return ``old`` with the tasks, candidates and repeats that ``new`` adds; its own trials stay.

    The same plan again comes back unchanged, whenever and by whichever version it was made; prices stay
    those of ``old``. Raises ``SettingsError`` where results of different things would be mixed: changed
    settings, a changed task, or a candidate of the same name with other settings.
    """
    _require_same_settings(old.settings, new.settings)
    tasks = _merged_tasks(old, new)
    candidates = _merged_candidates(old, new)
    known = {trial.id for trial in old.trials}
    trials = [*old.trials, *(trial for trial in new.trials if trial.id not in known)]
    return old.model_copy(
        update={"tasks": tasks, "candidates": candidates, "trials": _in_order(trials, tasks, candidates)}
    )


def pending(
    plan: Plan, states: Mapping[str, TrialState], *, rerun: Collection[str] = ()
) -> tuple[PlannedTrial, ...]:
    """Return the trials without a final result, in the plan's order.

    ``rerun`` names end states whose trials count as not done (``infra``, ``limit``, ``verdict``).
    """
    return tuple(trial for trial in plan.trials if not _is_done(states.get(trial.id), rerun))


def default_run_name(plan: Plan) -> str:
    """Return a folder name that the same tasks, candidates, repeats and settings always get."""
    folders = {task.path.parent for task in plan.tasks}
    if len(plan.tasks) == 1:
        suite = PurePath(plan.tasks[0].name).name
    elif len(folders) == 1:
        suite = next(iter(folders)).name
    else:
        suite = plan.name
    ids: list[JsonValue] = [*sorted(trial.id for trial in plan.trials)]
    digest = _digest(ids)
    return f"{_IN_NAMES.sub('-', suite).strip('-.') or 'run'}-{digest[:8]}"


def _planned_task(task: Task) -> PlannedTask:
    return PlannedTask(
        name=task.name,
        path=task.path,
        digest=task.digest,
        agent_timeout_s=task.agent.timeout_s,
        verifier_timeout_s=task.verifier.timeout_s,
        resources=task.environment.resources,
        description=task.description,
        keywords=task.keywords,
        metadata=task.metadata,
    )


def _determinants(candidate: Candidate, settings: RunSettings) -> dict[str, JsonValue]:
    """Return what of a candidate can change an outcome; prices can only where they end the work."""
    model: dict[str, JsonValue] | None = None
    if candidate.model is not None:
        unimportant = {"key_env"} | (set() if settings.limits.cost_usd is not None else {"price", "priced"})
        model = candidate.model.model_dump(mode="json", exclude=unimportant, exclude_defaults=True)
    return {"name": candidate.name, "agent": candidate.agent, "model": model, "settings": candidate.settings}


def _digest(value: JsonValue) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _in_order(
    trials: Sequence[PlannedTrial], tasks: Sequence[PlannedTask], candidates: Sequence[Candidate]
) -> tuple[PlannedTrial, ...]:
    """Controls first, since they find broken tasks before money is spent; then repeat by repeat, task by task.

    Within a task the candidates take turns at being first, so that no one of them has the better hours.
    """
    task_at = {task.name: index for index, task in enumerate(tasks)}
    controls = {candidate.name for candidate in candidates if candidate.role == "control"}
    candidate_at = {candidate.name: index for index, candidate in enumerate(candidates)}

    def key(trial: PlannedTrial) -> tuple[bool, int, int, int]:
        place = task_at[trial.task]
        turn = (candidate_at[trial.candidate] - place - trial.repeat) % len(candidates)
        return trial.candidate not in controls, trial.repeat, place, turn

    return tuple(sorted(trials, key=key))


def _is_done(state: TrialState | None, rerun: Collection[str]) -> bool:
    return state is not None and state.final is not None and state.final.end_state not in rerun


def _require_names(what: str, names: Sequence[str]) -> None:
    if not names:
        raise SettingsError(f"A run needs at least one {what}.")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise SettingsError(f"Two {what}s are called {twice[0]!r}; names must differ in a run.")


def _require_same_settings(old: RunSettings, new: RunSettings) -> None:
    changes = list(_changes(old.model_dump(mode="json"), new.model_dump(mode="json")))
    if changes:
        raise SettingsError(
            f"The run was planned with other settings: {', '.join(changes)}.",
            hint="Repeat the command with the old ones, or start another run (-o).",
        )


def _merged_tasks(old: Plan, new: Plan) -> tuple[PlannedTask, ...]:
    added = {task.name: task for task in new.tasks}
    for task in old.tasks:
        other = added.get(task.name)
        if other is not None and other.digest != task.digest:
            raise SettingsError(
                f"The files of the task {task.name} have changed since the run was planned: {other.path} has the "
                f"digest {other.digest[:12]}, the plan {task.digest[:12]}.",
                hint="Results of two versions cannot be mixed: start another run (-o), or restore the task.",
            )
    kept = tuple(added.pop(task.name, task) for task in old.tasks)
    return (*kept, *added.values())


def _merged_candidates(old: Plan, new: Plan) -> tuple[Candidate, ...]:
    added = {candidate.name: candidate for candidate in new.candidates}
    kept: list[Candidate] = []
    for before in old.candidates:
        after = added.pop(before.name, before)
        after = _with_price_of(before, after)
        changes = list(_changes(_determinants(before, old.settings), _determinants(after, old.settings)))
        if changes:
            raise SettingsError(
                f"The candidate {before.name} is not the one that the run was planned with: {', '.join(changes)}.",
                hint="Repeat the command with the old settings, or start another run (-o).",
            )
        kept.append(after)
    return (*kept, *added.values())


def _with_price_of(before: Candidate, after: Candidate) -> Candidate:
    """Keep the plan's price, so that all costs of a run are counted alike."""
    if before.model is None or after.model is None:
        return after
    priced = {"price": before.model.price, "priced": before.model.priced}
    return after.model_copy(update={"model": after.model.model_copy(update=priced)})


def _changes(old: JsonValue, new: JsonValue, where: str = "") -> Iterator[str]:
    """Say what differs, by its path and both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted({*old, *new}):
            yield from _changes(old.get(key), new.get(key), f"{where}.{key}" if where else key)
    elif old != new:
        yield f"{where} {_short(old)} → {_short(new)}"


def _short(value: JsonValue) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
