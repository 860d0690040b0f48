"""Reads one Harbor task folder into a ``Task``: ``task.toml``, the instruction, and which files there are."""

from __future__ import annotations

import datetime as dt
import math
import re
from pathlib import Path

from pydantic import JsonValue

from harness.errors import TaskError
from harness.schema.task import (
    AgentPhase,
    Artifact,
    CollectHook,
    EnvironmentSpec,
    Healthcheck,
    McpServer,
    NetworkMode,
    NetworkPolicy,
    Resources,
    Step,
    Task,
    VerifierPhase,
)
from harness.task.folder import folder_digest, read_instruction, read_utf8
from harness.task.harbor_toml import (
    NEWEST_VERSION,
    AgentToml,
    ArtifactToml,
    EnvironmentToml,
    HealthcheckToml,
    McpServerToml,
    NetworkKeys,
    StepToml,
    TaskToml,
    VerifierToml,
    size_mb,
)
from harness.task.toml_errors import parse_task_toml

_MODES: dict[str, NetworkMode] = {"public": "public", "no-network": "none", "allowlist": "allowlist"}
_COMPOSE = "docker-compose.yaml"
_NUMBERS = re.compile(r"\d+(\.\d+)*")


def read_task(folder: Path) -> Task:
    """Read and check one task folder, whatever version of the format it is written in.

    Raises ``TaskError`` with file, line and key for what is wrong or missing. What is only doubtful
    (unknown keys, settings without effect) is in ``Task.warnings``.
    """
    top = folder.resolve()
    if not (top / "task.toml").is_file():
        raise TaskError(f"{folder} is no task: task.toml is missing.", hint="A task folder has one.")
    config, unknown = parse_task_toml(read_utf8(top / "task.toml", "task.toml"), top)
    digest = folder_digest(top)
    instruction, dropped = ("", ()) if config.steps else read_instruction(top / "instruction.md", "instruction.md")
    verifier = _verifier(config.verifier, top, top / "tests")
    steps = tuple(_step(step, top, index) for index, step in enumerate(config.steps))
    _require_tests(top, verifier, steps)
    return Task(
        name=config.task.name or top.name,
        path=top,
        digest=digest,
        instruction=instruction,
        environment=_main_environment(config.environment, top),
        agent=_agent(config.agent),
        verifier=verifier,
        solution_env=config.solution.env,
        tests_dir=_folder(top / "tests"),
        solution_dir=_folder(top / "solution"),
        artifacts=_artifacts(config.artifacts),
        steps=steps,
        step_reward=config.multi_step_reward_strategy or config.multi_step_reward_mode or "mean",
        trajectory=top / "trajectory.json" if (top / "trajectory.json").is_file() else None,
        source=config.source or "",
        version=str(config.task.version or ""),
        authors=tuple(f"{a.name} <{a.email}>" if a.email else a.name for a in config.task.authors),
        description=config.task.description,
        keywords=tuple(config.task.keywords),
        metadata={key: _json(value) for key, value in config.metadata.items()},
        warnings=(*unknown, *dropped, *_doubts(config)),
    )


def _main_environment(config: EnvironmentToml, top: Path) -> EnvironmentSpec:
    spec = _environment(config, top / "environment")
    if spec.docker_image is None and not (spec.has_dockerfile or spec.has_compose):
        raise TaskError(
            f"{top}: environment/Dockerfile is missing, and task.toml names no [environment].docker_image.",
            hint="One of the two says what the agent works in.",
        )
    return spec


def _environment(config: EnvironmentToml, context: Path) -> EnvironmentSpec:
    return EnvironmentSpec(
        context_dir=_folder(context),
        has_dockerfile=(context / "Dockerfile").is_file(),
        has_compose=(context / _COMPOSE).is_file(),
        docker_image=config.docker_image,
        build_timeout_s=config.build_timeout_sec,
        os=config.os,
        resources=_resources(config),
        env=config.env,
        workdir=config.workdir,
        network=_baseline(config),
        healthcheck=_healthcheck(config.healthcheck),
        mcp_servers=tuple(_mcp_server(server) for server in config.mcp_servers),
        skills_dir=config.skills_dir,
    )


def _resources(config: EnvironmentToml) -> Resources:
    return Resources(
        cpus=config.cpus,
        memory_mb=size_mb(config.memory) if config.memory is not None else config.memory_mb,
        storage_mb=size_mb(config.storage) if config.storage is not None else config.storage_mb,
        gpus=config.gpus,
        gpu_types=None if config.gpu_types is None else tuple(config.gpu_types),
        tpu=None if config.tpu is None else {key: _json(value) for key, value in config.tpu.items()},
    )


def _agent(config: AgentToml) -> AgentPhase:
    return AgentPhase(timeout_s=config.timeout_sec, user=_user(config.user), network=_override(config))


