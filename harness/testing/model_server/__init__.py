"""A loopback server that speaks OpenAI Responses, OpenAI Chat Completions and Anthropic Messages, strictly.

It stands where the real services stand, so that the real clients and our adapters are tried over real HTTP.
It owns wire formats, strictness, faults and a log; what is answered comes from scripted players
(``harness.testing.players``).
"""

from __future__ import annotations

from harness.testing.model_server.exchange import ServedRequest
from harness.testing.model_server.play import NO_SCRIPT, REFUSAL, UNKNOWN_TOOL
from harness.testing.model_server.server import ModelServer, running_model_server

__all__ = ["NO_SCRIPT", "REFUSAL", "UNKNOWN_TOOL", "ModelServer", "ServedRequest", "running_model_server"]
