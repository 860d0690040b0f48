"""Doing a thing once: among tasks, among processes, and remembering what did not answer."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import anyio
import pytest

from harness.sandbox.docker.once import SingleFlight, machine_lock
from harness.sandbox.docker.unreachable import Unreachable

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


async def test_those_who_ask_at_the_same_time_share_one_piece_of_work() -> None:
    flights: SingleFlight[int] = SingleFlight()
    done: list[int] = []
    answers: list[tuple[int, bool]] = []

    async def work() -> int:
        await anyio.sleep(0.01)
        done.append(1)
        return len(done)

    async def ask() -> None:
        answers.append(await flights.share("key", work))

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(ask)
    assert [answer for answer, _ in answers] == [1] * 5
    assert sum(own for _, own in answers) == 1
    assert await flights.share("key", work) == (2, True)


async def test_a_failure_is_shared_by_those_who_wait_and_forgotten_after() -> None:
    flights: SingleFlight[int] = SingleFlight()
    tries: list[int] = []
    failed: list[str] = []

    async def work() -> int:
        tries.append(1)
        await anyio.sleep(0.01)
        raise ValueError("no")

    async def ask() -> None:
        try:
            await flights.share("key", work)
        except ValueError as error:
            failed.append(str(error))

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(ask)
    assert failed == ["no"] * 3
    assert len(tries) == 1
    await ask()
    assert len(tries) == 2


async def test_when_the_one_that_works_is_cancelled_another_takes_over() -> None:
    flights: SingleFlight[str] = SingleFlight()
    first = anyio.CancelScope()
    began = anyio.Event()
    answers: list[tuple[str, bool]] = []

    async def never() -> str:
        began.set()
        await anyio.sleep_forever()
        raise AssertionError

    async def leader() -> None:
        with first:
            await flights.share("key", never)

    async def work() -> str:
        return "done"

    async def follower() -> None:
        answers.append(await flights.share("key", work))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(leader)
        await began.wait()
        tasks.start_soon(follower)
        await anyio.sleep(0.01)
        first.cancel()
    assert answers == [("done", True)]


HOLDER = """
import anyio
from harness.sandbox.docker.once import machine_lock

async def go():
    async with machine_lock("thing"):
        print("held", flush=True)
        await anyio.sleep_forever()

anyio.run(go)
"""


async def test_a_lock_holds_against_another_process_and_is_free_when_that_dies() -> None:
    async with await anyio.open_process([sys.executable, "-c", HOLDER]) as other:
        try:
            assert other.stdout is not None
            assert (await other.stdout.receive()).strip() == b"held"
            waits: list[int] = []
            with anyio.move_on_after(0.3) as patience:
                async with machine_lock("thing", on_wait=lambda: waits.append(1)):
                    pass
            assert patience.cancelled_caught
            assert waits == [1]
        finally:
            other.kill()
    with anyio.fail_after(30):
        async with machine_lock("thing"):
            pass


async def test_an_unreachable_place_is_remembered_by_others_for_an_hour(tmp_path: Path) -> None:
    path = tmp_path / "memory.json"
    Unreachable(path).remember("docker.io", "no such host")
    Unreachable(path).remember("ghcr.io", "refused")
    assert Unreachable(path).why("docker.io") == "no such host"
    assert Unreachable(path).why("quay.io") is None
    path.write_text(json.dumps({"docker.io": [time.time() - 3700, "no such host"]}))
    assert Unreachable(path).why("docker.io") is None


@pytest.mark.parametrize("text", ["", "[]", "{", '{"docker.io": 1}', '{"docker.io": ["x", "y"]}'])
async def test_a_damaged_memory_is_an_empty_one(tmp_path: Path, text: str) -> None:
    path = tmp_path / "memory.json"
    path.write_text(text)
    assert Unreachable(path).why("docker.io") is None
    Unreachable(path).remember("docker.io", "no such host")
    assert Unreachable(path).why("docker.io") == "no such host"
