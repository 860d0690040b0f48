"""Faults as they travel: which status and body stand for a kind, and how a stream is broken."""

from __future__ import annotations

from harness.testing.model_server.asked import Asked, Dialect, Frame, Reply
from harness.testing.model_server.refused import Refused
from harness.testing.players import Fault

HTML_PAGE = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n"
    b"<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n"
)


def refusal(fault: Fault, dialect: Dialect, asked: Asked, window: int) -> Refused | None:
    """Return the error answer that a fault stands for, ``None`` when it is of another sort."""
    anthropic = dialect.api == "anthropic-messages"
    match fault.kind:
        case "rate_limit":
            text = "This request would exceed your account's rate limit." if anthropic else "Rate limit reached."
            headers = {"retry-after": f"{fault.retry_after_s:g}"}
            return Refused(429, text, kind="requests", code="rate_limit_exceeded", headers=headers)
        case "quota" if not anthropic:
            text = "You exceeded your current quota, please check your plan and billing details."
            return Refused(429, text, kind="insufficient_quota", code="insufficient_quota")
        case "quota" | "payment":
            text = "Your credit balance is too low to access the API." if anthropic else "Insufficient balance."
            return Refused(402, text, kind="billing_error", code="billing_not_active")
        case "auth":
            return Refused(
                401, "invalid x-api-key" if anthropic else "Incorrect API key provided.", code="invalid_api_key"
            )
        case "server_error":
            text = (
                "Internal server error" if anthropic else "The server had an error while processing your request."
            )
            return Refused(500, text, kind="server_error")
        case "unavailable":
            return Refused(503, "The service is temporarily unavailable.", kind="server_error")
        case "overloaded":
            return Refused(529, "Overloaded", kind="server_error", code="overloaded")
        case "context_overflow":
            return dialect.overflow(asked, min(window, max(1, asked.input_tokens - 1)))
        case _:
            return None


def bent_frames(fault: Fault | None, dialect: Dialect, reply: Reply, asked: Asked) -> list[Frame]:
    """Return a reply's events, broken as the fault wants; cuts in mid-stream happen while sending."""
    frames = dialect.frames(reply, asked)
    match fault.kind if fault else None:
        case "no_terminal":
            return frames[: -dialect.terminal_frames(reply, asked)]
        case "bad_json":
            middle = len(frames) // 2
            broken = Frame(event=frames[middle].event, data=frames[middle].data[: len(frames[middle].data) // 2])
            return [*frames[:middle], broken, *frames[middle + 1 :]]
        case "error_event":
            return dialect.error_frames(reply, asked, bare=False)
        case "error_frame":
            return dialect.error_frames(reply, asked, bare=True)
        case _:
            return frames
