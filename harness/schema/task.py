"""A task as the engine sees it, whatever format its folder is in. Times in seconds, memory in MiB."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue

from harness.schema.base import Record

NetworkMode = Literal["none", "allowlist", "public"]


class NetworkPolicy(Record):
    """What a container may reach. ``allowed_hosts`` counts only with ``allowlist``."""

    mode: NetworkMode = "public"
    allowed_hosts: tuple[str, ...] = ()


class Healthcheck(Record):
    """A command polled after the start, before the agent; ``retries`` failures in a row end the attempt."""

    command: str
    interval_s: float = 5
    timeout_s: float = 30
    start_period_s: float = 0
    start_interval_s: float = 5
    retries: int = 3


class Resources(Record):
    """What a container may use; ``None`` is without limit."""

    cpus: float | None = None
    memory_mb: int | None = None
    storage_mb: int | None = None
    gpus: int | None = None
    gpu_types: tuple[str, ...] | None = None
    tpu: dict[str, JsonValue] | None = None


class McpServer(Record):
    """A tool server that the task offers to the agent."""

    name: str
    transport: Literal["sse", "streamable-http", "stdio"] = "sse"
    url: str | None = None
    command: str | None = None
    args: tuple[str, ...] = ()
    headers: dict[str, str] = Field(default_factory=dict)


class EnvironmentSpec(Record):
    """A container to start: its image's origin, its limits and its settings.

    ``context_dir`` is the folder with ``Dockerfile`` and other build context, absolute. ``env`` values may
    be templates (``${VAR}``, ``${VAR:-default}``) that are resolved from the host when a trial starts.
    """

    context_dir: Path | None = None
    has_dockerfile: bool = False
    has_compose: bool = False
    docker_image: str | None = None
    build_timeout_s: float = 600
    os: Literal["linux", "windows"] = "linux"
    resources: Resources = Resources()
    env: dict[str, str] = Field(default_factory=dict)
    workdir: str | None = None
    network: NetworkPolicy = NetworkPolicy()
    healthcheck: Healthcheck | None = None
    mcp_servers: tuple[McpServer, ...] = ()
    skills_dir: str | None = None


class AgentPhase(Record):
    """How the agent's part is run. ``user`` ``None`` is the image's user, ``timeout_s`` ``None`` no limit."""

    timeout_s: float | None = None
    user: str | None = None
    network: NetworkPolicy | None = None


class CollectHook(Record):
    """A command that is run after the agent, before artifacts are taken; its failure is only a warning."""

    command: str
    service: str = "main"
    timeout_s: float = 60
    user: str | None = None


class VerifierPhase(Record):
    """How the hidden tests are run. ``timeout_s`` covers the whole verification, uploads included."""

    timeout_s: float = 600
    user: str | None = None
    env: dict[str, str] = Field(default_factory=dict)
    network: NetworkPolicy | None = None
    mode: Literal["shared", "separate"] = "shared"
    environment: EnvironmentSpec | None = None
    collect: tuple[CollectHook, ...] = ()


class Artifact(Record):
    """A path in the container that is kept after the agent."""

    source: str
    destination: str | None = None
    exclude: tuple[str, ...] = ()
    service: str | None = None


class Step(Record):
    """One step of a multi-step task, with its own instruction, agent and verifier settings."""

    name: str
    instruction: str
    agent: AgentPhase = AgentPhase()
    verifier: VerifierPhase = VerifierPhase()
    min_reward: float | dict[str, float] | None = None
    healthcheck: Healthcheck | None = None
    artifacts: tuple[Artifact, ...] = ()


class Task(Record):
    """A task, read and checked.

    ``digest`` is the SHA-256 over every file of the folder (``relpath NUL sha256(file) LF``, sorted).
    ``tests_dir`` and ``solution_dir`` are absolute host paths, ``None`` where the folder has none.
    ``metadata`` is the task's free table, never interpreted by the engine. ``trajectory`` is a conversation
    that the agent is to start from (ATIF), absolute.
    """

    name: str
    path: Path
    digest: str
    instruction: str
    environment: EnvironmentSpec = EnvironmentSpec()
    agent: AgentPhase = AgentPhase()
    verifier: VerifierPhase = VerifierPhase()
    solution_env: dict[str, str] = Field(default_factory=dict)
    tests_dir: Path | None = None
    solution_dir: Path | None = None
    artifacts: tuple[Artifact, ...] = ()
    steps: tuple[Step, ...] = ()
    step_reward: Literal["mean", "final"] = "mean"
    trajectory: Path | None = None
    source: str = ""
    version: str = ""
    authors: tuple[str, ...] = ()
    description: str = ""
    keywords: tuple[str, ...] = ()
    metadata: dict[str, JsonValue] = Field(default_factory=dict)
    warnings: tuple[str, ...] = ()
