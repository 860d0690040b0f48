"""Runs that never ran: plans, journals and attempts written in the layout of a record, for tests of reports.

``build_run`` writes through the real schema and returns the real store. What each trial is like is decided by
a function of task, candidate and repeat.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from harness.schema.candidate import Candidate, ModelSettings
from harness.schema.event import (
    AgentEnded,
    AnyEvent,
    AttemptOpened,
    Blob,
    CommandEnded,
    ErrorRecord,
    Failed,
    ImageReady,
    LimitHit,
    LimitReached,
    ModelCalled,
    ModelReplied,
    Noted,
    NoticeShown,
    Phase,
    PhaseEnded,
    PhaseStarted,
    PromptShown,
    SandboxClosed,
    SandboxStarted,
    ToolEnded,
    ToolStarted,
    VerifierEnded,
    WorkCollected,
)
from harness.schema.message import ImagePart, Reply, TextPart, ToolCall, ToolResult, ToolSpec, Usage
from harness.schema.plan import Plan, PlannedTask, PlannedTrial, Provenance, RunSettings
from harness.schema.result import (
    AttemptDiscarded,
    AttemptEnded,
    AttemptResult,
    AttemptStarted,
    EndState,
    JournalLine,
    RunClosed,
    RunOpened,
    Tokens,
)
from harness.schema.sandbox import (
    BaseSubstitution,
    FileChange,
    HostTrust,
    ImageFacts,
    Process,
    SandboxFacts,
    WorkReport,
)
from harness.store import RunStore

How = Literal["pass", "fail", "limit_pass", "limit_fail", "limit_unknown", "infra", "missing", "waiting"]
Earlier = Literal["infra", "discarded", "open"]

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

HOSTILE = (
    "<script>window.hacked=1;document.title='hacked'</script>"
    '<img src=x onerror="window.hacked=2"><svg/onload=window.hacked=3></pre></script><!--'
    "<a href='javascript:window.hacked=4'>x</a> {{7*7}} ${7*7} http://evil.invalid/beacon.png "
    "\x1b[31mred\x1b[0m \x1b]8;;http://evil.invalid\x07link\x1b]8;;\x07 \u202edlrow\u202c \u2066x\u2069 "
    "zero\u200bwidth \x00\x07\x08 \ufeff \U000e0041 "
    "| pipe ` tick *bold* [l](http://evil.invalid) @everyone &lt;b&gt; #1"
)


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a trial goes: how it ends, after which earlier attempts, at what price, with which text."""

    how: How = "pass"
    earlier: tuple[Earlier, ...] = ()
    cost_usd: float | None = 0.012
    text: str = ""
    flags: tuple[str, ...] = ()
    image_id: str | None = None
    context_digest: str | None = "c0ffee"
    turns: int = 4


Decide = Callable[[str, str, int], Ending]


def player(name: str, *, note: str = "scripted player", agent: str = "loop") -> Candidate:
    """Make a candidate."""
    model = ModelSettings(
        provider="scripted", name=name, api="openai-responses", base_url=None, key_env=None, fingerprint=name
    )
    return Candidate(name=name, agent=agent, model=model, note=note)


def control(agent: str) -> Candidate:
    """Make a control."""
    return Candidate(name=agent, agent=agent, role="control")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a run is made of."""

    tasks: tuple[str, ...] = ("demo/migrate-parsimonious", "demo/repair-the-build", "demo/orders-service")
    candidates: tuple[Candidate, ...] = (player("careful"), player("hasty"))
    controls: tuple[Candidate, ...] = (control("oracle"), control("nop"))
    repeats: int = 2
    name: str = "demo"
    events: bool = True
    host: str = "build-01"
    versions: tuple[str, ...] = ("0.1.0",)
    substituted: bool = True
    closed: Literal["done", "interrupted", "budget"] | None = "done"


def demo_like(task: str, candidate: str, repeat: int) -> Ending:
    """Decide as the demo does: the careful one passes, the hasty one passes the first task only."""
    if candidate == "oracle":
        return Ending(how="pass", cost_usd=None, turns=0)
    if candidate == "nop":
        return Ending(how="fail", cost_usd=None, turns=0)
    if candidate == "hasty":
        how: How = "pass" if "migrate" in task else "limit_fail" if "orders" in task else "fail"
        return Ending(how=how, cost_usd=0.004, turns=3)
    return Ending(how="pass", cost_usd=0.0116, turns=6)


def build_run(folder: Path, decide: Decide = demo_like, shape: Shape | None = None) -> RunStore:
    """Write a run's folder and return a store that reads it."""
    shape = shape or Shape()
    plan = _plan(shape)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan.json").write_text(plan.model_dump_json(), encoding="utf-8")
    writer = _Writer(folder=folder, shape=shape)
    for version in shape.versions:
        writer.lines.append(
            RunOpened(at=writer.now(), pid=1, host=shape.host, version=version, command=("harness", "run"))
        )
    candidates = {candidate.name: candidate for candidate in plan.candidates}
    for trial in plan.trials:
        writer.trial(trial, candidates[trial.candidate], decide(trial.task, trial.candidate, trial.repeat))
    if shape.closed:
        writer.lines.append(RunClosed(at=writer.now(), reason=shape.closed))
    text = "".join(f"{line.to_line()}\n" for line in writer.lines)
    (folder / "journal.jsonl").write_text(text, encoding="utf-8")
    return RunStore(folder)


