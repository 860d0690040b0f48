"""The scripted players' scripts, carried out with the loop's own tools, score as they are meant to.

No model and no server is asked: this says whether the scripts and the tasks fit each other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import anyio
import pytest

from harness.ports import ProviderSettings, SandboxRequest, Tool, ToolContext, VerifierContext
from harness.sandbox.docker import open_provider
from harness.schema.message import TextPart
from harness.testing.memory import MemoryRecorder
from harness.testing.players import Script, bundled_players
from harness.tool.edit import Edit
from harness.tool.shell import Shell
from harness.tool.submit import Submit
from harness.verifier.shared import SharedVerifier
from tests.integration.demo.driver import TASKS, demo_task

pytestmark = pytest.mark.docker

HASTY_PASSES = {"stock-service"}
CASES = [("careful", task, 1.0) for task in TASKS]
CASES += [("hasty", task, 1.0 if task in HASTY_PASSES else 0.0) for task in TASKS]
TOOLS: Mapping[str, Tool] = {tool.spec.name: tool for tool in (Shell(), Edit(), Submit())}


async def _play(script: Script, context: ToolContext) -> str | None:
    """Carry out every call; return what was said at submission. Drift and refused calls are errors."""
    last = ""
    for turn in script.turns:
        assert turn.expect is None or re.search(turn.expect, last, re.MULTILINE), (
            f"{turn.expect} is not in:\n{last}"
        )
        for call in turn.calls:
            assert not isinstance(call.arguments, str)
            outcome = await TOOLS[call.tool].call(call.arguments, context)
            last = "\n".join(part.text for part in outcome.parts if isinstance(part, TextPart))
            assert not outcome.is_error, f"{call.arguments}\n{last}"
            if outcome.submission is not None:
                return outcome.submission
    return None


@pytest.mark.parametrize(("player", "name", "reward"), CASES)
def test_a_player_s_work_scores_as_intended(player: str, name: str, reward: float, tmp_path: Path) -> None:
    async def trial() -> None:
        task = demo_task(name)
        script = next(one for one in bundled_players() if one.name == player).script_for(task.instruction)
        assert script is not None
        async with open_provider(ProviderSettings()) as provider:
            image = await provider.prepare(task.environment)
            request = SandboxRequest(environment=task.environment, network=task.environment.network)
            async with provider.open(request, image) as sandbox:
                session = await sandbox.open_session(user=task.agent.user)
                claim = await _play(script, ToolContext(sandbox=sandbox, session=session, user=task.agent.user))
                assert claim
                await session.close()
                recorder = MemoryRecorder(tmp_path)
                rewards = await SharedVerifier().verify(
                    VerifierContext(task=task, sandbox=sandbox, recorder=recorder, timeout_s=120)
                )
        assert rewards == {"reward": reward}, recorder.events[-1]

    anyio.run(trial)
