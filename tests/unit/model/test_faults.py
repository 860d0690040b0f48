"""What each answer of a provider means. The bodies are shaped as the services send them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from harness.errors import (
    ContextOverflowError,
    ModelAccessError,
    ModelError,
    ModelQuotaError,
    ModelRequestError,
    ModelUnavailableError,
)
from harness.model.faults import fault_of_status, model_error, retry_after_s

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)


def openai_body(message: str, code: str | None = None, kind: str = "invalid_request_error") -> str:
    return json.dumps({"error": {"message": message, "type": kind, "param": None, "code": code}})


def anthropic_body(kind: str, message: str) -> str:
    return json.dumps({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"})


CASES: list[tuple[int, str, type[ModelError]]] = [
    (
        400,
        openai_body("Your input exceeds the context window of this model.", "context_length_exceeded"),
        ContextOverflowError,
    ),
    (
        400,
        anthropic_body("invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
        ContextOverflowError,
    ),
    (
        400,
        json.dumps(
            {"object": "error", "message": "This model's maximum context length is 4096 tokens.", "code": 400}
        ),
        ContextOverflowError,
    ),
    (
        400,
        json.dumps(
            {
                "error": {
                    "code": 400,
                    "message": "the request exceeds the available context size",
                    "type": "exceed_context_size_error",
                }
            }
        ),
        ContextOverflowError,
    ),
    (
        400,
        json.dumps(
            [
                {
                    "error": {
                        "code": 400,
                        "message": "The input token count (2000000) exceeds the maximum number of tokens allowed",
                        "status": "INVALID_ARGUMENT",
                    }
                }
            ]
        ),
        ContextOverflowError,
    ),
    (
        429,
        openai_body("You exceeded your current quota.", "insufficient_quota", "insufficient_quota"),
        ModelQuotaError,
    ),
    (
        402,
        json.dumps(
            {"error": {"message": "Insufficient Balance", "type": "unknown_error", "code": "invalid_request_error"}}
        ),
        ModelQuotaError,
    ),
    (
        400,
        anthropic_body("invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
        ModelQuotaError,
    ),
    (401, openai_body("Incorrect API key provided: sk-***.", "invalid_api_key"), ModelAccessError),
    (403, anthropic_body("permission_error", "Your API key does not have permission."), ModelAccessError),
    (
        404,
        openai_body("The model `x` does not exist or you do not have access to it.", "model_not_found"),
        ModelAccessError,
    ),
    (
        400,
        json.dumps(
            {
                "error": {
                    "message": "Model Not Exist",
                    "type": "invalid_request_error",
                    "code": "invalid_request_error",
                }
            }
        ),
        ModelAccessError,
    ),
    (
        429,
        openai_body("Rate limit reached for gpt-5.2 on tokens per min.", "rate_limit_exceeded", "tokens"),
        ModelUnavailableError,
    ),
    (
        429,
        openai_body(
            "Request too large: prompt is too long for your tier's tokens per minute.", "rate_limit_exceeded"
        ),
        ModelUnavailableError,
    ),
    (408, "", ModelUnavailableError),
    (409, anthropic_body("conflict_error", "try again"), ModelUnavailableError),
    (500, "Internal Server Error", ModelUnavailableError),
    (503, "<html><title>503</title></html>", ModelUnavailableError),
    (529, anthropic_body("overloaded_error", "Overloaded"), ModelUnavailableError),
    (400, openai_body("Unknown parameter: 'foo'.", "unknown_parameter"), ModelRequestError),
    (
        413,
        anthropic_body("request_too_large", "Request exceeds the maximum allowed number of bytes."),
        ModelRequestError,
    ),
    (422, json.dumps({"detail": [{"loc": ["body"], "msg": "field required"}]}), ModelRequestError),
]


@pytest.mark.parametrize(("status", "body", "expected"), CASES)
def test_an_answer_means_its_class(status: int, body: str, expected: type[ModelError]) -> None:
    error = model_error(fault_of_status(status, {}, body), who="openai/x", key_name="OPENAI_API_KEY")
    assert type(error) is expected
    assert error.status == status
    assert error.message.startswith(f"openai/x failed with HTTP {status}")


def test_a_message_says_what_the_provider_said() -> None:
    fault = fault_of_status(400, {}, openai_body("Unknown parameter: 'foo'.", "unknown_parameter"))
    error = model_error(fault, who="openai/x", key_name=None)
    assert error.message == "openai/x failed with HTTP 400 (unknown_parameter): Unknown parameter: 'foo'."


def test_a_very_long_answer_is_cut() -> None:
    error = model_error(fault_of_status(500, {}, "x" * 100_000), who="m", key_name=None)
    assert len(error.message) < 1_000
    assert len(error.detail) < 10_000
    assert "more characters" in error.detail


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "12"}, 12.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "Fri, 20 Nov 2026 12:01:30 GMT"}, 90.0),
        ({"retry-after": "Fri, 20 Nov 2026 11:00:00 GMT"}, 0.0),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
    ],
)
def test_retry_after_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, NOW) == seconds
