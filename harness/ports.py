"""Every Protocol of the harness in one place: what the engine needs, whoever provides it.

Adapters (``sandbox``, ``model``, ``tool``, ``agent``, ``verifier``, ``executor``, ``store``) implement these;
the engine (``trial``, ``run``) and the pure rooms know nothing else of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydantic import JsonValue

from harness.schema.candidate import Candidate, Limits
from harness.schema.event import AnyEvent, Blob
from harness.schema.message import Part, Reply, ToolSpec, View
from harness.schema.plan import BuildMode, HostSettingsMode, Plan, PlannedTrial
from harness.schema.result import AttemptResult, JournalLine
from harness.schema.sandbox import ImageFacts, Process, SandboxFacts, WorkReport
from harness.schema.task import EnvironmentSpec, NetworkPolicy, Task

# --------------------------------------------------------------------------------------------- sandbox


@dataclass(frozen=True, kw_only=True)
class CommandResult:
    """What a command in a sandbox did.

    ``output`` is standard output and error together, decoded as UTF-8 with replacement: the whole if it is
    at most the limit asked for, else its head and tail around a line that says how much is left out.
    ``output_bytes`` counts everything it printed; ``output_path`` is the whole output in the container
    (``None`` for one-shot commands). ``exit_code`` is ``None`` when it was killed for its time.
    ``restarted`` is true when the shell had to be started anew (the command ended it, or killed it), so that
    only its directory and exported environment remain.
    """

    exit_code: int | None
    output: str
    output_bytes: int
    duration_s: float
    timed_out: bool = False
    restarted: bool = False
    output_path: str | None = None


class Session(Protocol):
    """A shell that lives as long as its sandbox: directory, environment, functions and jobs are kept."""

    async def run(self, command: str, *, timeout_s: float | None = None) -> CommandResult:
        """Run ``command`` with its standard input closed, and wait for it at most ``timeout_s``.

        At the timeout it is interrupted, then its process group is killed; what it printed so far is
        returned and the session stays usable. Background jobs go on. Raises ``SessionError`` when the shell
        cannot be brought back, ``SandboxGoneError`` when the container is gone.
        """
        ...

    async def close(self) -> None:
        """End the shell and what runs in its foreground. Background processes stay."""
        ...


@dataclass(frozen=True, kw_only=True)
class TransferLimits:
    """Caps for what may come out of a container: bytes after expansion, and number of entries."""

    max_bytes: int = 256 * 1024 * 1024
    max_entries: int = 20_000


class Sandbox(Protocol):
    """A started container, seen from the engine. Every path is absolute in the container."""

    @property
    def container(self) -> str:
        """The engine's id of the container."""
        ...

    @property
    def image(self) -> ImageFacts:
        """Where its image came from."""
        ...

    @property
    def workdir(self) -> str:
        """The directory that commands start in: the task's ``workdir``, else the image's, else ``/``."""
        ...

    async def exec(
        self,
        command: str,
        *,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        workdir: str | None = None,
        timeout_s: float | None = None,
        output_limit: int = 64_000,
    ) -> CommandResult:
        """Run one command in a process of its own: ``bash -c`` where there is a bash, else ``sh -c``.

        Output beyond ``output_limit`` bytes is cut out of the middle while it arrives, so a flood stays
        bounded. At the timeout the command's whole process tree is killed. ``user`` ``None`` is the image's.
        """
        ...

    async def open_session(
        self, *, user: str | None = None, env: Mapping[str, str] | None = None, workdir: str | None = None
    ) -> Session:
        """Start a persistent shell. Needs nothing in the image but ``sh``; uses ``bash`` where there is one."""
        ...

    async def write_file(self, path: str, data: bytes, *, mode: int = 0o644, user: str | None = None) -> None:
        """Write one file, creating its parents."""
        ...

    async def read_file(self, path: str, *, max_bytes: int = 16 * 1024 * 1024) -> bytes | None:
        """Return a regular file's bytes, ``None`` if there is none. Larger files raise ``TransferError``."""
        ...

    async def upload(self, source: Path, target: str, *, ignore: Callable[[str], bool] | None = None) -> None:
        """Copy a host folder's contents over ``target``, symlinks kept, owned by root.

        What its owner may read and run, everyone may: like a checkout whatever the host's umask.
        ``ignore`` gets a path relative to ``source`` (folders end in ``/``). Links that leave ``source``
        raise ``TransferError``.
        """
        ...

    async def download(self, source: str, target: Path, *, limits: TransferLimits = TransferLimits()) -> int:
        """Copy a container folder's contents, or one file, under the host folder ``target``; return the bytes.

        What comes out is hostile: no traversal, links, devices or set-id bits. The folder appears whole or
        not at all; a missing source makes an empty one. Raises ``TransferError`` beyond the limits.
        """
        ...

    async def collect_work(self, patch: Path) -> WorkReport:
        """Write what differs from the image below ``workdir`` as a git patch to ``patch`` on the host.

        Read through the engine: nothing of the agent's is executed for it.
        """
        ...

    async def processes(self) -> tuple[Process, ...]:
        """Return what runs in the container, the harness's own processes left out."""
        ...

    async def facts(self) -> SandboxFacts:
        """Return how the container stands: alive, killed for memory, peaks."""
        ...


