"""The keys of a Harbor ``task.toml``, in every spelling of its versions 1.0 to 1.4.

Owns names, types and the rules between keys of one table. What the values mean for a run, and which other
files they need, is left to ``harbor``. Unknown keys are kept, so that the reader can warn of them.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

NEWEST_VERSION = "1.4"

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([GMK])", re.IGNORECASE)
_MB_PER_UNIT = {"G": 1024.0, "M": 1.0, "K": 1 / 1024}
_HOST_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_CREDENTIAL = re.compile(r"auth|key|token|secret|password|cookie|credential", re.IGNORECASE)
_TEMPLATE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")
_STEP_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

Positive = Annotated[float, Field(gt=0)]
User = Annotated[str, Field(min_length=1)] | Annotated[int, Field(ge=0)]
Version = str | int | float


def _variable_names(env: dict[str, str]) -> dict[str, str]:
    for name in env:
        if not name or "=" in name or "\0" in name:
            msg = f"{name!r} cannot be the name of a variable"
            raise ValueError(msg)
    return env


Env = Annotated[dict[str, str], AfterValidator(_variable_names)]


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


class Table(BaseModel):
    """A table of the file: strictly typed, unknown keys kept aside."""

    model_config = ConfigDict(frozen=True, extra="allow", strict=True, allow_inf_nan=False)


class NetworkKeys(Table):
    """The keys that set a network policy, for the baseline and for a phase."""

    network_mode: Literal["public", "no-network", "allowlist"] | None = None
    allowed_hosts: list[str] | None = None

    @field_validator("allowed_hosts")
    @classmethod
    def _hosts_are_names(cls, hosts: list[str] | None) -> list[str] | None:
        for host in hosts or ():
            if not _is_host(host):
                msg = f"{host!r} is not a host name, *.suffix, IP address or CIDR range (no scheme, port or path)"
                raise ValueError(msg)
        return hosts

    @model_validator(mode="after")
    def _hosts_need_allowlist(self) -> Self:
        if self.allowed_hosts and self.network_mode != "allowlist":
            msg = "allowed_hosts needs network_mode = 'allowlist'"
            raise ValueError(msg)
        return self


class HealthcheckToml(Table):
    """``[environment.healthcheck]`` and a step's."""

    command: Annotated[str, Field(min_length=1)]
    interval_sec: Positive = 5
    timeout_sec: Positive = 30
    start_period_sec: Annotated[float, Field(ge=0)] = 0
    start_interval_sec: Positive = 5
    retries: Annotated[int, Field(ge=1)] = 3


