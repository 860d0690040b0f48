"""From what a person asked for to a frozen plan: names become tasks, candidates and settings.

Everything that can be refused is refused here, before anything is started.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from harness.data import data_folder
from harness.errors import SettingsError, TaskError, UnknownNameError
from harness.planning import default_run_name, make_plan
from harness.provenance import provenance
from harness.registry import TOOLS, agent_kind, find
from harness.schema.candidate import Candidate, ModelSettings, Price
from harness.schema.plan import Plan, RunSettings
from harness.schema.task import Task
from harness.task import find_tasks, resolve_env, unsupported

DEFAULT_TOOLS = ("shell", "edit", "submit")
SCRIPTED = "scripted"
"""The provider whose models are the bundled scripted players, served on loopback by this process."""


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """What a person asked to be run. ``controls`` adds the oracle and the nop, once per task; named in ``agents``
    they are repeated like everything else.
    """

    paths: tuple[Path, ...]
    agents: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    repeats: int = 1
    controls: bool = False
    settings: RunSettings = field(default_factory=RunSettings)
    prompt: Path | None = None
    tools: tuple[str, ...] = DEFAULT_TOOLS


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """A plan and the remarks that were made on the way to it."""

    plan: Plan
    remarks: tuple[str, ...]


def resolve(request: RunRequest, environ: Mapping[str, str], *, created_at: str) -> Resolved:
    """Read tasks and candidates and freeze the plan; raises the first reason why it cannot be run."""
    from harness.model import prices_version

    remarks: list[str] = []
    candidates = _candidates(request, environ, remarks)
    tasks = find_tasks(tuple(with_bundled(path) for path in request.paths))
    for task in tasks:
        remarks.extend(f"{task.name}: {warning}" for warning in task.warnings)
        check_runnable(task, candidates, environ, request.settings)
    plan = make_plan(
        name=request.paths[0].resolve().name,
        tasks=tasks,
        candidates=candidates,
        repeats=request.repeats,
        control_repeats=1 if request.controls else request.repeats,
        settings=request.settings,
        provenance=provenance(),
        prices_version=prices_version(),
        created_at=created_at,
    )
    return Resolved(plan=plan, remarks=tuple(remarks))


def with_bundled(path: Path) -> Path:
    """Return the bundled suite or task of this name (``demo``, ``tasks/demo``) where the path is not there."""
    if path.exists() or path.is_absolute() or ".." in path.parts:
        return path
    parts = path.parts[1:] if path.parts[:1] == ("tasks",) else path.parts
    bundled = data_folder("tasks").joinpath(*parts)
    return bundled if parts and bundled.is_dir() else path


def run_folder(plan: Plan, parent: Path = Path("runs")) -> Path:
    """Return the folder that this plan has by default: the same command finds its own run again."""
    return parent / default_run_name(plan)


def check_runnable(
    task: Task, candidates: Sequence[Candidate], environ: Mapping[str, str], settings: RunSettings
) -> None:
    """Raise ``TaskError`` if this version cannot honour the task, or a variable that it needs is not set."""
    reason = unsupported(task)
    if reason is not None:
        raise TaskError(f"The task {task.name} cannot be run: {reason}", hint=f"It is in {task.path}.")
    if settings.network == "allowlist" and task.environment.network.mode != "none":
        raise SettingsError("--network allowlist is not supported yet; use none or public.")
    resolve_env(task.environment.env, environ)
    resolve_env(task.verifier.env, environ)
    if any(candidate.agent == "oracle" for candidate in candidates):
        resolve_env(task.solution_env, environ)


def _candidates(request: RunRequest, environ: Mapping[str, str], remarks: list[str]) -> tuple[Candidate, ...]:
    agents = list(request.agents)
    kinds = {name: agent_kind(name) for name in agents}
    if request.models and not any(kind.needs_model for kind in kinds.values()):
        agents.append("loop")
        kinds["loop"] = agent_kind("loop")
    if request.controls:
        agents = [*agents, *(name for name in ("oracle", "nop") if name not in agents)]
        kinds |= {name: agent_kind(name) for name in ("oracle", "nop")}
    if not agents:
        raise SettingsError(
            "Nothing to compare: no model and no agent is named.",
            hint="Add -m PROVIDER/MODEL (for example -m openai/gpt-5.2-codex), or -a oracle.",
        )
    models = [_model(text, environ, remarks) for text in request.models]
    found: list[Candidate] = []
    for agent in dict.fromkeys(agents):
        if not kinds[agent].needs_model:
            found.append(Candidate(name=agent, agent=agent, role=kinds[agent].role))
            continue
        if not models:
            raise SettingsError(f"The agent {agent} needs a model.", hint="Add -m PROVIDER/MODEL.")
        found.extend(
            _with_model(agent, text, model, request) for text, model in zip(request.models, models, strict=True)
        )
    names = [candidate.name for candidate in found]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise SettingsError(f"The same candidate is named twice: {', '.join(sorted(twice))}.")
    return tuple(found)


def _model(text: str, environ: Mapping[str, str], remarks: list[str]) -> ModelSettings:
    from harness.model import check_model, parse_model

    if text.partition("/")[0] == SCRIPTED:
        return _scripted(text)
    settings = parse_model(text, environ)
    remark = check_model(settings, environ)
    if remark is not None:
        remarks.append(remark)
    return settings


def _scripted(text: str) -> ModelSettings:
    from harness.testing.players import bundled_players

    name = text.partition("/")[2]
    players = {player.name: player for player in bundled_players()}
    if name not in players:
        raise UnknownNameError("scripted player", name, players)
    player = players[name]
    return ModelSettings(
        provider=SCRIPTED,
        name=name,
        api=player.api,
        base_url=None,
        key_env=None,
        context_window=player.context_window,
        options={"reasoning_summary": "auto"} if player.api == "openai-responses" else {},
        price=Price(input_mtok=0, output_mtok=0),
        fingerprint=player.fingerprint,
    )


def _with_model(agent: str, text: str, model: ModelSettings, request: RunRequest) -> Candidate:
    from harness.agent.prompt import default_prompt_text, parse_prompt

    source = request.prompt.name if request.prompt else "harness/agent/prompts/loop.md"
    prompt = _read_prompt(request.prompt) if request.prompt else default_prompt_text()
    parse_prompt(prompt, source=source)
    for tool in request.tools:
        find("tool", tool, TOOLS)
    settings: dict[str, JsonValue] = {"prompt": prompt, "prompt_source": source, "tools": list(request.tools)}
    return Candidate(
        name=text if agent == "loop" else f"{agent}:{text}",
        agent=agent,
        role=agent_kind(agent).role,
        model=model,
        settings=settings,
        note="scripted player" if model.provider == SCRIPTED else "",
    )


def _read_prompt(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"The prompt file {path} cannot be read: {error}.") from error
