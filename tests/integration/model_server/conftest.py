"""A running server with one player, and its clients."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import openai
import pytest
from pydantic import BaseModel

from harness.testing.model_server import ModelServer, running_model_server
from harness.testing.players import Call, Player, Script, Turn

SCRIPT = Script(
    name="look",
    match="mend the tree",
    turns=[
        Turn(
            say="Let me look around.",
            reasoning="I know nothing of this tree, so I look first.",
            calls=[
                Call("shell", {"command": "ls -la && echo 'hällo \"you\"'\n"}),
                Call("shell", {"command": "pwd"}),
            ],
        ),
        Turn(calls=[Call("edit", {"path": "a.py", "text": "x = 1\n" * 40})]),
        Turn(say="Done: the tree is mended.", reasoning="All seen."),
    ],
)
PLAYER = Player("careful", scripts=[SCRIPT], context_window=20_000)
TASK = "Please mend the tree."
PARAMETERS = {
    "type": "object",
    "properties": {"command": {"type": "string"}},
    "required": ["command"],
    "additionalProperties": False,
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def player() -> Player:
    return PLAYER


@pytest.fixture
def task() -> str:
    return TASK


@pytest.fixture
def parameters() -> dict[str, Any]:
    return PARAMETERS


@pytest.fixture(scope="session")
def server() -> Iterator[ModelServer]:
    with running_model_server([PLAYER]) as running:
        yield running


@pytest.fixture
def gpt(server: ModelServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="k", base_url=server.base_url_for("openai-chat"), max_retries=0) as client:
        yield client


@pytest.fixture
def claude(server: ModelServer) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(
        api_key="k", base_url=server.base_url_for("anthropic-messages"), max_retries=0
    ) as client:
        yield client


@pytest.fixture
def picture() -> str:
    """A real PNG of one pixel, as base64."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    data = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + data).decode()


def _check(model: BaseModel, allowed: set[str]) -> None:
    assert set(model.model_extra or {}) <= allowed, f"{type(model).__name__}: {model.model_extra}"
    for name in type(model).model_fields:
        value = getattr(model, name)
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, BaseModel):
                _check(item, allowed)


@pytest.fixture
def well_formed() -> Callable[..., None]:
    """Check that an SDK's object is valid by its own declaration and has no field that it does not declare."""

    def check(model: BaseModel, *allowed: str) -> None:
        type(model).model_validate_json(model.model_dump_json(by_alias=True))
        _check(model, set(allowed))

    return check
