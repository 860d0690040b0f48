"""The events of an attempt: one line each in its ``events.jsonl``, appended and never rewritten.

The state of an attempt is a fold over these lines. Big values live in blobs, named by their SHA-256.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue, TypeAdapter

from harness.schema.base import SCHEMA_VERSION, Record
from harness.schema.message import Part, Reply, ToolCall, ToolResult, ToolSpec
from harness.schema.sandbox import ImageFacts, Process, SandboxFacts, WorkReport

Phase = Literal["image", "sandbox", "healthcheck", "agent", "collect", "verifier", "teardown"]
LimitKind = Literal[
    "turns", "input_tokens", "output_tokens", "total_tokens", "cost_usd", "time_s", "context", "run_cost_usd"
]


class Blob(Record):
    """A stored value: ``blobs/<sha256>`` beside the events."""

    sha256: str
    bytes: int
    media_type: str = "application/octet-stream"


class ErrorRecord(Record):
    """An error as data. ``type`` is the class's name, for readers only: decisions use the other fields."""

    type: str
    cause: str
    retryable: bool
    reach: Literal["trial", "candidate", "run"] = "trial"
    message: str
    hint: str = ""
    detail: str = ""


class LimitHit(Record):
    """Which limit ended the agent's work, what it was and what had been used."""

    kind: LimitKind
    limit: float | None = None
    used: float | None = None


class Event(Record):
    """What every event carries: its number, the wall clock (UTC, ISO 8601) and seconds since the start."""

    seq: int = 0
    at: str = ""
    t: float = 0.0


class AttemptOpened(Event):
    """The first line of every attempt."""

    kind: Literal["attempt_opened"] = "attempt_opened"
    schema_version: int = SCHEMA_VERSION
    trial: str
    attempt: int
    task: str
    task_digest: str
    candidate: str
    repeat: int


class PhaseStarted(Event):
    """A phase of the trial began."""

    kind: Literal["phase_started"] = "phase_started"
    phase: Phase


class PhaseEnded(Event):
    """A phase of the trial ended, for whatever reason."""

    kind: Literal["phase_ended"] = "phase_ended"
    phase: Phase
    duration_s: float


class ImageReady(Event):
    """The image is here; its build log, if it was built by this trial, is a blob."""

    kind: Literal["image_ready"] = "image_ready"
    image: ImageFacts
    log: Blob | None = None


class SandboxStarted(Event):
    """The container runs. ``container`` is the engine's id."""

    kind: Literal["sandbox_started"] = "sandbox_started"
    container: str
    workdir: str
    user: str | None = None


class PromptShown(Event):
    """Everything that the model is told before its first turn, with where each piece comes from."""

    kind: Literal["prompt_shown"] = "prompt_shown"
    system: str
    tools: tuple[ToolSpec, ...]
    parts: tuple[Part, ...]
    sources: dict[str, str] = Field(default_factory=dict)


class NoticeShown(Event):
    """A message of the harness to the model in the middle of its work."""

    kind: Literal["notice_shown"] = "notice_shown"
    text: str
    reason: str


class ModelCalled(Event):
    """One request to a provider, successful or not.

    ``request`` is the body without its history; the history is the first ``history_kept`` items of the
    previous request of this attempt and then ``history_added``. ``response`` holds what came back, verbatim.
    """

    kind: Literal["model_called"] = "model_called"
    turn: int
    try_number: int
    duration_s: float
    first_event_s: float | None = None
    request: dict[str, JsonValue] = Field(default_factory=dict)
    history_field: str = ""
    history_kept: int = 0
    history_added: tuple[JsonValue, ...] = ()
    response: Blob | None = None
    error: ErrorRecord | None = None
    retry_in_s: float | None = None


class ModelReplied(Event):
    """A complete reply of the model: the start of a turn."""

    kind: Literal["model_replied"] = "model_replied"
    turn: int
    reply: Reply


class ToolStarted(Event):
    """A tool call is about to be carried out."""

    kind: Literal["tool_started"] = "tool_started"
    turn: int
    call: ToolCall


class ToolEnded(Event):
    """A tool call came back. ``rejected`` marks calls that never reached a tool (unknown name, bad arguments)."""

    kind: Literal["tool_ended"] = "tool_ended"
    turn: int
    result: ToolResult
    duration_s: float
    rejected: bool = False
    exit_code: int | None = None
    timed_out: bool = False
    output_bytes: int | None = None
    output: Blob | None = None


class CommandEnded(Event):
    """A command of the harness itself in the sandbox: the oracle's solution, a healthcheck, a hook."""

    kind: Literal["command_ended"] = "command_ended"
    role: Literal["oracle", "healthcheck", "collect", "setup"]
    command: str
    exit_code: int | None
    duration_s: float
    timed_out: bool = False
    output: str = ""


class LimitReached(Event):
    """A limit ended the agent's work; verification follows all the same."""

    kind: Literal["limit_reached"] = "limit_reached"
    limit: LimitHit


class AgentEnded(Event):
    """The agent is over. ``claim`` is what it said of its own work when it submitted."""

    kind: Literal["agent_ended"] = "agent_ended"
    reason: Literal["submitted", "finished", "limit", "error", "gave_up"]
    claim: str = ""
    detail: str = ""


class WorkCollected(Event):
    """What the agent changed, as a patch beside the events (``work.patch``)."""

    kind: Literal["work_collected"] = "work_collected"
    work: WorkReport
    services: tuple[Process, ...] = ()


class VerifierEnded(Event):
    """The hidden tests ran. ``output`` is the end of what they printed; files are under ``verifier/``.

    ``forged`` says how the agent was found to write rewards itself; ``rewards`` is then 0, whatever was written.
    """

    kind: Literal["verifier_ended"] = "verifier_ended"
    exit_code: int | None
    duration_s: float
    timed_out: bool = False
    rewards: dict[str, float] | None = None
    forged: str = ""
    output: str = ""
    output_bytes: int = 0


class Failed(Event):
    """Something went wrong; the attempt may go on (a hook) or be over."""

    kind: Literal["failed"] = "failed"
    phase: Phase
    error: ErrorRecord
    fatal: bool = True


class SandboxClosed(Event):
    """The container is gone, and how it stood before."""

    kind: Literal["sandbox_closed"] = "sandbox_closed"
    facts: SandboxFacts


class Noted(Event):
    """A remark for readers of the record: a warning, a choice the harness made."""

    kind: Literal["noted"] = "noted"
    text: str


AnyEvent = Annotated[
    AttemptOpened
    | PhaseStarted
    | PhaseEnded
    | ImageReady
    | SandboxStarted
    | PromptShown
    | NoticeShown
    | ModelCalled
    | ModelReplied
    | ToolStarted
    | ToolEnded
    | CommandEnded
    | LimitReached
    | AgentEnded
    | WorkCollected
    | VerifierEnded
    | Failed
    | SandboxClosed
    | Noted,
    Field(discriminator="kind"),
]

EVENT: TypeAdapter[AnyEvent] = TypeAdapter(AnyEvent)
"""Reads one line of ``events.jsonl``: ``EVENT.validate_json(line)``."""
