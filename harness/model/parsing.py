"""From what a user types to a model's settings: ``PROVIDER/MODEL[,key=value]…``.

Everything that decides how the model is called is resolved here, once, so that the plan shows it: the
address (an ambient variable included), protocol options, the price, the window.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import get_args
from urllib.parse import urlsplit

from pydantic import JsonValue, TypeAdapter, ValidationError

from harness.errors import SettingsError, UnknownNameError
from harness.model.pricing import known_model
from harness.model.profiles import Profile, profiles
from harness.model.reading import Object, merged
from harness.schema.candidate import Api, ModelSettings, Price

_PLAIN_KEYS = frozenset(
    {"base_url", "api", "key_env", "effort", "temperature", "max_output_tokens", "context_window", "price"}
)
_DOTTED_KEYS = frozenset({"header", "extra_body", "options"})
_SECRET_HEADERS = frozenset(
    {"authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "proxy-authorization"}
)
_API: TypeAdapter[Api] = TypeAdapter(Api)


def parse_model(text: str, environ: Mapping[str, str]) -> ModelSettings:
    """Return the settings for ``PROVIDER/MODEL[,key=value]…``.

    Keys: base_url, api, key_env, effort, temperature, max_output_tokens, context_window, price (``unknown`` or
    ``IN:OUT[:CACHED[:WRITE]]`` in USD for a million tokens), header.NAME, extra_body.PATH, options.NAME.
    Commas inside quotes, brackets and braces belong to the value. Raises ``SettingsError``.
    """
    head, *pairs = _split(text)
    provider, slash, name = head.strip().partition("/")
    if not slash or not provider or not name:
        raise SettingsError(f"{text!r} names no model.", hint="Write PROVIDER/MODEL, such as openai/gpt-5.2.")
    profile = profiles().get(provider)
    if profile is None:
        raise UnknownNameError(
            "model provider", provider, profiles(), hint=f"For any other server: compatible/{name},base_url=URL"
        )
    return _settings(provider, name, profile, _Given(pairs), environ)


class _Given:
    """The key=value pairs of one text."""

    def __init__(self, pairs: list[str]) -> None:
        self.plain: dict[str, str] = {}
        self.headers: dict[str, str] = {}
        self.extra_body: Object = {}
        self.options: Object = {}
        for pair in pairs:
            self._take(pair)

    def _take(self, pair: str) -> None:
        key, equals, value = pair.strip().partition("=")
        if not equals:
            raise SettingsError(f"{pair.strip()!r} is no setting.", hint="Write key=value.")
        group, dot, rest = key.partition(".")
        if group in _DOTTED_KEYS and dot and rest:
            self._take_dotted(group, rest, value)
        elif key in _PLAIN_KEYS:
            if key in self.plain:
                raise SettingsError(f"{key} is given twice.")
            self.plain[key] = value.strip()
        else:
            known = [*_PLAIN_KEYS, *(f"{name}.NAME" for name in _DOTTED_KEYS)]
            raise UnknownNameError("model setting", key, known)

    def _take_dotted(self, group: str, rest: str, value: str) -> None:
        if group == "header":
            if rest.lower() in _SECRET_HEADERS:
                raise SettingsError(
                    f"header.{rest} cannot be set, as settings are recorded.",
                    hint="Put the key into a variable and name it with key_env=VARIABLE.",
                )
            self.headers[rest] = _loose(value) if value.startswith('"') else value  # type: ignore[assignment]
        elif group == "options":
            self.options[rest] = _loose(value)
        else:
            nested = _loose(value)
            for name in reversed(rest.split(".")):
                nested = {name: nested}
            self.extra_body = merged(self.extra_body, nested if isinstance(nested, dict) else {})

    def number(self, key: str) -> float | None:
        """Return a number that is not negative."""
        if key not in self.plain:
            return None
        return _amount(key, self.plain[key])

    def whole(self, key: str) -> int | None:
        """Return a whole number above zero; ``k`` and ``m`` at its end are thousands and millions."""
        text = self.plain.get(key)
        if text is None:
            return None
        factor = {"k": 1_000, "m": 1_000_000}.get(text[-1:].lower(), 1)
        digits = text[:-1] if factor > 1 else text
        if not digits.replace("_", "").isdecimal() or int(digits) == 0:
            raise SettingsError(f"{key}={text} is no whole number of tokens.")
        return int(digits) * factor


def _settings(
    provider: str, name: str, profile: Profile, given: _Given, environ: Mapping[str, str]
) -> ModelSettings:
    api = _api(given.plain.get("api"), profile)
    own = profile.options if api == profile.api else {}
    base_url = _base_url(provider, name, profile, given.plain.get("base_url"), environ)
    price, priced = _price(given.plain.get("price"))
    known = known_model(provider, name)
    if price is None and known is None and (base_url != profile.base_url or not profile.key_env):
        priced = False  # somebody else's server, or one that bills nobody
    window = given.whole("context_window")
    return ModelSettings(
        provider=provider,
        name=name,
        api=api,
        base_url=base_url,
        key_env=given.plain.get("key_env", profile.key_env) or None,
        effort=given.plain.get("effort"),
        temperature=given.number("temperature"),
        max_output_tokens=given.whole("max_output_tokens"),
        context_window=window if window is not None or known is None else known.context_window,
        headers=given.headers,
        extra_body=given.extra_body,
        options=own | given.options,
        price=price,
        priced=priced,
    )


def _api(text: str | None, profile: Profile) -> Api:
    if text is None:
        return profile.api
    try:
        return _API.validate_python(text)
    except ValidationError:
        raise UnknownNameError("api", text, get_args(Api)) from None


def _base_url(provider: str, name: str, profile: Profile, given: str | None, environ: Mapping[str, str]) -> str:
    ambient = environ.get(profile.base_url_env, "").strip() if profile.base_url_env else ""
    url = given or ambient or profile.base_url
    if not url:
        raise SettingsError(
            f"{provider} needs an address.", hint=f"Write {provider}/{name},base_url=http://HOST:PORT/v1"
        )
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        origin = f" (from {profile.base_url_env})" if not given and ambient else ""
        raise SettingsError(f"base_url {url!r}{origin} is no http or https address.")
    if parts.username or parts.password:
        raise SettingsError(
            "base_url holds a user name or password, and settings are recorded.",
            hint="Put the key into a variable and name it with key_env=VARIABLE.",
        )
    return url


def _price(text: str | None) -> tuple[Price | None, bool]:
    if text is None:
        return None, True
    if text in {"unknown", "none"}:
        return None, False
    amounts = [_amount("price", piece) for piece in text.split(":")]
    if not 2 <= len(amounts) <= 4:
        raise SettingsError(
            f"price={text} is no price.",
            hint="Write IN:OUT[:CACHED[:WRITE]] in USD for a million tokens, or unknown.",
        )
    cached, written = (*amounts[2:], None, None)[:2]
    return Price(input_mtok=amounts[0], output_mtok=amounts[1], cached_mtok=cached, cache_write_mtok=written), True


def _amount(key: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise SettingsError(f"{key}: {text!r} is no number from 0 up.")
    return value


def _loose(text: str) -> JsonValue:
    """Read JSON; what is none is the text itself."""
    try:
        value: JsonValue = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value


def _split(text: str) -> list[str]:
    return list(_pieces(text))


def _pieces(text: str) -> Iterator[str]:
    """Yield what stands between commas that are outside quotes, brackets and braces."""
    start, depth, quoted, escaped = 0, 0, False, False
    for position, character in enumerate(text):
        if quoted:
            quoted = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            quoted = True
        elif character in "[{":
            depth += 1
        elif character in "]}":
            depth -= 1
        elif character == "," and depth <= 0:
            yield text[start:position]
            start = position + 1
    yield text[start:]