@dataclass(frozen=True, kw_only=True)
class SandboxRequest:
    """What a sandbox is wanted for. ``env`` is resolved; ``labels`` name run, trial, attempt and role."""

    environment: EnvironmentSpec
    env: Mapping[str, str] = field(default_factory=dict)
    network: NetworkPolicy = field(default_factory=NetworkPolicy)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PreparedImage:
    """An image that is ready to start. ``log`` is the build's log when this call built it, else empty."""

    facts: ImageFacts
    log: str = ""


class SandboxProvider(Protocol):
    """Makes sandboxes. One per run; safe to use from many tasks at once."""

    async def prepare(
        self, environment: EnvironmentSpec, *, on_line: Callable[[str], None] | None = None
    ) -> PreparedImage:
        """Have the image: local, pulled or built once however many trials want it at the same time.

        ``on_line`` hears what is going on, line by line. Raises ``ImageError`` with the end of the build
        log, ``DaemonError`` when the engine is away.
        """
        ...

    def open(self, request: SandboxRequest, image: PreparedImage) -> AbstractAsyncContextManager[Sandbox]:
        """Start a container; remove it, and all that was made for it, when the block ends, come what may."""
        ...

    async def reap(self, labels: Mapping[str, str]) -> int:
        """Remove containers that carry all these labels and were left by a process that is gone."""
        ...


@dataclass(frozen=True, kw_only=True)
class ProviderSettings:
    """How a run wants its sandboxes made."""

    build: BuildMode = "auto"
    host_settings: HostSettingsMode = "auto"
    build_jobs: int = 2


# ----------------------------------------------------------------------------------------------- model


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One request and what came back, both verbatim.

    ``request`` is the body without its history, ``history`` the list that stood under ``history_field``
    (``input`` or ``messages``). ``response`` is the raw stream's events or error body, as JSON text.
    """

    request: Mapping[str, JsonValue]
    history_field: str
    history: Sequence[JsonValue]
    response: str
    first_event_s: float | None = None


class Model(Protocol):
    """A provider's model with fixed settings. One call is one request: retries are the caller's."""

    async def reply(self, view: View, *, timeout_s: float | None, on_exchange: Callable[[Exchange], None]) -> Reply:
        """Ask for one reply. ``on_exchange`` is called exactly once, also when the call fails.

        ``timeout_s`` bounds the whole call. Raises the ``ModelError`` that fits: a stream without its
        terminal event is ``ModelUnavailableError``, never an answer.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


# ------------------------------------------------------------------------------------------------ tool


@dataclass(frozen=True, kw_only=True)
class ToolContext:
    """What a tool may use. ``remaining_s`` is what is left of the agent's time, ``None`` without limit."""

    sandbox: Sandbox
    session: Session
    user: str | None = None
    remaining_s: Callable[[], float | None] = lambda: None


@dataclass(frozen=True, kw_only=True)
class ToolOutcome:
    """What a tool did. ``submission`` is set when the agent declares itself done, with its claim."""

    parts: tuple[Part, ...]
    is_error: bool = False
    exit_code: int | None = None
    timed_out: bool = False
    output_bytes: int | None = None
    submission: str | None = None


class Tool(Protocol):
    """Something that the loop offers to a model."""

    @property
    def spec(self) -> ToolSpec:
        """How the model is told of it."""
        ...

    async def call(self, arguments: Mapping[str, JsonValue], context: ToolContext) -> ToolOutcome:
        """Carry out one call. Bad arguments are an outcome with ``is_error``, never an exception."""
        ...


