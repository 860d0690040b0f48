"""Which models there are, as both families of services list them."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from harness.testing.model_server.refused import Refused
from harness.testing.players import Player

Json = dict[str, JsonValue]

_BORN = 1_750_000_000
_BORN_TEXT = "2025-06-15T15:06:40Z"


def unknown_model(name: str, *, anthropic: bool) -> Refused:
    """Return the refusal of a model that nobody knows."""
    if anthropic:
        return Refused(404, f"model: {name}")
    text = f"The model `{name}` does not exist or you do not have access to it."
    return Refused(404, text, param=None, code="model_not_found")


def listing(players: Mapping[str, Player], name: str | None, *, anthropic: bool) -> Json:
    """Return all models, or the one called ``name``."""
    if name is not None:
        if name not in players:
            raise unknown_model(name, anthropic=anthropic)
        return _anthropic(players[name]) if anthropic else _openai(players[name])
    if not anthropic:
        return {"object": "list", "data": [_openai(player) for player in players.values()]}
    names = list(players)
    return {
        "data": [_anthropic(player) for player in players.values()],
        "has_more": False,
        "first_id": names[0] if names else None,
        "last_id": names[-1] if names else None,
    }


def _openai(player: Player) -> Json:
    return {"id": player.name, "object": "model", "created": _BORN, "owned_by": "scripted-player"}


def _anthropic(player: Player) -> Json:
    return {
        "id": player.name,
        "type": "model",
        "created_at": _BORN_TEXT,
        "display_name": player.description or player.name,
        "lifecycle": "active",
        "max_input_tokens": player.context_window,
        "max_tokens": 64_000,
    }
