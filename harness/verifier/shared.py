"""Shared verification: the hidden tests enter the agent's container when the agent is over.

Services that the agent left running stay, because many tasks ask for them. The reward files are read from the
container through the engine and parsed here, on the host; what the tests print never decides.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import anyio

from harness.errors import TransferError, VerifierError, VerifierTimeoutError
from harness.ports import CommandResult, TransferLimits, VerifierContext
from harness.schema.event import VerifierEnded
from harness.scoring import parse_reward
from harness.task import ignored

_LOGS = "/logs/verifier"
_STDOUT = f"{_LOGS}/test-stdout.txt"
_OUTPUT_CHARS = 30_000
_BAITS = {"reward.json": b'{"reward": 0}\n', "reward.txt": b"0\n"}
_REWARDS = tuple(_BAITS)
_REWARD_BYTES = 1024 * 1024
_LIMITS = TransferLimits(max_bytes=64 * 1024 * 1024, max_entries=2_000)
_FORGER_S = 1.0
_COLLECT_S = 60.0
_FORGED_REWARDS = {"reward": 0.0}
_LAST_LINES = 20
_LINE_CHARS = 200


class SharedVerifier:
    """Copies ``tests/`` to ``/tests``, runs ``test.sh`` as the verifier's user, reads the reward."""

    async def verify(self, context: VerifierContext) -> dict[str, float]:
        """Return the rewards; raises the ``VerifierError`` that fits. Its files are kept in either case."""
        started = time.monotonic()
        ran: CommandResult | None = None
        rewards: dict[str, float] | None = None
        problem: VerifierError | None = None
        forged = ""
        timed_out = False
        output = b""
        try:
            with anyio.move_on_after(context.timeout_s) as scope:
                await _bring_in(context)
                left_s = context.timeout_s - (time.monotonic() - started)
                ran = await _run(context, max(left_s, 0.1))
            timed_out = scope.cancelled_caught or (ran is not None and ran.timed_out)
            with anyio.fail_after(_COLLECT_S):
                output = await _take_out(context)
                rewards, problem = await _rewards(context, timed_out=timed_out)
        except _ForgedError as error:
            rewards, forged = _FORGED_REWARDS, str(error)
        context.recorder.emit(
            VerifierEnded(
                exit_code=ran.exit_code if ran else None,
                duration_s=time.monotonic() - started,
                timed_out=timed_out,
                rewards=rewards,
                forged=forged,
                output=output.decode("utf-8", "replace")[-_OUTPUT_CHARS:],
                output_bytes=len(output),
            )
        )
        if problem is not None:
            if ran is not None and not timed_out:
                _add_last_words(problem, ran, output)
            raise problem
        assert rewards is not None
        return rewards


async def _bring_in(context: VerifierContext) -> None:
    sandbox, tests = context.sandbox, context.task.tests_dir
    if tests is None:
        raise VerifierError(f"The task {context.task.name} has no tests/ folder.")
    # Nothing planted may stand in for a test, redirect what is read as the reward, or bar the way to either.
    cleared = await sandbox.exec(
        f"[ -d /logs ] && [ ! -h /logs ] || rm -rf /logs; rm -rf {_LOGS} /tests; "
        f"mkdir -p {_LOGS} && chmod 777 {_LOGS}",
        user="root",
        workdir="/",
        timeout_s=context.timeout_s,
    )
    if cleared.exit_code != 0:
        raise VerifierError("The sandbox could not be made ready for the hidden tests.", detail=cleared.output)
    await sandbox.upload(tests, "/tests", ignore=ignored(tests))
    await sandbox.exec("chmod -R +x /tests/test.sh", user="root", workdir="/")
    await _require_rewards(context, {}, "before the hidden tests ran")


async def _require_rewards(context: VerifierContext, wanted: Mapping[str, bytes], when: str) -> None:
    """Raise ``_ForgedError`` unless the reward files are ``wanted`` and no others; no shell is asked."""
    for name in _REWARDS:
        try:
            found = await context.sandbox.read_file(f"{_LOGS}/{name}", max_bytes=_REWARD_BYTES)
        except TransferError:
            found = b""
        if found != wanted.get(name):
            raise _ForgedError(f"Something that the agent left wrote {_LOGS}/{name} {when}.")


async def _require_no_forger(context: VerifierContext, names: Sequence[str]) -> None:
    """Raise ``_ForgedError`` if a process that was left running writes over a reward: one is put out as a bait."""
    if not await context.sandbox.processes():
        return
    baits = {name: _BAITS[name] for name in names}
    for name, bait in baits.items():
        await context.sandbox.write_file(f"{_LOGS}/{name}", bait, mode=0o666)
    await anyio.sleep(_FORGER_S)
    await _require_rewards(context, baits, "after the hidden tests had ended")


async def _run(context: VerifierContext, timeout_s: float) -> CommandResult:
    command = f"(/tests/test.sh) > {shlex.quote(_STDOUT)} 2>&1"
    return await context.sandbox.exec(
        command, user=context.task.verifier.user, env=dict(context.env), timeout_s=timeout_s
    )


async def _take_out(context: VerifierContext) -> bytes:
    """Keep ``/logs/verifier`` beside the record; return what the tests printed (its end, if it is huge)."""
    target = context.recorder.folder / "verifier"
    try:
        await context.sandbox.download(_LOGS, target, limits=_LIMITS)
    except TransferError:
        # Too big or hostile: the reward files are read by themselves, and the end of the output is kept.
        tail = await context.sandbox.exec(f"tail -c {_OUTPUT_CHARS} {_STDOUT}", user="root", timeout_s=20)
        return tail.output.encode()
    return _last_bytes(target / "test-stdout.txt")


def _add_last_words(problem: VerifierError, ran: CommandResult, output: bytes) -> None:
    """Add to an error how the tests ended: what stopped them is most often their last line."""
    text = output[-_OUTPUT_CHARS:].decode("utf-8", "replace")
    lines = ["".join(c if c.isprintable() else " " for c in line).strip() for line in text.splitlines()]
    lines = [line for line in lines if line]
    said = f'; the last line they printed: "{lines[-1][:_LINE_CHARS]}"' if lines else " and printed nothing"
    problem.detail = problem.detail or "\n".join(lines[-_LAST_LINES:])
    problem.hint = f"{problem.hint} The tests ended with exit code {ran.exit_code}{said}.".strip()


def _last_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


async def _rewards(
    context: VerifierContext, *, timed_out: bool
) -> tuple[dict[str, float] | None, VerifierError | None]:
    if timed_out:
        return None, VerifierTimeoutError(
            f"The hidden tests of {context.task.name} did not end within {context.timeout_s:g} s.",
            hint="Raise [verifier].timeout_sec, or --timeout-multiplier.",
        )
    try:
        as_json = await context.sandbox.read_file(f"{_LOGS}/reward.json", max_bytes=_REWARD_BYTES)
        as_text = await context.sandbox.read_file(f"{_LOGS}/reward.txt", max_bytes=_REWARD_BYTES)
        rewards = parse_reward(as_json, as_text)
        found = zip(_REWARDS, (as_json, as_text), strict=True)
        await _require_no_forger(context, [name for name, data in found if data is not None])
        return rewards, None
    except TransferError as error:
        return None, VerifierError(f"The reward file could not be read: {error.message}", hint=error.hint)
    except VerifierError as error:
        return None, error


class _ForgedError(Exception):
    """Something that the agent left writes rewards: the work does not pass, and the trial is flagged."""
