"""Where the engine and the adapters meet: a plan becomes a world that can run it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from harness.errors import TaskError
from harness.ports import Model, ProviderSettings
from harness.registry import AGENTS, TOOLS, find
from harness.resolving import SCRIPTED
from harness.schema.candidate import Api, ModelSettings
from harness.schema.plan import Plan
from harness.schema.task import Task
from harness.task import read_task, resolve_env
from harness.worker import LocalWorker, Shop, WorkerTask


def key_of(model: ModelSettings, environ: Mapping[str, str]) -> str | None:
    """Return the key of a model's provider, ``None`` where it needs none."""
    return environ.get(model.key_env) if model.key_env else None


def secrets_of(plan: Plan, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values that must never enter the record."""
    models = [candidate.model for candidate in plan.candidates if candidate.model is not None]
    keys = (key_of(model, environ) for model in models)
    return tuple({key for key in keys if key})


def read_planned_tasks(plan: Plan) -> dict[str, Task]:
    """Read the plan's tasks again; raises ``TaskError`` for one that changed since the plan was made."""
    tasks: dict[str, Task] = {}
    for planned in plan.tasks:
        task = read_task(planned.path).model_copy(update={"name": planned.name})
        if task.digest != planned.digest:
            raise TaskError(
                f"The task {planned.name} in {planned.path} has changed since the run was planned.",
                hint="Results of two versions cannot be mixed: start a new run (another -o), or restore the task.",
            )
        tasks[planned.name] = task
    return tasks


def run_label(folder: Path) -> str:
    """Return what a run's containers are labelled with: its folder's name, and a mark of where that is."""
    place = str(folder.resolve())
    return f"{folder.resolve().name}-{hashlib.sha256(place.encode()).hexdigest()[:8]}"


@asynccontextmanager
async def open_worker(
    plan: Plan,
    *,
    folder: Path,
    provider_settings: ProviderSettings,
    environ: Mapping[str, str] = os.environ,
    on_line: Callable[[str], None],
) -> AsyncIterator[LocalWorker]:
    """Make everything that the plan's trials need, and let go of it at the end."""
    from harness.model import retry_delay_s
    from harness.sandbox.docker import open_provider
    from harness.verifier import SharedVerifier

    tasks = {
        name: WorkerTask(
            task=task,
            environment_env=resolve_env(task.environment.env, environ),
            verifier_env=resolve_env(task.verifier.env, environ),
        )
        for name, task in read_planned_tasks(plan).items()
    }
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(open_provider(provider_settings))
        left = await provider.reap({})
        if left:
            on_line(f"removed {left} containers that a run left behind when it died")
        players_url = await _serve_players(plan, stack)
        yield LocalWorker(
            plan=plan,
            tasks=tasks,
            provider=provider,
            verifier=SharedVerifier(),
            shop=Shop(
                agents=lambda name: find("agent", name, AGENTS),
                models=_model_factory(players_url, environ),
                tools=lambda names: tuple(find("tool", name, TOOLS)() for name in names),
                retry_delay=retry_delay_s,
                environ=environ,
            ),
            labels={"run": run_label(folder)},
            on_line=on_line,
        )


async def _serve_players(plan: Plan, stack: AsyncExitStack) -> Callable[[Api], str] | None:
    """Serve the scripted players on loopback if the plan has one; return their address by protocol."""
    if not any(candidate.model and candidate.model.provider == SCRIPTED for candidate in plan.candidates):
        return None
    from harness.testing.model_server import ModelServer
    from harness.testing.players import bundled_players

    server = await stack.enter_async_context(ModelServer(players=bundled_players()))
    return server.base_url_for


def _model_factory(
    players_url: Callable[[Api], str] | None, environ: Mapping[str, str]
) -> Callable[[ModelSettings, str], Model]:
    from harness.model import build_model

    def build(settings: ModelSettings, cache_key: str) -> Model:
        if settings.provider == SCRIPTED and players_url is not None:
            served = settings.model_copy(update={"base_url": players_url(settings.api)})
            return build_model(served, api_key=SCRIPTED, cache_key=cache_key)
        return build_model(settings, api_key=key_of(settings, environ), cache_key=cache_key)

    return build
