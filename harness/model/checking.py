"""Whether a model can be run at all, before anything is started: key, settings, price."""

from __future__ import annotations

from collections.abc import Mapping

from harness.errors import SettingsError
from harness.model.build import build_wire
from harness.model.pricing import known_model, near_models, prices_version
from harness.model.profiles import profiles
from harness.schema.candidate import ModelSettings


def check_model(settings: ModelSettings, environ: Mapping[str, str]) -> str | None:
    """Return a warning, or ``None`` when there is nothing to say; raises ``SettingsError`` for what is missing.

    Looks at the key's variable, at settings that the protocol does not take, and at the price.
    """
    if settings.key_env and not environ.get(settings.key_env, "").strip():
        raise SettingsError(
            f"{settings.provider} needs {settings.key_env}, which is not set.",
            hint=f"Set it with: export {settings.key_env}=YOUR_KEY",
        )
    build_wire(settings, cache_key="check")
    if not settings.priced:
        return f"{settings.provider}/{settings.name} is run without a price: its cost will be unknown."
    if settings.price is None and known_model(settings.provider, settings.name) is None:
        raise _no_price(settings)
    return None


def _no_price(settings: ModelSettings) -> SettingsError:
    near = near_models(settings.provider, settings.name)
    offer = f"Did you mean {' or '.join(near)}? " if near else ""
    profile = profiles().get(settings.provider)
    table = "the table" if profile and profile.prices else "the table, which has nothing of this provider"
    return SettingsError(
        f"{settings.provider}/{settings.name} has no price in {table} (version {prices_version()}).",
        hint=f"{offer}To run it without knowing its cost add ,price=unknown; to give one add ,price=IN:OUT "
        "(USD for a million tokens).",
    )
