"""The known providers, as data: ``profiles.toml`` beside this file. Code never branches on a provider's name."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from pydantic import Field, JsonValue

from harness.schema.base import Record
from harness.schema.candidate import Api


class Profile(Record):
    """A provider: its protocol, address, key and ways.

    ``base_url`` is empty where the user has to give one. ``base_url_env`` is the variable by which the
    provider's own tools are pointed elsewhere. ``key_env`` is empty where no key is needed. ``prices`` is the
    provider's id in the price table, empty where the table has none. ``options`` are the protocol's options.
    """

    api: Api
    base_url: str = ""
    base_url_env: str = ""
    key_env: str = ""
    prices: str = ""
    note: str = ""
    options: dict[str, JsonValue] = Field(default_factory=dict)


@cache
def profiles() -> Mapping[str, Profile]:
    """Return every known provider by name."""
    text = files("harness.model").joinpath("profiles.toml").read_text(encoding="utf-8")
    return {name: Profile.model_validate(table) for name, table in tomllib.loads(text).items()}
