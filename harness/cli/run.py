"""``harness run`` and ``harness resume``: plan, run with live progress, report, one verdict at the end."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from harness.cli.counts import Counts, exit_code
from harness.cli.interrupts import Interrupts
from harness.clock import utc_now
from harness.errors import (
    EXIT_OK,
    EXIT_USAGE,
    HarnessError,
    SettingsError,
    StoreError,
    unwrapped,
)
from harness.journal import fold_journal
from harness.planning import extend_plan, pending
from harness.ports import ProviderSettings, Watcher
from harness.resolving import RunRequest, resolve, run_folder
from harness.run import RunOutcome, RunPolicy, execute
from harness.schema.plan import HostSettingsMode, Plan
from harness.store import RunStore

if TYPE_CHECKING:
    from harness.analysis import Tables

_MAX_JOBS = 8


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a run is gone about and shown; none of it enters the plan."""

    folder: Path | None = None
    again: bool = False
    jobs: int | None = None
    attempts: int = 3
    max_cost_usd: float | None = None
    rerun: frozenset[str] = field(default_factory=frozenset)
    host_settings: HostSettingsMode = "auto"
    dry_run: bool = False
    as_json: bool = False
    quiet: bool = False


def run_command(request: RunRequest, options: RunOptions) -> int:
    """Plan and run; return the exit code."""
    _check(options)
    resolved = resolve(request, os.environ, created_at=utc_now())
    for remark in resolved.remarks:
        print(f"note: {remark}", file=sys.stderr)
    _check_money(resolved.plan, options)
    folder = options.folder or run_folder(resolved.plan)
    if options.again:
        folder = _first_unfinished(folder)
    _check_place(folder, resolved.plan)
    if options.dry_run:
        return _print_plan(resolved.plan, folder, as_json=options.as_json)
    _require_engine()
    with RunStore.open(folder, secrets=_secrets(resolved.plan)) as store:
        stored = store.plan()
        plan = resolved.plan if stored is None else extend_plan(stored, resolved.plan)
        if plan != stored:
            store.write_plan(plan)
        return _run(plan, store, options)


def resume_command(folder: Path, options: RunOptions) -> int:
    """Finish the run in ``folder`` from its own plan; return the exit code."""
    _check(options)
    plan = RunStore(folder).plan()
    if plan is None:
        raise StoreError(f"{folder} is not the folder of a run: it has no plan.json.")
    _check_keys(plan, os.environ)
    _check_money(plan, options)
    _require_engine()
    with RunStore.open(folder, secrets=_secrets(plan)) as store:
        return _run(plan, store, options)


def _check(options: RunOptions) -> None:
    unknown = options.rerun - {"infra", "limit"}
    if unknown:
        raise SettingsError(f"--rerun takes infra or limit, not {', '.join(sorted(unknown))}.")


def _check_place(folder: Path, plan: Plan) -> None:
    """Refuse a run folder inside a task: its files would become the task's, and make another task of it."""
    place = folder.resolve()
    for task in plan.tasks:
        if place.is_relative_to(Path(task.path).resolve()):
            raise SettingsError(
                f"The run folder {folder} lies in the folder of the task {task.name}.",
                hint="Put it elsewhere with -o: what a run writes would count as the task's files.",
            )


def _check_keys(plan: Plan, environ: Mapping[str, str]) -> None:
    for candidate in plan.candidates:
        key = candidate.model.key_env if candidate.model else None
        if key and not environ.get(key):
            raise SettingsError(f"{candidate.name} needs {key}, which is not set.")


def _check_money(plan: Plan, options: RunOptions) -> None:
    """Refuse a money limit that could not be kept."""
    limited = plan.settings.limits.cost_usd is not None or options.max_cost_usd is not None
    unpriced = [c.name for c in plan.candidates if c.model is not None and not c.model.priced]
    if limited and unpriced:
        raise SettingsError(
            f"A money limit cannot be kept for {', '.join(unpriced)}, whose price is unknown.",
            hint="Give its price with ,price=IN:OUT (USD per million tokens), or leave the limit out.",
        )


def _secrets(plan: Plan) -> tuple[str, ...]:
    from harness.wiring import secrets_of

    return secrets_of(plan, os.environ)


def _require_engine() -> None:
    from harness.doctor import require_engine

    require_engine()


