"""Reads the reward files of a verifier, and what they come to: one number, and passed or not.

The bytes come from a container and are hostile: nothing but finite numbers gets through.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from harness.errors import RewardEmptyError, RewardInvalidError, RewardMissingError

MAX_BYTES = 1024 * 1024
"""Reward files beyond this are refused unread."""

_PASS = 1.0
_ROUNDING = 1e-9


def parse_reward(json_bytes: bytes | None, txt_bytes: bytes | None) -> dict[str, float]:
    """Return the rewards in ``reward.json`` if there is one, else the one in ``reward.txt`` as ``reward``.

    ``None`` is a file that does not exist. The text is one finite number; the JSON a flat object of finite
    numbers, ``true`` and ``false`` counting as 1 and 0. Raises ``RewardMissingError``, ``RewardEmptyError``
    or ``RewardInvalidError`` saying what was found instead.
    """
    if json_bytes is not None:
        return _parse_json(_text(json_bytes, "reward.json"))
    if txt_bytes is not None:
        return {"reward": _parse_number(_text(txt_bytes, "reward.txt"))}
    raise RewardMissingError("The tests wrote neither /logs/verifier/reward.json nor /logs/verifier/reward.txt.")


def headline(rewards: Mapping[str, float]) -> float:
    """Return the number that stands for ``rewards``: ``reward``, else the only one, else the mean of all."""
    if "reward" in rewards:
        return rewards["reward"]
    return math.fsum(rewards.values()) / len(rewards)


def passed(rewards: Mapping[str, float]) -> bool:
    """Tell whether the task is solved: the headline is 1 or more. Anything less is partial credit."""
    return headline(rewards) >= _PASS - _ROUNDING


def _text(data: bytes, name: str) -> str:
    if len(data) > MAX_BYTES:
        raise RewardInvalidError(f"{name} has {len(data)} bytes; a reward needs no more than {MAX_BYTES}.")
    try:
        text = data.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise RewardInvalidError(f"{name} is not UTF-8 text; it begins with {data[:20]!r}.") from error
    if not text:
        raise RewardEmptyError(f"{name} is empty.")
    return text


def _parse_number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise RewardInvalidError(f"reward.txt holds {_shown(text)}, expected one finite number.")
    return number


def _parse_json(text: str) -> dict[str, float]:
    try:
        content: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RewardInvalidError(f"reward.json is not JSON: it holds {_shown(text)}.") from error
    if not isinstance(content, dict) or not content:
        raise RewardInvalidError(f'reward.json holds {_shown(text)}, expected an object such as {{"reward": 1}}.')
    return {key: _finite(key, value) for key, value in content.items()}


def _finite(key: str, value: object) -> float:
    try:
        if isinstance(value, int | float) and math.isfinite(value):
            return float(value)
    except OverflowError:
        pass
    raise RewardInvalidError(f"reward.json: {key!r} is {_shown(repr(value))}, expected a finite number.")


def _shown(text: str) -> str:
    short = text if len(text) <= 80 else f"{text[:77]}..."
    return repr(short)
