"""The tables of known fields agree with the types that the SDKs generate from the services' specifications."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic.types import message_create_params
from anthropic.types.beta import message_create_params as beta_message_create_params
from openai.types import responses
from openai.types.chat import (
    ChatCompletionAssistantMessageParam,
    ChatCompletionToolMessageParam,
    ChatCompletionUserMessageParam,
    completion_create_params,
)
from openai.types.responses import response_create_params, response_input_param

from harness.testing.model_server import chat_input, messages_input, responses_input


def keys(typed_dict: Any) -> set[str]:
    return set(typed_dict.__required_keys__ | typed_dict.__optional_keys__)


def test_every_field_of_a_responses_request_is_known() -> None:
    assert keys(response_create_params.ResponseCreateParamsStreaming) == set(responses_input._FIELDS)


def test_every_field_of_a_chat_request_is_known() -> None:
    assert keys(completion_create_params.CompletionCreateParamsStreaming) == set(chat_input._FIELDS)


def test_every_field_of_a_messages_request_is_known() -> None:
    required = {"model", "max_tokens", "messages"}
    plain = keys(message_create_params.MessageCreateParamsStreaming) - {"workspace_id"}  # a header
    assert plain == set(messages_input._FIELDS) | required
    beta = keys(beta_message_create_params.MessageCreateParamsStreaming) - {"workspace_id", "betas"}
    assert beta == set(messages_input._FIELDS | messages_input._BETA_FIELDS) | required


@pytest.mark.parametrize(
    ("kind", "typed_dict"),
    [
        ("reasoning", responses.ResponseReasoningItemParam),
        ("function_call", responses.ResponseFunctionToolCallParam),
        ("function_call_output", response_input_param.FunctionCallOutput),
        ("custom_tool_call", responses.ResponseCustomToolCallParam),
        ("custom_tool_call_output", responses.ResponseCustomToolCallOutputParam),
        ("shell_call", response_input_param.ShellCall),
        ("shell_call_output", response_input_param.ShellCallOutput),
        ("apply_patch_call", response_input_param.ApplyPatchCall),
        ("apply_patch_call_output", response_input_param.ApplyPatchCallOutput),
        ("message", responses.ResponseOutputMessageParam),
    ],
)
def test_every_field_of_an_input_item_is_known(kind: str, typed_dict: Any) -> None:
    required, optional = responses_input._ITEMS[kind]
    assert keys(typed_dict) <= set(required) | set(optional)


@pytest.mark.parametrize(
    ("role", "typed_dict"),
    [
        ("assistant", ChatCompletionAssistantMessageParam),
        ("tool", ChatCompletionToolMessageParam),
        ("user", ChatCompletionUserMessageParam),
    ],
)
def test_every_field_of_a_chat_message_is_known(role: str, typed_dict: Any) -> None:
    required, optional = chat_input._ROLES[role]
    assert keys(typed_dict) <= set(required) | set(optional)