def _verifier(config: VerifierToml, top: Path, tests: Path) -> VerifierPhase:
    mode = config.environment_mode or ("separate" if config.environment is not None else "shared")
    return VerifierPhase(
        timeout_s=config.timeout_sec,
        user=_user(config.user),
        env=config.env,
        network=_override(config),
        mode=mode,
        environment=_verifier_environment(config, top, tests) if mode == "separate" else None,
        collect=tuple(
            CollectHook(
                command=hook.command, service=hook.service, timeout_s=hook.timeout_sec, user=_user(hook.user)
            )
            for hook in config.collect
        ),
    )


def _verifier_environment(config: VerifierToml, top: Path, tests: Path) -> EnvironmentSpec | None:
    """Return the separate verifier's container; ``None`` means a fresh copy of the task's own."""
    own_image = (tests / "Dockerfile").is_file() or (tests / _COMPOSE).is_file()
    if config.environment is None and not own_image:
        return None
    context = tests if own_image else top / "environment"
    return _environment(config.environment or EnvironmentToml(), context)


def _step(config: StepToml, top: Path, index: int) -> Step:
    place = top / "steps" / config.name
    if not place.is_dir():
        raise TaskError(f"{top}: the folder steps/{config.name} is missing (step {index + 1} of task.toml).")
    instruction, _ = read_instruction(place / "instruction.md", f"steps/{config.name}/instruction.md")
    return Step(
        name=config.name,
        instruction=instruction,
        agent=_agent(config.agent),
        verifier=_verifier(config.verifier, top, place / "tests"),
        min_reward=config.min_reward,
        healthcheck=_healthcheck(config.healthcheck),
        artifacts=_artifacts(config.artifacts),
    )


def _require_tests(top: Path, verifier: VerifierPhase, steps: tuple[Step, ...]) -> None:
    def has_tests(folder: Path) -> bool:
        return (folder / "test.sh").is_file() or (folder / "test.bat").is_file()

    if verifier.mode == "separate" or has_tests(top / "tests"):
        return
    without = [step for step in steps if step.verifier.mode == "shared" and not has_tests(_step_tests(top, step))]
    if without:
        raise TaskError(f"{top}: steps/{without[0].name}/tests/test.sh is missing, and so is tests/test.sh.")
    if not steps:
        raise TaskError(f"{top}: tests/test.sh is missing.", hint="It decides whether the work is good.")


def _step_tests(top: Path, step: Step) -> Path:
    return top / "steps" / step.name / "tests"


def _baseline(config: EnvironmentToml) -> NetworkPolicy:
    legacy = "no-network" if config.allow_internet is False else "public"
    return NetworkPolicy(
        mode=_MODES[config.network_mode or legacy], allowed_hosts=tuple(config.allowed_hosts or ())
    )


def _override(config: NetworkKeys) -> NetworkPolicy | None:
    if config.network_mode is None:
        return None
    return NetworkPolicy(mode=_MODES[config.network_mode], allowed_hosts=tuple(config.allowed_hosts or ()))


def _healthcheck(config: HealthcheckToml | None) -> Healthcheck | None:
    if config is None:
        return None
    return Healthcheck(
        command=config.command,
        interval_s=config.interval_sec,
        timeout_s=config.timeout_sec,
        start_period_s=config.start_period_sec,
        start_interval_s=config.start_interval_sec,
        retries=config.retries,
    )


def _mcp_server(config: McpServerToml) -> McpServer:
    return McpServer(
        name=config.name,
        transport="streamable-http" if config.transport == "http" else config.transport,
        url=config.url,
        command=config.command,
        args=tuple(config.args),
        headers=config.headers,
    )


def _artifacts(items: list[str | ArtifactToml]) -> tuple[Artifact, ...]:
    return tuple(
        Artifact(source=item)
        if isinstance(item, str)
        else Artifact(
            source=item.source, destination=item.destination, exclude=tuple(item.exclude), service=item.service
        )
        for item in items
    )


def _user(user: str | int | None) -> str | None:
    return None if user is None else str(user)


def _folder(path: Path) -> Path | None:
    return path if path.is_dir() else None


def _doubts(config: TaskToml) -> tuple[str, ...]:
    doubts = []
    version = str(config.schema_version or "")
    if _NUMBERS.fullmatch(version) and _numbers(version) > _numbers(NEWEST_VERSION):
        doubts.append(f"task.toml: version {version} is newer than {NEWEST_VERSION}, the newest known here")
    if config.environment.gpu_types:
        doubts.append("task.toml: environment.gpu_types has no effect with Docker")
    return tuple(doubts)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(piece) for piece in version.split("."))


def _json(value: object) -> JsonValue:
    """Turn a TOML value into JSON: dates as ISO text, infinities and NaN as their words."""
    match value:
        case dict():
            return {str(key): _json(item) for key, item in value.items()}
        case list():
            return [_json(item) for item in value]
        case dt.datetime() | dt.date() | dt.time():
            return value.isoformat()
        case float() if not math.isfinite(value):
            return str(value)
        case str() | bool() | int() | float() | None:
            return value
        case _:
            msg = f"TOML has no values of type {type(value).__name__}"
            raise TypeError(msg)
