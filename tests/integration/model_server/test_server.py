"""What all protocols share: keys, paths, models, the log, many clients, the command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anthropic
import anyio
import httpx2
import openai
import pytest

from harness.testing.model_server import NO_SCRIPT, ModelServer, running_model_server
from harness.testing.players import Call, Fault, Player, Script, Turn

TURNS = [Turn(calls=[Call("shell", {"command": "ls"})]), Turn(say="Done.")]
PLAYER = Player("p", scripts=[Script(turns=TURNS)])
pytestmark = pytest.mark.anyio


def chat(base_url: str, **more: Any) -> httpx2.Response:
    body = {"model": "p", "messages": [{"role": "user", "content": "task"}]} | more
    return httpx2.post(f"{base_url}/v1/chat/completions", json=body, headers={"authorization": "Bearer k"})


def test_a_missing_or_wrong_key_is_refused() -> None:
    with running_model_server([PLAYER], keys=["right"]) as server:
        wrong = openai.OpenAI(api_key="sk-wrong-key", base_url=f"{server.base_url}/v1", max_retries=0)
        with pytest.raises(openai.AuthenticationError, match=r"Incorrect API key provided: sk-\*\*\*ey") as caught:
            wrong.models.list()
        assert caught.value.code == "invalid_api_key"
        claude = anthropic.Anthropic(api_key="wrong", base_url=server.base_url, max_retries=0)
        with pytest.raises(anthropic.AuthenticationError, match=r"authentication_error.*invalid x-api-key"):
            claude.models.list()
        assert httpx2.get(f"{server.base_url}/v1/models").status_code == 401
        old = {"x-api-key": "right", "anthropic-version": "2023-06-01"}
        assert httpx2.get(f"{server.base_url}/v1/models", headers=old).status_code == 200
        right = openai.OpenAI(api_key="right", base_url=f"{server.base_url}/v1")
        assert [model.id for model in right.models.list()] == ["p"]
        assert "right" not in repr(server.requests)


def test_any_key_does_where_none_was_set() -> None:
    with running_model_server([PLAYER]) as server:
        claude = anthropic.Anthropic(api_key="whatever", base_url=server.base_url)
        assert [model.id for model in claude.models.list()] == ["p"]
        assert claude.models.retrieve("p").max_input_tokens == PLAYER.context_window


def test_an_unknown_model_or_path_is_a_404() -> None:
    with running_model_server([PLAYER]) as server:
        gpt = openai.OpenAI(api_key="k", base_url=f"{server.base_url}/v1", max_retries=0)
        for ask in (
            lambda: gpt.responses.create(model="q", input="x"),
            lambda: gpt.chat.completions.create(model="q", messages=[{"role": "user", "content": "x"}]),
            lambda: gpt.models.retrieve("q"),
        ):
            with pytest.raises(openai.NotFoundError, match="The model `q` does not exist") as caught:
                ask()
            assert caught.value.code == "model_not_found"
        claude = anthropic.Anthropic(api_key="k", base_url=server.base_url, max_retries=0)
        with pytest.raises(anthropic.NotFoundError, match=r"not_found_error.*model: q"):
            claude.messages.create(model="q", max_tokens=9, messages=[{"role": "user", "content": "x"}])
        with pytest.raises(openai.NotFoundError, match=r"Invalid URL \(POST /v1/embeddings\)"):
            gpt.embeddings.create(model="p", input="x")
        headers = {"authorization": "Bearer k"}
        assert httpx2.get(f"{server.base_url}/v1/chat/completions", headers=headers).status_code == 405


def test_a_body_that_is_no_json_object_is_refused() -> None:
    headers = {"authorization": "Bearer k"}
    with running_model_server([PLAYER]) as server:
        for content in (b"", b"{", b"[]", b"\xff"):
            answer = httpx2.post(f"{server.base_url}/v1/responses", content=content, headers=headers)
            assert answer.status_code == 400
            assert "could not parse the JSON body" in answer.json()["error"]["message"]
        nameless = httpx2.post(f"{server.base_url}/v1/responses", json={}, headers=headers)
        assert "must provide a model" in nameless.json()["error"]["message"]


def test_the_log_tells_what_was_served_and_keeps_bodies_only_when_asked() -> None:
    with running_model_server([PLAYER], keep_bodies=True) as server:
        answer = chat(server.base_url)
        assert answer.status_code == 200
        (entry,) = server.requests
        assert (entry.api, entry.model, entry.player, entry.turn, entry.number) == ("openai-chat", "p", "p", 1, 1)
        assert entry.body == {"model": "p", "messages": [{"role": "user", "content": "task"}]}
        assert "authorization" not in entry.headers
        assert entry.request_id == answer.headers["x-request-id"]
        assert entry.request_bytes > 0
        assert entry.response_bytes > 0
    with running_model_server([PLAYER]) as server:
        chat(server.base_url)
        assert server.requests[0].body is None


def test_an_unknown_task_gets_an_honest_answer_and_is_counted() -> None:
    player = Player("p", scripts=[Script(turns=TURNS, match="another task")])
    with running_model_server([player]) as server:
        assert chat(server.base_url).json()["choices"][0]["message"]["content"] == NO_SCRIPT
        assert server.unscripted == 1
        assert server.requests[0].script is None


def test_drift_from_the_script_is_said_aloud() -> None:
    turns = [TURNS[0], Turn(say="All 3 passed.", expect=r"^3 passed")]
    with running_model_server([Player("p", scripts=[Script(turns=turns)])]) as server:
        reply = chat(server.base_url).json()["choices"][0]["message"]
        call_id = reply["tool_calls"][0]["id"]
        for output, said in (("ok\n3 passed", "All 3 passed."), ("1 failed", "The script expected '^3 passed'")):
            result = {"role": "tool", "tool_call_id": call_id, "content": output}
            answer = chat(server.base_url, messages=[{"role": "user", "content": "task"}, reply, result])
            assert answer.json()["choices"][0]["message"]["content"].startswith(said)
        assert server.drifted == 1


def test_ids_are_the_same_in_every_run_and_differ_between_conversations() -> None:
    def call_id(key: str) -> str:
        with running_model_server([PLAYER]) as server:
            answer = chat(server.base_url, prompt_cache_key=key).json()
            return str(answer["choices"][0]["message"]["tool_calls"][0]["id"])

    assert call_id("trial 1") == call_id("trial 1") != call_id("trial 2")


def test_a_restarted_server_knows_what_it_signed() -> None:
    player = Player("p", scripts=[Script(turns=[Turn(reasoning="Hm.", calls=TURNS[0].calls), TURNS[1]])])
    messages: list[Any] = [{"role": "user", "content": "task"}]
    settings: Any = {"model": "p", "max_tokens": 1000}
    with running_model_server([player]) as server:
        claude = anthropic.Anthropic(api_key="k", base_url=server.base_url)
        reply = claude.messages.create(messages=messages, **settings)
    messages.append({"role": "assistant", "content": [block.to_dict() for block in reply.content]})
    result = {"type": "tool_result", "tool_use_id": messages[1]["content"][1]["id"], "content": "ok"}
    messages.append({"role": "user", "content": [result]})
    with running_model_server([player]) as server:
        claude = anthropic.Anthropic(api_key="k", base_url=server.base_url)
        assert claude.messages.create(messages=messages, **settings).stop_reason == "end_turn"


async def test_two_hundred_streams_at_once_are_kept_apart(anyio_backend: str) -> None:
    turns = [Turn(say=f"Reply {number}. " * 20, calls=TURNS[0].calls) for number in range(3)]
    player = Player("p", scripts=[Script(turns=turns)])
    ends: list[str] = []

    async def play(client: openai.AsyncOpenAI, trial: int) -> None:
        items: list[Any] = [{"role": "user", "content": f"task {trial}"}]
        for number in range(3):
            stream = await client.responses.create(model="p", input=items, stream=True)
            events = [event async for event in stream]
            response = events[-1].response  # type: ignore[union-attr]
            assert response.output_text == f"Reply {number}. " * 20
            items += [item.to_dict(exclude_none=True) for item in response.output]
            items.append({"type": "function_call_output", "call_id": items[-1]["call_id"], "output": "ok"})
        ends.append(items[-1]["call_id"])

    async with (
        ModelServer([player]) as server,
        openai.AsyncOpenAI(
            api_key="k", base_url=f"{server.base_url}/v1", max_retries=0, http_client=_wide_client()
        ) as client,
        anyio.create_task_group() as tasks,
    ):
        for trial in range(200):
            tasks.start_soon(play, client, trial)
    assert len(set(ends)) == 200
    assert [item.number for item in server.requests] == [1] * 600
    assert all(item.finished for item in server.requests)
    assert server.unscripted == 0


def _wide_client() -> Any:
    return openai.DefaultAsyncHttpxClient(limits=httpx2.Limits(max_connections=200), timeout=60)


async def test_a_client_that_leaves_harms_nobody(anyio_backend: str) -> None:
    async with ModelServer([PLAYER], faults=[Fault("stall_stream"), Fault("stall", turn=2)]) as server:
        async with openai.AsyncOpenAI(api_key="k", base_url=f"{server.base_url}/v1", max_retries=0) as client:
            with anyio.move_on_after(0.3) as scope:
                stream = await client.responses.create(model="p", input="task", stream=True)
                async for _ in stream:
                    pass
            assert scope.cancelled_caught
            assert (await client.responses.create(model="p", input="task")).status == "completed"
        connection = await anyio.connect_tcp("127.0.0.1", int(server.base_url.rpartition(":")[2]))
        await connection.send(b"GARBAGE\r\n\r\n")
        await connection.aclose()
        async with httpx2.AsyncClient(headers={"authorization": "Bearer k"}) as plain:
            assert (await plain.get(f"{server.base_url}/v1/models")).status_code == 200


async def test_a_server_in_use_can_be_stopped(anyio_backend: str) -> None:
    async with ModelServer([PLAYER], faults=[Fault("stall")]) as server, anyio.create_task_group() as tasks:

        async def ask() -> None:
            async with openai.AsyncOpenAI(api_key="k", base_url=f"{server.base_url}/v1", max_retries=0) as client:
                await client.responses.create(model="p", input="task")

        tasks.start_soon(ask)
        with anyio.fail_after(20):
            while not server.requests:  # noqa: ASYNC110 - the server tells nobody
                await anyio.sleep(0.01)
        tasks.cancel_scope.cancel()
    assert server.requests[0].finished is False


async def test_a_server_in_a_cancelled_scope_ends(anyio_backend: str) -> None:
    with anyio.move_on_after(0.1) as scope:
        async with ModelServer([PLAYER]) as server:
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    with pytest.raises(httpx2.ConnectError):
        await anyio.to_thread.run_sync(chat, server.base_url)


def test_an_error_in_the_block_comes_out_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError), running_model_server([PLAYER]) as server:
        assert chat(server.base_url).status_code == 200 / 0


def test_the_command_serves_a_folder_of_players(tmp_path: Path) -> None:
    folder = tmp_path / "hasty"
    folder.mkdir()
    (folder / "player.toml").write_text('api = "openai-chat"\n')
    (folder / "task.toml").write_text('match = "task"\n[[turn]]\nsay = "Quick."\n')
    command = [sys.executable, "-m", "harness.testing.model_server", "--players", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        base_url = process.stdout.readline().strip()
        answer = chat(base_url, model="hasty")
        os.kill(process.pid, signal.SIGINT)
        process.communicate(timeout=20)
    assert answer.json()["choices"][0]["message"]["content"] == "Quick."
    assert process.returncode == 130


def test_the_command_names_what_is_wrong(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "harness.testing.model_server", "--players", str(tmp_path / "none")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "There is no folder" in done.stderr
