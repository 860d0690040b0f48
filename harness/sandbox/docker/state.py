"""How a container stands: alive or not, memory, and what runs in it. Read through the engine, nothing executed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, Field

from harness.errors import SandboxError
from harness.sandbox.docker.engine import Engine
from harness.sandbox.docker.users import name_of
from harness.schema.sandbox import Process, SandboxFacts

KEEP_ALIVE = "trap : TERM; while :; do sleep 1000000 & wait $!; [ $? != 127 ] || exit 127; done"
"""The main process of a container: waits, reaps orphans, and as process 1 outlives `kill -9 -1`."""

_MIB = 1024 * 1024
_OWN = 'eval "$HARNESS_'
_OWN_CHILDREN = ("cat", "--noprofile --norc --noediting -i", " -i /proc/", "sleep 0.1")


class _State(BaseModel):
    Running: bool = False
    OOMKilled: bool = False
    ExitCode: int | None = None


class _Inspected(BaseModel):
    State: _State = _State()
    Created: str = ""


class _Memory(BaseModel):
    max_usage: int | None = None


class _CpuUsage(BaseModel):
    total_usage: int | None = None


class _Cpu(BaseModel):
    cpu_usage: _CpuUsage = _CpuUsage()


class _Stats(BaseModel):
    memory_stats: _Memory = _Memory()
    cpu_stats: _Cpu = _Cpu()


class _Top(BaseModel):
    Titles: list[str] = Field(default_factory=list)
    Processes: list[list[str]] | None = None


async def read_facts(engine: Engine, container: str) -> SandboxFacts:
    """Return how a container stands. Peaks are ``None`` once it has stopped, or where the engine cannot tell."""
    found = _Inspected.model_validate(await engine.call(engine.api.inspect_container, container))
    killed = found.State.OOMKilled or await engine.call(_out_of_memory, engine, container, found.Created)
    stats = _Stats()
    if found.State.Running:
        try:
            raw = await engine.call(engine.api.stats, container, stream=False, one_shot=True)
            stats = _Stats.model_validate(raw)
        except SandboxError:
            pass  # it stopped just now, or the engine has no statistics
    peak, cpu = stats.memory_stats.max_usage, stats.cpu_stats.cpu_usage.total_usage
    return SandboxFacts(
        running=found.State.Running,
        oom_killed=killed,
        exit_code=None if found.State.Running else found.State.ExitCode,
        memory_peak_mb=None if peak is None else round(peak / _MIB, 1),
        cpu_s=None if not cpu else round(cpu / 1e9, 3),
    )


def _out_of_memory(engine: Engine, container: str, created: str) -> bool:
    """Ask for past events: a kill in a process other than the main one is in no state."""
    import time
    from datetime import datetime

    since = int(datetime.fromisoformat(created[:19] + "+00:00").timestamp())
    filters = {"container": [container], "event": ["oom"]}
    # To the nanosecond: the engine waits for an end that is still to come, even for the rest of this second.
    now = f"{time.time():.9f}"
    return any(True for _ in engine.api.events(since=since, until=now, filters=filters))


async def is_kept_alive(engine: Engine, container: str) -> bool:
    """Tell whether the command that keeps a container alive runs in it; an ENTRYPOINT may come before it."""
    raw = await engine.call(engine.api.top, container, ps_args="-eo pid,ppid,uid,args")
    return any(row[3].startswith(f"sh -c {KEEP_ALIVE}") for row in _Top.model_validate(raw).Processes or [])


async def read_processes(engine: Engine, container: str, passwd: str) -> tuple[Process, ...]:
    """Return what runs in a container, without what the harness itself runs there."""
    raw = await engine.call(engine.api.top, container, ps_args="-eo pid,ppid,uid,args")
    rows = _Top.model_validate(raw).Processes or []
    own = _own(rows)
    return tuple(
        Process(pid=int(pid), user=name_of(uid, passwd), command=args)
        for pid, _, uid, args in rows
        if pid not in own
    )


def _own(rows: Sequence[Sequence[str]]) -> set[str]:
    commands: Mapping[str, str] = {row[0]: row[3] for row in rows}
    servers = {pid for pid, args in commands.items() if _OWN in args or KEEP_ALIVE in args}
    children = {
        pid
        for pid, parent, _, args in rows
        if parent in servers
        and (args == "sleep 1000000" or args.endswith(_OWN_CHILDREN) or _OWN_CHILDREN[2] in args)
    }
    return servers | children
