from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import RewardEmptyError, RewardInvalidError, RewardMissingError, VerifierError
from harness.scoring import headline, parse_reward, passed
from harness.scoring.rewards import MAX_BYTES


@pytest.mark.parametrize(
    ("json_bytes", "txt_bytes", "rewards"),
    [
        (None, b"1", {"reward": 1.0}),
        (None, b" \n0.25\r\n", {"reward": 0.25}),
        (None, b"-1e-3", {"reward": -0.001}),
        (None, b"\xef\xbb\xbf1\n", {"reward": 1.0}),
        (b'{"reward": 1}', b"0", {"reward": 1.0}),
        (b'{"reward": 1}', b"junk", {"reward": 1.0}),
        (b'\xef\xbb\xbf{"a": true, "b": false, "c": 0.5}\n', None, {"a": 1.0, "b": 0.0, "c": 0.5}),
    ],
)
def test_good_reward_files_are_read(
    json_bytes: bytes | None, txt_bytes: bytes | None, rewards: dict[str, float]
) -> None:
    assert parse_reward(json_bytes, txt_bytes) == rewards


def test_no_file_is_missing() -> None:
    with pytest.raises(RewardMissingError, match=r"neither .*reward\.json nor .*reward\.txt"):
        parse_reward(None, None)


@pytest.mark.parametrize("empty", [b"", b" \n\t", b"\xef\xbb\xbf"])
def test_an_empty_file_is_empty_and_the_other_is_not_looked_at(empty: bytes) -> None:
    with pytest.raises(RewardEmptyError, match=r"reward\.txt is empty"):
        parse_reward(None, empty)
    with pytest.raises(RewardEmptyError, match=r"reward\.json is empty"):
        parse_reward(empty, b"1")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"passed", "'passed'"),
        (b"1 of 2", "'1 of 2'"),
        (b"nan", "'nan'"),
        (b"inf", "'inf'"),
        (b"-Infinity", "'-Infinity'"),
        (b"1e999", "'1e999'"),
        (b"true", "'true'"),
        (b"1\n1", "'1\\\\n1'"),
        (b"\xff\xfe1", "not UTF-8"),
        (b"x" * 500, "xxx..."),
    ],
)
def test_a_text_that_is_no_finite_number_is_named(text: bytes, found: str) -> None:
    with pytest.raises(RewardInvalidError) as caught:
        parse_reward(None, text)
    assert found.replace("\\\\", "\\") in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"1", "'1'"),
        (b"[1]", "'[1]'"),
        (b"null", "'null'"),
        (b'"1"', "1"),
        (b"{}", "'{}'"),
        (b"reward: 1", "not JSON"),
        (b'{"reward": 1', "not JSON"),
        (b'{"reward": NaN}', "'reward' is 'nan'"),
        (b'{"reward": -Infinity}', "'-inf'"),
        (b'{"reward": 1e999}', "'inf'"),
        (b'{"reward": 1' + b"0" * 400 + b"}", "finite number"),
        (b'{"reward": ' + b"9" * 9000 + b"}", "not JSON"),
        (b'{"reward": "1"}', "'reward' is"),
        (b'{"reward": null}', "'None'"),
        (b'{"reward": {"a": 1}}', "'reward' is"),
        (b'{"a": 1, "b": [1]}', "'b' is '[1]'"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_json_that_is_no_flat_object_of_finite_numbers_is_named(text: bytes, found: str) -> None:
    with pytest.raises(RewardInvalidError) as caught:
        parse_reward(text, b"1")
    assert found in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_huge_file_is_refused_unread() -> None:
    for arguments in ((b" " * (MAX_BYTES + 1), None), (None, b"1" * (MAX_BYTES + 1))):
        with pytest.raises(RewardInvalidError, match=str(MAX_BYTES)):
            parse_reward(*arguments)


@settings(deadline=None)
@given(st.none() | st.binary(max_size=40), st.none() | st.binary(max_size=40))
def test_whatever_the_bytes_only_finite_numbers_get_through(
    json_bytes: bytes | None, txt_bytes: bytes | None
) -> None:
    try:
        rewards = parse_reward(json_bytes, txt_bytes)
    except VerifierError:
        return
    assert rewards
    assert all(isinstance(value, float) and math.isfinite(value) for value in rewards.values())


@pytest.mark.parametrize(
    ("rewards", "number", "solved"),
    [
        ({"reward": 1.0}, 1.0, True),
        ({"reward": 0.999}, 0.999, False),
        ({"reward": 2.0}, 2.0, True),
        ({"reward": 0.0, "style": 1.0}, 0.0, False),
        ({"reward": 1.0, "style": 0.0}, 1.0, True),
        ({"accuracy": 1.0}, 1.0, True),
        ({"a": 1.0, "b": 0.0}, 0.5, False),
        ({str(n): 1.0 for n in range(7)}, 1.0, True),
        ({"a": 0.1 * 3, "b": 1.7}, 1.0, True),
    ],
)
def test_the_headline_is_the_reward_or_the_only_number_or_the_mean(
    rewards: dict[str, float], number: float, solved: bool
) -> None:
    assert headline(rewards) == pytest.approx(number)
    assert passed(rewards) is solved