class McpServerToml(Table):
    """One of ``[[environment.mcp_servers]]``."""

    name: Annotated[str, Field(min_length=1)]
    transport: Literal["sse", "http", "streamable-http", "stdio"] = "sse"
    url: str | None = None
    command: str | None = None
    args: list[str] = []
    headers: dict[str, str] = {}

    @field_validator("headers")
    @classmethod
    def _no_literal_credentials(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if _CREDENTIAL.search(name) and not _TEMPLATE.search(value):
                msg = f"the header {name} holds a literal credential; write it as ${{VARIABLE}}"
                raise ValueError(msg)
        return headers

    @model_validator(mode="after")
    def _has_what_its_transport_needs(self) -> Self:
        needed = "command" if self.transport == "stdio" else "url"
        if not getattr(self, needed):
            msg = f"transport {self.transport!r} needs {needed}"
            raise ValueError(msg)
        return self


class EnvironmentToml(NetworkKeys):
    """``[environment]`` and ``[verifier.environment]``, legacy spellings included."""

    docker_image: Annotated[str, Field(min_length=1)] | None = None
    build_timeout_sec: Positive = 600
    os: Annotated[Literal["linux", "windows"], BeforeValidator(_lower)] = "linux"
    cpus: Positive | None = None
    memory_mb: Annotated[int, Field(gt=0)] | None = None
    storage_mb: Annotated[int, Field(gt=0)] | None = None
    memory: str | None = None
    storage: str | None = None
    gpus: Annotated[int, Field(ge=0)] | None = None
    gpu_types: list[str] | None = None
    tpu: dict[str, Any] | None = None
    env: Env = {}
    workdir: str | None = None
    allow_internet: bool | None = None
    mcp_servers: list[McpServerToml] = []
    skills_dir: str | None = None
    healthcheck: HealthcheckToml | None = None

    @field_validator("memory", "storage")
    @classmethod
    def _sizes_have_a_unit(cls, value: str | None) -> str | None:
        if value is not None:
            size_mb(value)
        return value

    @field_validator("workdir", "skills_dir")
    @classmethod
    def _paths_are_absolute(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("/", "C:", "c:")):
            msg = f"expected an absolute path in the container, found {value!r}"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _spellings_agree(self) -> Self:
        for old, new in (("memory", "memory_mb"), ("storage", "storage_mb")):
            text, number = getattr(self, old), getattr(self, new)
            if text is not None and number is not None and size_mb(text) != number:
                msg = f"{old} = {text!r} and {new} = {number} contradict each other; keep {new}"
                raise ValueError(msg)
        legacy = {True: "public", False: "no-network", None: self.network_mode}[self.allow_internet]
        if self.network_mode is not None and legacy != self.network_mode:
            msg = (
                f"allow_internet = {str(self.allow_internet).lower()} and network_mode = {self.network_mode!r} "
                "contradict each other; keep network_mode"
            )
            raise ValueError(msg)
        return self


class AgentToml(NetworkKeys):
    """``[agent]`` and a step's."""

    timeout_sec: Positive | None = None
    user: User | None = None


class CollectToml(Table):
    """One of ``[[verifier.collect]]``."""

    command: Annotated[str, Field(min_length=1)]
    service: str = "main"
    timeout_sec: Positive = 60
    user: User | None = None


class VerifierToml(NetworkKeys):
    """``[verifier]`` and a step's."""

    timeout_sec: Positive = 600
    user: User | None = None
    env: Env = {}
    environment_mode: Literal["shared", "separate"] | None = None
    environment: EnvironmentToml | None = None
    collect: list[CollectToml] = []

    @model_validator(mode="after")
    def _shared_has_no_environment(self) -> Self:
        if self.environment_mode == "shared" and self.environment is not None:
            msg = "environment_mode = 'shared' and [verifier.environment] contradict each other; remove one"
            raise ValueError(msg)
        return self


def _no_way_up(path: str) -> str:
    if not path or ".." in path.split("/"):
        msg = f"expected a path without '..', found {path!r}"
        raise ValueError(msg)
    return path


PathInside = Annotated[str, AfterValidator(_no_way_up)]


class ArtifactToml(Table):
    """An artifact written as a table."""

    source: PathInside
    destination: PathInside | None = None
    exclude: list[str] = []
    service: str | None = None

    @field_validator("destination")
    @classmethod
    def _is_relative(cls, value: str | None) -> str | None:
        if value is not None and value.startswith("/"):
            msg = f"expected a relative path, found {value!r}"
            raise ValueError(msg)
        return value


class AuthorToml(Table):
    """One of ``[task].authors``."""

    name: str
    email: str | None = None


class PackageToml(Table):
    """``[task]``: the package's identity."""

    name: Annotated[str, Field(min_length=1)] | None = None
    version: Version | None = None
    description: str = ""
    authors: list[AuthorToml] = []
    keywords: list[str] = []


class SolutionToml(Table):
    """``[solution]``."""

    env: Env = {}


class StepToml(Table):
    """One of ``[[steps]]``."""

    name: str
    agent: AgentToml = AgentToml()
    verifier: VerifierToml = VerifierToml()
    min_reward: float | dict[str, float] | None = None
    healthcheck: HealthcheckToml | None = None
    artifacts: list[PathInside | ArtifactToml] = []

    @field_validator("name")
    @classmethod
    def _is_a_folder_name(cls, name: str) -> str:
        if not _STEP_NAME.fullmatch(name):
            msg = f"expected a folder name of letters, digits, '.', '_' and '-', found {name!r}"
            raise ValueError(msg)
        return name


class TaskToml(Table):
    """The whole file."""

    schema_version: Version | None = None
    version: Version | None = None
    source: str | None = None
    artifacts: list[PathInside | ArtifactToml] = []
    multi_step_reward_strategy: Literal["mean", "final"] | None = None
    multi_step_reward_mode: Literal["mean", "final"] | None = None
    task: PackageToml = PackageToml()
    metadata: dict[str, Any] = {}
    agent: AgentToml = AgentToml()
    verifier: VerifierToml = VerifierToml()
    solution: SolutionToml = SolutionToml()
    environment: EnvironmentToml = EnvironmentToml()
    steps: list[StepToml] = []

    @field_validator("steps")
    @classmethod
    def _step_names_differ(cls, steps: list[StepToml]) -> list[StepToml]:
        seen: set[str] = set()
        for step in steps:
            if step.name.casefold() in seen:
                msg = f"two steps are called {step.name!r} (case does not count)"
                raise ValueError(msg)
            seen.add(step.name.casefold())
        return steps

    @model_validator(mode="after")
    def _strategies_agree(self) -> Self:
        new, old = self.multi_step_reward_strategy, self.multi_step_reward_mode
        if new is not None and old is not None and new != old:
            msg = (
                f"multi_step_reward_mode = {old!r} and multi_step_reward_strategy = {new!r} contradict each other; "
                "keep multi_step_reward_strategy"
            )
            raise ValueError(msg)
        return self


def size_mb(text: str) -> int:
    """Return a legacy size (``2G``, ``512M``, ``1048576K``) in MiB."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        msg = f"expected a size such as '2G' or '512M', found {text!r}"
        raise ValueError(msg)
    return int(float(found.group(1)) * _MB_PER_UNIT[found.group(2).upper()])


def _is_host(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        name = text.removeprefix("*.")
        return 0 < len(name) <= 253 and all(_HOST_LABEL.fullmatch(label) for label in name.split("."))
    return True
