"""Candidates over real clients to the strict server: faults of the model, of the provider, and the record."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from harness.schema.candidate import Api
from harness.testing.model_server import ModelServer, running_model_server
from harness.testing.players import Call, Fault, Player, Script, Turn
from tests.e2e.desk import Desk, Ran

pytestmark = pytest.mark.docker

KEY = "sk-very-secret-0123456789"
SUBMIT = Call("submit", {"summary": "The sum is written.", "confident": True})
WORK = Call("shell", {"command": "awk '{ s += $1 } END { print s }' numbers.txt > total.txt; cat total.txt"})
APIS: tuple[Api, ...] = ("openai-responses", "openai-chat", "anthropic-messages")


def player(*turns: Turn) -> Player:
    return Player("p", scripts=[Script(turns=turns)])


def run(desk: Desk, server: ModelServer, api: Api, *arguments: str, repeats: int = 1) -> Ran:
    model = f"compatible/p,api={api},base_url={server.base_url_for(api)},key_env=MODEL_KEY"
    return desk.run(str(desk.task()), "-m", model, "-n", str(repeats), *arguments, MODEL_KEY=KEY)


def served(server: ModelServer) -> list[tuple[int | None, int | None]]:
    return [(request.turn, request.status) for request in server.requests]


@pytest.mark.parametrize("api", APIS)
def test_a_whole_trial_over_each_protocol_with_the_mistakes_that_models_make(desk: Desk, api: Api) -> None:
    turns: Sequence[Turn] = (
        Turn(say="I look.", calls=[Call("shell", {"command": "ls -la"}), Call("browse", {"url": "x"})]),
        Turn(reasoning="Hm.", calls=[Call("shell", '{"command": "oops')]),
        Turn(calls=[Call("edit", {"action": "create", "path": "total.txt"}), Call("shell", {"cmd": "ls"})]),
        Turn(say="No tool this time."),
        Turn(calls=[Call("edit", {"action": "create", "path": "total.txt", "text": "41\n"})]),
        Turn(calls=[Call("edit", {"action": "replace", "path": "total.txt", "old": "41", "new": "42"})]),
        Turn(say="Done.", calls=[SUBMIT]),
    )
    with running_model_server([player(*turns)], keys=[KEY]) as server:
        ran = run(desk, server, api)
    row = ran.rows[0]
    assert (row["end_state"], row["passed"], row["turns"]) == ("verdict", True, 7), ran.err
    assert [status for _, status in served(server)] == [200] * 7
    rejected = [event["result"]["parts"][0]["text"] for event in ran.events("tool_ended") if event["rejected"]]
    assert len(rejected) == 2
    assert "no tool 'browse'" in rejected[0]
    assert sum(event["result"]["is_error"] for event in ran.events("tool_ended")) == 4
    assert ran.events("agent_ended")[0]["claim"] == "The sum is written."
    assert row["cost_usd"] is None
    assert row["tokens"] > 0


@pytest.mark.parametrize("api", APIS)
def test_faults_of_the_provider_are_tried_again_and_each_try_is_an_event(desk: Desk, api: Api) -> None:
    faults = [
        Fault("overloaded", turn=1),
        Fault("drop_stream", turn=2),
        Fault("rate_limit", turn=2, retry_after_s=0.2),
    ]
    with running_model_server(
        [player(Turn(calls=[WORK]), Turn(calls=[SUBMIT]))], keys=[KEY], faults=faults
    ) as server:
        ran = run(desk, server, api)
    row = ran.rows[0]
    assert (row["end_state"], row["passed"], row["attempts"]) == ("verdict", True, 1), ran.err
    tries = [(event["turn"], event["try_number"], event["error"] is None) for event in ran.events("model_called")]
    assert tries == [(1, 1, False), (1, 2, True), (2, 1, False), (2, 2, False), (2, 3, True)]


def test_a_refused_key_is_infra_and_stops_only_that_candidate(desk: Desk) -> None:
    with running_model_server([player(Turn(calls=[SUBMIT]))], keys=["another"]) as server:
        ran = run(desk, server, "openai-chat", "-a", "loop", "-a", "nop", "-j", "1", repeats=3)
    ends = {(row["candidate"].partition(",")[0], row["repeat"]): row["end_state"] for row in ran.rows}
    assert ends["nop", 1] == "verdict"
    assert sorted(ends["compatible/p", repeat] for repeat in (1, 2, 3)) == ["infra", "missing", "missing"]
    assert ran.code == 3
    assert ran.events("failed")[0]["error"]["type"] == "ModelAccessError"


def test_a_turn_limit_ends_the_work_and_the_work_is_verified(desk: Desk) -> None:
    with running_model_server([player(Turn(calls=[WORK]), *[Turn(calls=[WORK])] * 20)]) as server:
        ran = run(desk, server, "openai-responses", "--max-turns", "3")
    row = ran.rows[0]
    assert (row["end_state"], row["passed"], row["turns"]) == ("limit", True, 3), ran.err
    assert ran.code == 0


def test_a_context_that_overflows_is_a_limit_and_not_a_fault(desk: Desk) -> None:
    faults = [Fault("context_overflow", turn=2, times=50)]
    with running_model_server([player(Turn(calls=[WORK]), Turn(calls=[SUBMIT]))], faults=faults) as server:
        ran = run(desk, server, "anthropic-messages")
    row = ran.rows[0]
    assert (row["end_state"], row["passed"]) == ("limit", True), ran.err
    assert ran.events("limit_reached")[0]["limit"]["kind"] == "context"


def test_a_command_that_passes_its_time_is_told_to_the_model_and_the_shell_goes_on(desk: Desk) -> None:
    slow = Call("shell", {"command": "cd /tmp; echo begun; sleep 600", "timeout_s": 1})
    after = Call("shell", {"command": "pwd"})
    with running_model_server([player(Turn(calls=[slow]), Turn(calls=[after]), Turn(calls=[SUBMIT]))]) as server:
        ran = run(desk, server, "openai-chat")
    first, second, _ = (event["result"]["parts"][0]["text"] for event in ran.events("tool_ended"))
    assert "begun" in first
    assert "killed after" in first
    assert second.startswith("/tmp")


def test_a_model_that_never_calls_a_tool_is_reminded_and_then_given_up(desk: Desk) -> None:
    with running_model_server([player(*[Turn(say="I think about it.")] * 10)]) as server:
        ran = run(desk, server, "openai-responses")
    row = ran.rows[0]
    assert (row["end_state"], row["passed"], row["turns"]) == ("verdict", False, 3), ran.err
    assert ran.events("agent_ended")[0]["reason"] == "gave_up"


def test_no_file_of_the_run_holds_the_key_even_if_the_model_prints_it(desk: Desk) -> None:
    leak = Call("shell", {"command": f"echo {KEY}; echo {KEY} | base64; echo {KEY} > leaked.txt"})
    with running_model_server([player(Turn(calls=[leak]), Turn(calls=[SUBMIT]))], keys=[KEY]) as server:
        ran = run(desk, server, "anthropic-messages")
    assert ran.rows[0]["end_state"] == "verdict", ran.err
    holding = [
        str(path.relative_to(ran.folder))
        for path in ran.folder.rglob("*")
        if path.is_file() and KEY.encode() in path.read_bytes()
    ]
    assert holding == []


def test_every_request_can_be_rebuilt_from_the_record(desk: Desk) -> None:
    turns = [Turn(say=f"Step {n}.", calls=[WORK]) for n in range(4)] + [Turn(calls=[SUBMIT])]
    with running_model_server([player(*turns)], keep_bodies=True) as server:
        ran = run(desk, server, "openai-responses")
        sent = [dict(request.body or {}) for request in server.requests]
    history: list[object] = []
    for event, body in zip(ran.events("model_called"), sent, strict=True):
        history = history[: event["history_kept"]] + event["history_added"]
        rebuilt = {**event["request"], event["history_field"]: history}
        assert json.loads(json.dumps(rebuilt)) == body


def test_a_prompt_file_of_ones_own_replaces_the_loops_and_makes_another_candidate(desk: Desk) -> None:
    prompt = desk.folder / "mine.md"
    prompt.write_text("Be brief.\n=== task\nDo this: $instruction\n")
    with running_model_server([player(Turn(calls=[SUBMIT]))], keep_bodies=True) as server:
        ran = run(desk, server, "openai-responses", "--prompt", str(prompt))
        sent = dict(server.requests[0].body or {})
    assert sent["instructions"] == "Be brief."
    assert "Do this: The file `/app/numbers.txt`" in json.dumps(sent["input"])
    shown = ran.events("prompt_shown")[0]
    assert (shown["system"], shown["sources"]["system"]) == ("Be brief.", "mine.md")