def _plan(shape: Shape) -> Plan:
    candidates = (*shape.candidates, *shape.controls)
    trials = [
        PlannedTrial(
            id=_digest(task, candidate.name, str(repeat))[:16], task=task, candidate=candidate.name, repeat=repeat
        )
        for repeat in range(1, shape.repeats + 1)
        for task in shape.tasks
        for candidate in candidates
        if candidate.role == "candidate" or repeat == 1
    ]
    return Plan(
        name=shape.name,
        created_at="2026-11-20T10:00:00+00:00",
        provenance=Provenance(
            version=shape.versions[0], commit="0a1b2c3d4e5f", python="3.11.2", platform="Linux-6.1-x86_64"
        ),
        settings=RunSettings(),
        prices_version="genai-prices 0.2.3",
        tasks=tuple(PlannedTask(name=task, path=Path("/tasks"), digest=_digest(task)) for task in shape.tasks),
        candidates=candidates,
        trials=tuple(trials),
    )


def _digest(*pieces: str) -> str:
    return hashlib.sha256("\0".join(pieces).encode()).hexdigest()


@dataclass(kw_only=True)
class _Writer:
    folder: Path
    shape: Shape
    lines: list[JournalLine] = field(default_factory=list)
    clock: dt.datetime = dt.datetime(2026, 11, 20, 10, 1, tzinfo=dt.UTC)

    def now(self, seconds: float = 0.0) -> str:
        self.clock += dt.timedelta(seconds=seconds)
        return self.clock.isoformat()

    def trial(self, trial: PlannedTrial, candidate: Candidate, ending: Ending) -> None:
        number = 0
        for earlier in ending.earlier:
            number += 1
            self.lines.append(AttemptStarted(at=self.now(), trial=trial.id, attempt=number))
            if earlier == "discarded":
                self.lines.append(
                    AttemptDiscarded(
                        at=self.now(5),
                        trial=trial.id,
                        attempt=number,
                        reason="the harness was stopped",
                        tokens=Tokens(input=900, output=100),
                        cost_usd=ending.cost_usd,
                    )
                )
            elif earlier == "infra":
                result = self._result(trial, candidate, replace(ending, how="infra"), number)
                self.lines.append(AttemptEnded(at=self.now(), result=result, final=False))
        if ending.how in {"missing", "waiting"}:
            return
        number += 1
        self.lines.append(AttemptStarted(at=self.now(), trial=trial.id, attempt=number))
        result = self._result(trial, candidate, ending, number)
        self.lines.append(AttemptEnded(at=self.now(), result=result))
        if self.shape.events:
            self._attempt(trial, candidate, ending, result)

    def _result(self, trial: PlannedTrial, candidate: Candidate, ending: Ending, number: int) -> AttemptResult:
        reward = {"pass": 1.0, "limit_pass": 1.0, "fail": 0.0, "limit_fail": 0.0}.get(ending.how)
        state: EndState = "infra" if ending.how == "infra" else "limit" if "limit" in ending.how else "verdict"
        worked = candidate.model is not None
        agent_s = 3.0 + ending.turns * 4.1
        started = self.now(1)
        unverified = state == "infra" or ending.how == "limit_unknown"
        return AttemptResult(
            trial=trial.id, attempt=number, end_state=state, rewards=None if reward is None else {"reward": reward},
            reward=reward, passed=None if reward is None else reward >= 1,
            limit=LimitHit(kind="turns", limit=ending.turns, used=ending.turns) if state == "limit" else None,
            error=_error(ending.text) if unverified else None,
            started_at=started, ended_at=self.now(agent_s + 4), duration_s=agent_s + 4,
            phases={"image": 0.2, "sandbox": 0.6, "agent": agent_s, "collect": 0.2, "verifier": 3.0},
            turns=ending.turns, tool_calls=ending.turns * worked, tool_errors=int(worked and ending.how != "pass"),
            tokens=Tokens(input=1800 * ending.turns, output=140 * ending.turns) if worked else Tokens(),
            cost_usd=ending.cost_usd if worked else None, image=self._image(trial, ending), flags=ending.flags,
            served_models=("scripted-1",) if worked else (),
        )  # fmt: skip

    def _image(self, trial: PlannedTrial, ending: Ending) -> ImageFacts:
        bases = BaseSubstitution(
            asked="python:3.11-slim", used="base/python:3.11", differs="Debian's Python 3.11.2",
            reason=f"no image registry answered for repeat {trial.repeat}",
        )  # fmt: skip
        return ImageFacts(
            tag=f"task:{trial.task.rpartition('/')[2]}",
            image_id=ending.image_id or f"sha256:{_digest('image', trial.task)}",
            origin="built",
            context_digest=ending.context_digest,
            substitutions=(bases,) if self.shape.substituted else (),
            trust=HostTrust(certificates=1, index_settings=("PIP_INDEX_URL",))
            if self.shape.substituted
            else HostTrust(),
            build_s=21.4,
        )

    def _attempt(self, trial: PlannedTrial, candidate: Candidate, ending: Ending, result: AttemptResult) -> None:
        folder = self.folder / "trials" / trial.id / str(result.attempt)
        (folder / "verifier").mkdir(parents=True)
        (folder / "blobs").mkdir()
        events = list(attempt_events(trial, candidate, ending, result))
        text = "".join(f"{event.model_copy(update={'seq': i, 'at': result.started_at}).to_line()}\n"
                       for i, event in enumerate(events))  # fmt: skip
        (folder / "events.jsonl").write_text(text, encoding="utf-8")
        (folder / "work.patch").write_bytes(patch_of(candidate, ending))
        (folder / "verifier" / "reward.json").write_text("{}")
        (folder / "blobs" / _digest("log")).write_bytes(b"#1 building\n#2 \x1b[32mdone\x1b[0m \xff\xfe\n")


