"""Values of ``task.toml`` that come from the host's environment."""

from __future__ import annotations

import re
from collections.abc import Mapping

from harness.errors import TaskError

_TEMPLATE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?\}", re.DOTALL)


def resolve_env(env: Mapping[str, str], environ: Mapping[str, str], *, where: str = "env") -> dict[str, str]:
    """Replace values that are wholly ``${VAR}`` or ``${VAR:-default}`` by what ``environ`` says.

    As in a shell, the default stands in for a variable that is unset or empty. Other values stay as they
    are. Raises ``TaskError`` naming the variable and the key (``where.KEY``) if there is neither.
    """
    return {key: _resolve(value, environ, f"{where}.{key}") for key, value in env.items()}


def _resolve(value: str, environ: Mapping[str, str], key: str) -> str:
    found = _TEMPLATE.fullmatch(value)
    if found is None:
        return value
    name, default = found.groups()
    if default is not None:
        return environ.get(name) or default
    if name not in environ:
        raise TaskError(f"{key} asks for the variable {name}, which is not set here.", hint=f"Set {name}.")
    return environ[name]
