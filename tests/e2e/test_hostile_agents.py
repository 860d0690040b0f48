"""Agents that break what they stand on: their work is verified all the same, and nothing of theirs is trusted."""

from __future__ import annotations

import pytest

from harness.testing.model_server import running_model_server
from harness.testing.players import Call, Player, Script, Turn
from tests.e2e.desk import Desk

pytestmark = pytest.mark.docker

TEST_SH = """#!/bin/sh
reward=0
[ "$(cat /app/total.txt)" = 42 ] && [ ! -e /tests/planted ] && reward=1
echo $reward > /logs/verifier/reward.txt
"""
WORK = "#!/bin/sh\necho 42 > /app/total.txt\n"
PLANT = "#!/bin/sh\necho 1 > /logs/verifier/reward.txt\n"
AGENTS = {
    "tests-is-a-file": WORK + "rm -rf /tests; echo > /tests\n",
    "tests-holds-things": WORK + "mkdir -p /tests/test.sh/x; echo > /tests/planted\n",
    "verifier-is-a-file": WORK + "rm -rf /logs/verifier; echo > /logs/verifier\n",
    "logs-is-a-file": WORK + "rm -rf /logs; echo > /logs\n",
    "odd-names": WORK + "cd /app; ln -s loop loop; mkdir .GIT; echo > .GIT/c; echo > \"$(printf 'a\\n\\377')\"\n",
    "no-workdir": PLANT + "rm -rf /app\n",
    "forger": PLANT
    + "(while sleep 0.2; do [ -s /logs/verifier/reward.txt ] && echo 1 > /logs/verifier/reward.txt; done)"
    + " > /dev/null 2>&1 &\n",
    "no-rm": PLANT + "for d in /bin /usr/bin; do rm -f $d/rm; cp /bin/true $d/rm; done\n",
}


def test_what_an_agent_leaves_behind_neither_bars_the_tests_nor_stands_in_for_them(desk: Desk) -> None:
    for name, solve in AGENTS.items():
        desk.task(name, solve_sh=solve, test_sh=TEST_SH)
    ran = desk.run(str(desk.folder / "tasks"), "-a", "oracle", "-j", "4")
    ends = {row["task"].rpartition("/")[2]: (row["end_state"], row["passed"]) for row in ran.rows}
    honest = dict.fromkeys(AGENTS, ("verdict", True))
    failed = dict.fromkeys(("no-workdir", "forger", "no-rm"), ("verdict", False))
    assert ends == {**honest, **failed}, ran.err
    flagged = {row["task"].rpartition("/")[2] for row in ran.rows if row["flags"] == ["reward forged"]}
    assert flagged == {"forger", "no-rm"}
    assert {event["forged"].partition("reward.txt ")[2] for event in ran.events("verifier_ended")} <= {
        "",
        "before the hidden tests ran.",
        "after the hidden tests had ended.",
    }
    works = [event["work"] for event in ran.events("work_collected")]
    (unpatched,) = [" ".join(work["skipped"]) for work in works if work["truncated"]]
    assert all(name in unpatched for name in (".GIT/c", "loop", "a\n"))
    assert any(change == {"path": "/app", "change": "deleted"} for work in works for change in work["changes"])
    assert all(work["patch_bytes"] or work["files_changed"] == 0 for work in works)


def test_an_agent_that_breaks_its_shell_is_verified_and_not_tried_again(desk: Desk) -> None:
    turns = [
        Turn(calls=[Call("shell", {"command": "echo 42 > total.txt"})]),
        Turn(calls=[Call("shell", {"command": "rm -rf /app/* /.sessions; touch /.sessions"})]),
        Turn(calls=[Call("shell", {"command": "echo hello"})]),
    ]
    with running_model_server([Player("p", scripts=[Script(turns=turns)])]) as server:
        model = f"compatible/p,base_url={server.base_url_for('openai-responses')},key_env=MODEL_KEY"
        ran = desk.run(str(desk.task()), "-m", model, MODEL_KEY="any-key")
    row = ran.rows[0]
    assert (row["end_state"], row["passed"], row["attempts"]) == ("verdict", False, 1), ran.err
    assert ran.events("agent_ended")[0]["reason"] == "error"
