"""A conversation with any adapter over a real connection to the strict loopback server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from harness.model import build_model
from harness.ports import Exchange, Model
from harness.schema.candidate import Api, ModelSettings, Price
from harness.schema.message import (
    ImagePart,
    Part,
    Reply,
    ReplyItem,
    ResultsItem,
    TextPart,
    ToolCall,
    ToolResult,
    ToolSpec,
    UserItem,
    View,
    ViewItem,
)
from harness.testing.model_server import ModelServer
from harness.testing.players import Call, Fault, Player, Script, Turn

KEY = "sk-contract-0123456789abcdef"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
TOOLS = tuple(
    ToolSpec(
        name=name,
        description=f"The tool {name}.",
        parameters={"type": "object", "properties": {"what": {"type": "string"}}, "required": ["what"]},
    )
    for name in ("shell", "view_image")
)
PLAYER = Player(
    "player-1",
    scripts=(
        Script(
            match="Look around",
            turns=(
                Turn(
                    reasoning="Two commands at once — that is quicker. 🧭",
                    say="I look at both places.",
                    calls=(Call("shell", {"what": "ls /a"}), Call("shell", {"what": 'grep "é\u2028x" /b'})),
                ),
                Turn(
                    reasoning="Now the picture.",
                    calls=(Call("view_image", {"what": "/c.png"}), Call("shell", {"what": "pwd"})),
                ),
                Turn(say="One more.", calls=(Call("shell", {"what": "true"}),)),
                Turn(say="All is well."),
            ),
        ),
    ),
    must_return_reasoning=True,
)


@dataclass
class Talk:
    """A model under test, the server behind it, and what was exchanged."""

    model: Model
    server: ModelServer
    items: list[ViewItem] = field(default_factory=lambda: [user("Look around.")])
    exchanges: list[Exchange] = field(default_factory=list)

    async def ask(self, timeout_s: float | None = 20) -> Reply:
        """Ask once for the conversation so far."""
        view = View(system="You are tested.", tools=TOOLS, items=tuple(self.items))
        return await self.model.reply(view, timeout_s=timeout_s, on_exchange=self.exchanges.append)

    async def go_on(self) -> Reply:
        """Ask, then answer every call."""
        reply = await self.ask()
        self.items.append(ReplyItem(reply=reply))
        if reply.calls:
            self.items.append(ResultsItem(results=tuple(result(call) for call in reply.calls)))
        return reply


def user(text: str) -> UserItem:
    return UserItem(parts=(TextPart(text=text),))


def result(call: ToolCall) -> ToolResult:
    parts: Sequence[Part] = (TextPart(text=f"{call.name} did {call.arguments}"),)
    if call.name == "view_image":
        parts = (*parts, ImagePart(media_type="image/png", data_b64=PIXEL))
    return ToolResult(call_id=call.call_id, name=call.name, parts=tuple(parts))


Start = Callable[..., "OpenTalk"]


class OpenTalk:
    """Opens a server and a model for one protocol; use as ``async with``."""

    def __init__(
        self, api: Api, *faults: Fault, player: Player = PLAYER, idle_timeout_s: float = 20, **settings: object
    ):
        self._opened = _open(api, faults, player, idle_timeout_s, settings)

    async def __aenter__(self) -> Talk:
        return await self._opened.__aenter__()

    async def __aexit__(self, *error: object) -> None:
        await self._opened.__aexit__(*error)  # type: ignore[arg-type]


@asynccontextmanager
async def _open(
    api: Api, faults: Sequence[Fault], player: Player, idle_timeout_s: float, settings: dict[str, object]
) -> AsyncIterator[Talk]:
    async with ModelServer([player], keys={KEY}, faults=faults, keep_bodies=True) as server:
        fields: dict[str, object] = {
            "provider": "loopback",
            "name": player.name,
            "api": api,
            "base_url": server.base_url_for(api),
            "key_env": "LOOPBACK_KEY",
            "options": {"reasoning_summary": "auto"} if api == "openai-responses" else {},
            "price": Price(input_mtok=1, output_mtok=10, cached_mtok=0.1),
        }
        made = ModelSettings.model_validate(fields | settings)
        model = build_model(made, api_key=KEY, idle_timeout_s=idle_timeout_s, cache_key="trial-1")
        try:
            yield Talk(model=model, server=server)
        finally:
            await model.close()