def _first_unfinished(folder: Path) -> Path:
    """Return the first of ``folder``, ``folder-2``, … whose run is not complete."""
    number = 1
    while True:
        place = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        store = RunStore(place)
        plan = store.plan()
        if plan is None or pending(plan, fold_journal(store.journal())):
            return place
        number += 1


# ---------------------------------------------------------------------------------------------- running


def _run(plan: Plan, store: RunStore, options: RunOptions) -> int:
    from harness.cli.progress import choose_watcher

    with choose_watcher(quiet=options.quiet) as watcher:
        interrupts = Interrupts(watcher)
        try:
            outcome = anyio.run(_run_async, plan, store, options, watcher, interrupts)
        except BaseExceptionGroup as errors:
            raise unwrapped(errors) from errors
    return _finish(plan, store, outcome, interrupts, options)


async def _run_async(
    plan: Plan, store: RunStore, options: RunOptions, watcher: Watcher, interrupts: Interrupts
) -> RunOutcome:
    from harness.executor import LocalExecutor
    from harness.wiring import open_worker

    policy = RunPolicy(
        attempts=options.attempts,
        max_cost_usd=options.max_cost_usd,
        rerun=options.rerun,
        command=tuple(sys.argv),
    )
    settings = ProviderSettings(build=plan.settings.build, host_settings=options.host_settings)
    async with (
        interrupts.listening(),
        open_worker(
            plan,
            folder=store.folder,
            provider_settings=settings,
            environ=os.environ,
            on_line=watcher.line,
        ) as worker,
    ):
        executor = LocalExecutor(worker, slots=options.jobs or min(os.cpu_count() or 1, _MAX_JOBS))
        return await execute(plan, store, executor, watcher=watcher, policy=policy, control=interrupts.control)


# ------------------------------------------------------------------------------------------- at the end


def _finish(plan: Plan, store: RunStore, outcome: RunOutcome, interrupts: Interrupts, options: RunOptions) -> int:
    from harness.analysis import analyse, verdict
    from harness.cli.results import print_summary, say_damage

    states = fold_journal(store.journal())
    counts = Counts.of(plan, states)
    code = exit_code(counts, outcome, interrupts)
    tables = analyse(store)
    report = _write_report(tables, store)
    say_damage(store)
    code = code or (EXIT_OK if report else EXIT_USAGE)
    if options.as_json:
        print(json.dumps({"run_dir": str(store.folder), **counts.as_json(), "exit_code": code}))
    else:
        print_summary(tables, verdict(tables), report)
    if code != EXIT_OK:
        _say_how_to_go_on(counts, outcome, store.folder)
    return code


def _write_report(tables: Tables, store: RunStore) -> Path | None:
    """Write the report into the run's folder; ``None``, and a sentence, when that cannot be done."""
    from harness.report import write_report

    target = store.folder / "report.html"
    try:
        write_report(tables, store, target, "html")
    except HarnessError as error:
        print(f"harness: {error}", file=sys.stderr)
        return None
    return target


def _say_how_to_go_on(counts: Counts, outcome: RunOutcome, folder: Path) -> None:
    left = counts.missing
    if outcome.detail:
        print(f"The run stopped early: {outcome.detail}.", file=sys.stderr)
    if left:
        trials = "1 trial is" if left == 1 else f"{left} trials are"
        print(f"{trials} left. Go on with: harness resume {folder}", file=sys.stderr)
    elif counts.infra:
        print(f"Try the {counts.infra} again with: harness resume {folder} --rerun infra", file=sys.stderr)


def _print_plan(plan: Plan, folder: Path, *, as_json: bool) -> int:
    if as_json:
        print(plan.model_dump_json())
        return EXIT_OK
    controls = sum(candidate.role == "control" for candidate in plan.candidates)
    print(
        f"{len(plan.trials)} trials: {len(plan.tasks)} tasks, {len(plan.candidates) - controls} candidates", end=""
    )
    print(f" and {controls} controls." if controls else ".")
    print(f"Run folder: {folder}")
    for task in plan.tasks:
        limit = "no time limit" if task.agent_timeout_s is None else f"{task.agent_timeout_s:g} s"
        print(f"  task       {task.name}  ({limit}, {task.digest[:12]})")
    for candidate in plan.candidates:
        print(f"  {candidate.role:10} {candidate.name}" + (f"  ({candidate.note})" if candidate.note else ""))
    return EXIT_OK