# ----------------------------------------------------------------------------------------------- agent


class Recorder(Protocol):
    """Where an attempt writes: events are numbered, stamped and flushed one by one."""

    def emit(self, event: AnyEvent) -> AnyEvent:
        """Append an event; return it with its number and time."""
        ...

    def blob(self, data: bytes, media_type: str) -> Blob:
        """Store bytes once by their digest."""
        ...

    @property
    def folder(self) -> Path:
        """The attempt's folder."""
        ...


@dataclass(frozen=True, kw_only=True)
class AgentContext:
    """What an agent gets. ``deadline`` is on the event loop's clock, ``None`` without limit."""

    task: Task
    candidate: Candidate
    limits: Limits
    sandbox: Sandbox
    recorder: Recorder
    user: str | None
    deadline: float | None


class Agent(Protocol):
    """Works on a task in a sandbox. Limits end it by value: it emits ``AgentEnded`` last, always."""

    async def work(self, context: AgentContext) -> None:
        """Do the task. Raises only for faults that are not the agent's (sandbox, provider)."""
        ...


# -------------------------------------------------------------------------------------------- verifier


@dataclass(frozen=True, kw_only=True)
class VerifierContext:
    """What a verifier gets: the sandbox with the agent over, and where its files go."""

    task: Task
    sandbox: Sandbox
    recorder: Recorder
    timeout_s: float
    env: Mapping[str, str] = field(default_factory=dict)


class Verifier(Protocol):
    """Decides with hidden tests."""

    async def verify(self, context: VerifierContext) -> dict[str, float]:
        """Run the hidden tests, emit ``VerifierEnded``, return the rewards. Raises ``VerifierError``."""
        ...


# -------------------------------------------------------------------------------- executor, store, watch


class Worker(Protocol):
    """Runs one attempt, wherever it is."""

    async def attempt(self, trial: PlannedTrial, number: int, recorder: Recorder) -> AttemptResult:
        """Run it to its end state. Raises nothing but cancellation and ``StoreError``."""
        ...


class Executor(Protocol):
    """Has a number of workers and gives attempts to them."""

    @property
    def slots(self) -> int:
        """How many attempts may run at the same time."""
        ...

    async def run(self, trial: PlannedTrial, number: int, recorder: Recorder) -> AttemptResult:
        """Run one attempt and return how it ended."""
        ...


class Store(Protocol):
    """The record of a run. Only one process writes it."""

    @property
    def folder(self) -> Path:
        """The run's folder."""
        ...

    def plan(self) -> Plan | None:
        """Return the stored plan, ``None`` in a new folder."""
        ...

    def write_plan(self, plan: Plan) -> None:
        """Store the plan, atomically."""
        ...

    def journal(self) -> Sequence[JournalLine]:
        """Return the journal's lines in order; a torn last line is ignored."""
        ...

    def append(self, line: JournalLine) -> None:
        """Append to the journal and flush."""
        ...

    def attempts(self, trial: str) -> Sequence[int]:
        """Return the numbers of the attempts that left files, in order, also those that no journal names."""
        ...

    def recorder(
        self, trial: str, attempt: int, *, on_event: Callable[[AnyEvent], None] | None = None
    ) -> AbstractContextManager[Recorder]:
        """Open an attempt's folder for writing; ``on_event`` hears of each event once it is written."""
        ...

    def events(self, trial: str, attempt: int) -> Sequence[AnyEvent]:
        """Return an attempt's events in order; a torn last line is ignored."""
        ...


class Watcher(Protocol):
    """Hears of a run while it goes on: a panel, plain lines, nothing."""

    def planned(self, plan: Plan, pending: Sequence[PlannedTrial]) -> None:
        """Hear what is to be done."""
        ...

    def started(self, trial: PlannedTrial, attempt: int) -> None:
        """Hear that an attempt began."""
        ...

    def event(self, trial: PlannedTrial, attempt: int, event: AnyEvent) -> None:
        """Hear of each event of a running attempt."""
        ...

    def ended(self, trial: PlannedTrial, result: AttemptResult, *, final: bool) -> None:
        """Hear how an attempt ended."""
        ...

    def line(self, text: str) -> None:
        """Hear a remark that belongs to no trial: an image is being built, the engine is away."""
        ...