def _error(text: str) -> ErrorRecord:
    return ErrorRecord(
        type="SandboxGoneError", cause="sandbox", retryable=True, message=f"The container is gone. {text}".strip(),
        hint="Run the same command again.", detail=f"exit 137\n{text}",
    )  # fmt: skip


PATCH = """\
diff --git a/parsimonious/grammar.py b/parsimonious/grammar.py
index 11aa22b..33cc44d 100644
--- a/parsimonious/grammar.py
+++ b/parsimonious/grammar.py
@@ -5,16 +5,14 @@ definitions. Other sources of grammars are possible.
 \"\"\"
 from collections import OrderedDict
+from functools import cached_property
 from inspect import isfunction, ismethod

-from six import (text_type, itervalues, iteritems, python_2_unicode_compatible, PY2)
-
 from parsimonious.exceptions import BadGrammar, UndefinedLabel

 class Grammar(OrderedDict):
-    @property
+    @cached_property
     def default_rule(self):
-        return next(itervalues(self), None)  # the first rule
+        return next(iter(self.values()), None)  # the first rule

     def parse(self, text, pos=0):
diff --git a/setup.cfg b/setup.cfg
deleted file mode 100644
index 5e40900..0000000
--- a/setup.cfg
+++ /dev/null
@@ -1,2 +0,0 @@
-[wheel]
-universal = 1
"""


def patch_of(candidate: Candidate, ending: Ending) -> bytes:
    """Return the work of an attempt."""
    if candidate.agent == "nop":
        return b""
    if candidate.agent == "oracle":
        return b"diff --git a/s b/s\n--- a/s\n+++ b/s\n@@ -0,0 +1 @@\n+THE REFERENCE SOLUTION\n"
    hostile = f"diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -0,0 +1,2 @@\n+{ending.text}\n+'''\n"
    return PATCH.encode() + (hostile.encode() + b"+broken \xff\xfe utf-8\n" if ending.text else b"")


def attempt_events(
    trial: PlannedTrial, candidate: Candidate, ending: Ending, result: AttemptResult
) -> Sequence[AnyEvent]:
    """Return what an attempt's events would have been."""
    opened = AttemptOpened(
        trial=trial.id, attempt=result.attempt, task=trial.task, task_digest=_digest(trial.task),
        candidate=candidate.name, repeat=trial.repeat,
    )  # fmt: skip
    assert result.image is not None
    log = Blob(sha256=_digest("log"), bytes=40)
    events: list[AnyEvent] = [
        opened,
        *_phase(result, "image", ImageReady(image=result.image, log=log)),
        *_phase(result, "sandbox", SandboxStarted(container="f00d", workdir="/app", user="agent")),
    ]
    events += _phase(result, "agent", *_agent(candidate, ending))
    if result.end_state == "infra":
        events.append(Failed(phase="agent", error=_error(ending.text)))
        return events
    work = WorkReport(
        root="/app", files_changed=2, insertions=3, deletions=6, patch_bytes=900, changes_total=2,
        changes=(FileChange(path=f"/app/grammar.py{ending.text}", change="modified"),),
    )  # fmt: skip
    services = (Process(pid=41, user="agent", command=f"python -m http.server {ending.text}"),)
    events += _phase(result, "collect", WorkCollected(work=work, services=services))
    output = (
        "\x1b[32m3 passed\x1b[0m in 0.42s"
        if result.passed
        else "FAILED test_orders.py::test_totals - assert 3 == 4"
    )
    events += _phase(
        result, "verifier",
        VerifierEnded(exit_code=0 if result.passed else 1, duration_s=3.0, rewards=result.rewards,
                      output=f"{output}\n{ending.text}", output_bytes=400),
    )  # fmt: skip
    events.append(SandboxClosed(facts=SandboxFacts(running=True, memory_peak_mb=212.4, cpu_s=8.8)))
    return events


