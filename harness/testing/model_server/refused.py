"""How a service says no: the refusal itself, and the two shapes of error bodies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue


@dataclass(eq=False)
class Refused(Exception):  # noqa: N818 - it is an answer, not a failure of the server
    """An answer other than 200. ``param`` and ``code`` are OpenAI's; Messages has only type and message."""

    status: int
    message: str
    kind: str = "invalid_request_error"
    param: str | None = None
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


_MESSAGES_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "api_error",
    529: "overloaded_error",
}


def openai_error(refused: Refused) -> dict[str, JsonValue]:
    """Return the body that the OpenAI services send."""
    return {
        "error": {
            "message": refused.message,
            "type": refused.kind,
            "param": refused.param,
            "code": refused.code,
        }
    }


def anthropic_error(refused: Refused, request_id: str) -> dict[str, JsonValue]:
    """Return the body that the Messages service sends."""
    kind = _MESSAGES_KINDS.get(refused.status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": refused.message}, "request_id": request_id}
