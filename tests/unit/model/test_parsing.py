from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import SettingsError, UnknownNameError
from harness.model import check_model, parse_model, profiles
from harness.model.build import build_wire
from harness.schema.candidate import Price

KEYS = {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k", "DASHSCOPE_API_KEY": "k"}


def test_a_provider_and_a_model_are_enough() -> None:
    made = parse_model("openai/gpt-5.2-codex", {})
    assert (made.api, made.base_url, made.key_env) == (
        "openai-responses",
        "https://api.openai.com/v1",
        "OPENAI_API_KEY",
    )
    assert made.context_window == 400_000
    assert made.priced
    assert made.price is None


def test_a_models_name_may_hold_slashes() -> None:
    made = parse_model("openrouter/deepseek/deepseek-chat", {})
    assert (made.provider, made.name) == ("openrouter", "deepseek/deepseek-chat")


def test_every_setting_has_its_place() -> None:
    made = parse_model(
        "compatible/my/model,base_url=http://10.0.0.1:8000/v1,key_env=MY_KEY,effort=high,temperature=0.2,"
        "max_output_tokens=32k,context_window=1m,price=1:2:0.1:1.25,header.X-Team=blue,"
        'header.X-List="a,b",extra_body.thinking.type=enabled,extra_body.thinking.budget=5,'
        'extra_body.stop=["a,b","c"],options.max_tokens_field=max_completion_tokens,options.replay_reasoning=false',
        {},
    )
    assert (made.effort, made.temperature, made.max_output_tokens, made.context_window) == (
        "high",
        0.2,
        32_000,
        1_000_000,
    )
    assert made.price == Price(input_mtok=1, output_mtok=2, cached_mtok=0.1, cache_write_mtok=1.25)
    assert made.headers == {"X-Team": "blue", "X-List": "a,b"}
    assert made.extra_body == {"thinking": {"type": "enabled", "budget": 5}, "stop": ["a,b", "c"]}
    assert made.options == {"max_tokens_field": "max_completion_tokens", "replay_reasoning": False}
    assert made.key_env == "MY_KEY"


def test_an_ambient_address_is_honoured_for_its_own_provider_and_shown() -> None:
    environ = {"OPENAI_BASE_URL": "http://gateway/v1", "ANTHROPIC_BASE_URL": "http://other"}
    assert parse_model("openai/gpt-5.2", environ).base_url == "http://gateway/v1"
    assert parse_model("anthropic/claude-sonnet-4-5", environ).base_url == "http://other"
    assert parse_model("deepseek/deepseek-chat", environ).base_url == "https://api.deepseek.com"
    assert parse_model("openai/gpt-5.2,base_url=http://mine/v1", environ).base_url == "http://mine/v1"


def test_another_protocol_does_not_inherit_options_of_the_first() -> None:
    made = parse_model("openai-chat/gpt-5.2,api=openai-responses", {})
    assert made.options == {}
    assert build_wire(made, cache_key="k").history_field == "input"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gpt-5.2", "PROVIDER/MODEL"),
        ("/gpt-5.2", "PROVIDER/MODEL"),
        ("openai/", "PROVIDER/MODEL"),
        ("", "PROVIDER/MODEL"),
        ("opennai/gpt-5.2", "Did you mean openai"),
        ("openai/gpt-5.2,efort=high", "Did you mean effort"),
        ("openai/gpt-5.2,effort", "key=value"),
        ("openai/gpt-5.2,effort=a,effort=b", "given twice"),
        ("openai/gpt-5.2,temperature=warm", "temperature"),
        ("openai/gpt-5.2,temperature=nan", "temperature"),
        ("openai/gpt-5.2,max_output_tokens=0", "whole number"),
        ("openai/gpt-5.2,context_window=-1", "whole number"),
        ("openai/gpt-5.2,price=3", "IN:OUT"),
        ("openai/gpt-5.2,price=1:2:3:4:5", "IN:OUT"),
        ("openai/gpt-5.2,price=1:x", "price"),
        ("openai/gpt-5.2,api=openai", "Did you mean openai-chat"),
        ("openai/gpt-5.2,base_url=api.openai.com", "no http or https address"),
        ("openai/gpt-5.2,base_url=http://me:secret@host/v1", "settings are recorded"),
        ("openai/gpt-5.2,header.Authorization=Bearer x", "key_env"),
        ("compatible/m", "base_url="),
    ],
)
def test_a_mistake_is_named_in_a_sentence(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_model(text, {})
    assert said in str(caught.value)


def test_a_wrong_ambient_address_says_where_it_came_from() -> None:
    with pytest.raises(SettingsError, match="OPENAI_BASE_URL"):
        parse_model("openai/gpt-5.2", {"OPENAI_BASE_URL": "gateway"})


def test_a_model_that_can_be_run_needs_no_word() -> None:
    assert check_model(parse_model("openai/gpt-5.2", {}), KEYS) is None


@pytest.mark.parametrize("environ", [{}, {"OPENAI_API_KEY": " "}])
def test_a_missing_key_is_named(environ: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        check_model(parse_model("openai/gpt-5.2", {}), environ)
    assert caught.value.message == "openai needs OPENAI_API_KEY, which is not set."


def test_a_model_without_a_price_is_refused_with_the_ways_out() -> None:
    with pytest.raises(SettingsError) as caught:
        check_model(parse_model("openai/gpt-5.2-codez", {}), KEYS)
    said = str(caught.value)
    assert "openai/gpt-5.2-codez has no price in the table (version genai-prices " in said
    assert "Did you mean gpt-5." in said
    assert ",price=unknown" in said
    assert ",price=IN:OUT" in said


def test_a_provider_outside_the_table_says_so() -> None:
    with pytest.raises(SettingsError, match="nothing of this provider"):
        check_model(parse_model("qwen/qwen3-max", {}), KEYS)


def test_an_unknown_price_is_allowed_when_it_is_wanted() -> None:
    warning = check_model(parse_model("openai/gpt-9,price=unknown", {}), KEYS)
    assert warning is not None
    assert "cost will be unknown" in warning
    assert check_model(parse_model("openai/gpt-9,price=1:2", {}), KEYS) is None


def test_an_unknown_model_elsewhere_is_run_with_a_warning() -> None:
    for text in (
        "vllm/qwen3",
        "compatible/qwen3,base_url=http://10.0.0.1/v1",
        "openai/my-model,base_url=http://h/v1",
    ):
        made = parse_model(text, {})
        assert not made.priced
        assert "cost will be unknown" in (check_model(made, KEYS) or "")
    known = parse_model("openai/gpt-5.2,base_url=http://gateway/v1", {})
    assert check_model(known, KEYS) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("anthropic/claude-sonnet-4-5,temperature=0", "temperature is not settable"),
        ("qwen/qwen3-max,effort=high,price=1:2", "effort is not settable"),
        ("openai/gpt-5.2,options.cache_ttl=1h", "Unknown option of openai-responses"),
        ("openai/gpt-5.2,options.encrypted_reasoning=maybe", "options.encrypted_reasoning"),
        ("openai/gpt-5.2,extra_body.input=[]", "extra_body.input"),
    ],
)
def test_settings_that_a_protocol_does_not_take_are_refused_before_anything_starts(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check_model(parse_model(text, {}), KEYS)
    assert said in str(caught.value)


def test_temperature_goes_with_the_older_messages_protocol() -> None:
    made = parse_model("anthropic/claude-sonnet-4-5,temperature=0,header.anthropic-version=2023-06-01", {})
    assert check_model(made, KEYS) is None


@pytest.mark.parametrize("name", sorted(profiles()))
def test_every_profile_can_be_built(name: str) -> None:
    made = parse_model(f"{name}/some/model,base_url=http://127.0.0.1:1/v1,price=1:2", {})
    assert build_wire(made, cache_key="k").history_field in {"input", "messages"}
    assert not made.key_env or made.key_env.endswith("_KEY")


def test_a_misspelt_provider_offers_the_general_one() -> None:
    with pytest.raises(UnknownNameError, match="compatible/m,base_url=URL"):
        parse_model("nowhere/m", {})


def test_every_provider_is_in_the_documentation() -> None:
    page = (Path(__file__).parents[3] / "docs" / "models.md").read_text(encoding="utf-8")
    for name, profile in profiles().items():
        assert f"`{name}`" in page
        assert profile.key_env in page
