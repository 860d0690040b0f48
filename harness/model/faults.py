"""What a provider's failure means: from a status, a code and a message to the error class that fits.

The only place that knows providers' error codes. Codes decide where there are any; a message's text only
where a provider has nothing else to tell the case by.
"""

from __future__ import annotations

import email.utils
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import JsonValue

from harness.errors import (
    ContextOverflowError,
    ModelAccessError,
    ModelError,
    ModelQuotaError,
    ModelRequestError,
    ModelUnavailableError,
)
from harness.model.reading import as_object, as_text

_MESSAGE_LIMIT = 600
_DETAIL_LIMIT = 8_000


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A failure as the provider, or the way to it, told it.

    ``status`` is the HTTP status, ``None`` for faults inside a stream or on the way. ``code`` is the
    provider's code or error type, or one of ours: ``connection``, ``timeout``, ``cut``, ``malformed``,
    ``empty``, ``failed``.
    """

    message: str
    status: int | None = None
    code: str = ""
    body: str = ""
    retry_after_s: float | None = None


class ProviderFault(Exception):  # noqa: N818 - not yet an error: ``model_error`` says which
    """Carries a fault out of a stream to the one place where it is translated."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


_OUR_CODES = frozenset({"connection", "timeout", "cut", "malformed", "empty", "failed"})
_OVERFLOW_CODES = frozenset(
    {"context_length_exceeded", "model_context_window_exceeded", "exceed_context_size_error"}
)
_OVERFLOW_TEXT = re.compile(
    r"prompt is too long|maximum context length|context length exceeded|exceeds? the (model'?s )?"
    r"(available |maximum |max )?context|exceeds? the context window|input token count .{0,40}exceeds the maximum",
    re.IGNORECASE,
)
_QUOTA_CODES = frozenset(
    {
        "insufficient_quota",
        "billing_hard_limit_reached",
        "billing_not_active",
        "billing_error",
        "exceeded_current_quota_error",
        "insufficient_balance",
    }
)
_QUOTA_TEXT = re.compile(r"credit balance is too low|insufficient balance", re.IGNORECASE)
_ACCESS_CODES = frozenset(
    {
        "invalid_api_key",
        "authentication_error",
        "permission_error",
        "permission_denied",
        "not_found_error",
        "model_not_found",
    }
)
_ACCESS_TEXT = re.compile(r"model not exist|model_not_found", re.IGNORECASE)
_REQUEST_CODES = re.compile(
    r"^(invalid_|unsupported_|image_|empty_image|failed_to_download_image|request_too_large|.*_policy(_|$)|data_residency)"
)
_RETRYABLE_STATUS = frozenset({408, 409, 425, 429})


def model_error(fault: Fault, *, who: str, key_name: str | None) -> ModelError:
    """Return the error for a fault. ``who`` is the model as the user wrote it; ``key_name`` its variable."""
    kind = _kind(fault)
    code = "" if fault.code in _OUR_CODES else fault.code
    said = f"HTTP {fault.status}" if fault.status is not None else ""
    said = f"{said} ({code})" if said and code else said or code
    return kind(
        f"{who} failed{f' with {said}' if said else ''}: {_short(fault.message, _MESSAGE_LIMIT)}",
        hint=_hint(kind, key_name, fault.status),
        detail=_short(fault.body, _DETAIL_LIMIT),
        status=fault.status,
        retry_after_s=fault.retry_after_s if kind is ModelUnavailableError else None,
    )


def _kind(fault: Fault) -> type[ModelError]:
    status, code, text = fault.status, fault.code, f"{fault.message} {fault.body[:2000]}"
    ours = status is None or 400 <= status < 500
    if code in _OVERFLOW_CODES or (ours and status != 429 and _OVERFLOW_TEXT.search(text)):
        return ContextOverflowError
    if status == 402 or code in _QUOTA_CODES or (status in {400, 403} and _QUOTA_TEXT.search(text)):
        return ModelQuotaError
    if status in {401, 403, 404} or code in _ACCESS_CODES or (status == 400 and _ACCESS_TEXT.search(text)):
        return ModelAccessError
    if status is None:
        return ModelRequestError if _REQUEST_CODES.search(code) else ModelUnavailableError
    if status in _RETRYABLE_STATUS or status >= 500:
        return ModelUnavailableError
    return ModelRequestError


def _hint(kind: type[ModelError], key_name: str | None, status: int | None) -> str:
    if status is not None and 300 <= status < 400:
        return "The server redirects elsewhere, which is not followed. Check the base URL."
    if kind is ModelAccessError:
        key = f"the key in {key_name}, " if key_name else ""
        return f"Check {key}the model's name and the base URL."
    if kind is ModelQuotaError:
        return "Add credit to the account, or use another key; then repeat the command."
    return ""


def fault_of_status(status: int, headers: Mapping[str, str], body: str) -> Fault:
    """Read a fault from an HTTP answer that is not a success."""
    message, code = _told(body)
    return Fault(
        message=message or (_html_title(body) if "<" in body else body.strip()) or "the answer has no text",
        status=status,
        code=code,
        body=body,
        retry_after_s=retry_after_s(headers, datetime.now(UTC)),
    )


def fault_of_object(error: JsonValue, body: str) -> Fault:
    """Read a fault from an error object inside a stream. A numeric code counts as a status."""
    fields = as_object(error)
    code = fields.get("code")
    status = code if isinstance(code, int) and 400 <= code < 600 else None
    name = as_text(code) or as_text(fields.get("type"))
    message = as_text(fields.get("message")) or as_text(error) or "an error without a message"
    return Fault(message=message, status=status, code="" if name == "error" else name, body=body)


def retry_after_s(headers: Mapping[str, str], now: datetime) -> float | None:
    """Return how long the provider asks to wait, in seconds; ``None`` when it does not say."""
    millis = _number(headers.get("retry-after-ms"))
    if millis is not None:
        return millis / 1000
    text = headers.get("retry-after")
    seconds = _number(text)
    if seconds is not None or text is None:
        return seconds
    try:
        at = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (at.replace(tzinfo=at.tzinfo or UTC) - now).total_seconds())


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None


def _told(body: str) -> tuple[str, str]:
    """Return message and code of an error body, however the server nests them."""
    try:
        value: JsonValue = json.loads(body)
    except (ValueError, RecursionError):
        return "", ""
    if isinstance(value, list) and value:
        value = value[0]
    outer = as_object(value)
    error = outer.get("error", outer)
    if isinstance(error, str):
        return error, as_text(outer.get("code"))
    inner = as_object(error)
    code = inner.get("code")
    message = as_text(inner.get("message")) or as_text(inner.get("detail")) or as_text(outer.get("message"))
    return message, as_text(code) or as_text(inner.get("type")) or as_text(inner.get("status"))


def _html_title(body: str) -> str:
    found = re.search(r"<title[^>]*>(.*?)</title>", body[:20_000], re.IGNORECASE | re.DOTALL)
    title = " ".join(found.group(1).split()) if found else ""
    return f"an HTML page instead of an answer{f' ({title})' if title else ''}"


def _short(text: str, limit: int) -> str:
    text = text.strip()
    return text if len(text) <= limit else f"{text[:limit]} … [{len(text) - limit} more characters]"