def _phase(result: AttemptResult, phase: Phase, *events: AnyEvent) -> list[AnyEvent]:
    return [PhaseStarted(phase=phase), *events, PhaseEnded(phase=phase, duration_s=result.phases[phase])]


def _agent(candidate: Candidate, ending: Ending) -> list[AnyEvent]:
    if candidate.agent == "oracle":
        return [CommandEnded(role="oracle", command="THE REFERENCE SOLUTION", exit_code=0, duration_s=2.0,
                             output="output of THE REFERENCE SOLUTION"), AgentEnded(reason="finished")]  # fmt: skip
    if candidate.model is None:
        return [AgentEnded(reason="finished")]
    events: list[AnyEvent] = [
        PromptShown(
            system=f"You work in a container. {ending.text}",
            tools=(ToolSpec(name="shell", description="Run a command in the session's shell.", parameters={}),),
            parts=(TextPart(text=f"Move the library off six and nose. Its behaviour must stay.\n{ending.text}"),),
        )
    ]
    for turn in range(1, ending.turns + 1):
        events += _turn(turn, ending)
    if "limit" in ending.how:
        events.append(LimitReached(limit=LimitHit(kind="turns", limit=ending.turns, used=ending.turns)))
        events.append(AgentEnded(reason="limit"))
    else:
        events.append(AgentEnded(reason="submitted", claim=f"All tests pass; six and nose are gone. {ending.text}"))
    return events


_COMMANDS = (
    "grep -rn 'six' --include=*.py . | head -20",
    "sed -i 's/itervalues(self)/self.values()/' parsimonious/grammar.py\npython -m pytest -q",
    "python - <<'EOF'\nimport parsimonious\nprint(parsimonious.__file__)\nEOF",
)


def _turn(turn: int, ending: Ending) -> list[AnyEvent]:
    command = f"{_COMMANDS[turn % 3]} {ending.text}".strip()
    call = ToolCall(call_id=f"c{turn}", name="shell", arguments={"command": command})
    reply = Reply(
        text=f"I look for what still uses the old library. {ending.text}", calls=(call,), stop="tools",
        reasoning=f"The grammar module imports six; the helpers have plain equivalents. {ending.text}",
        usage=Usage(input_tokens=1800, cached_tokens=1200, output_tokens=140), cost_usd=0.0019,
    )  # fmt: skip
    failed = turn == 2 and ending.how != "pass"
    lines = "".join(f"parsimonious/grammar.py:{n}: from six import text_type\n" for n in range(12))
    parts: tuple[TextPart | ImagePart, ...] = (TextPart(text=f"{lines}{ending.text}"),)
    if turn == 3 and ending.text:
        parts += (
            ImagePart(media_type="image/png", data_b64=PIXEL),
            ImagePart(media_type="text/html", data_b64=PIXEL),
        )
    retry: list[AnyEvent] = []
    if turn == 2:
        error = ErrorRecord(
            type="ModelUnavailableError", cause="model", retryable=True, message=f"Overloaded. {ending.text}"
        )
        retry.append(ModelCalled(turn=turn, try_number=1, duration_s=0.3, error=error, retry_in_s=0.5))
    events: list[AnyEvent] = [
        *retry,
        ModelCalled(turn=turn, try_number=1 + len(retry), duration_s=1.9),
        ModelReplied(turn=turn, reply=reply),
        ToolStarted(turn=turn, call=call),
        ToolEnded(
            turn=turn, result=ToolResult(call_id=call.call_id, name="shell", parts=parts, is_error=failed),
            duration_s=0.8, exit_code=2 if failed else 0, output_bytes=410,
        ),
    ]  # fmt: skip
    if turn == 3:
        events.append(NoticeShown(text=f"One turn is left. {ending.text}", reason="turns"))
        events.append(Noted(text=f"The shell was restarted. {ending.text}"))
    return events
