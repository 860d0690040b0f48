"""Recipes of the offline base images: data under ``sandboxes/``, and which of them answers to a name.

Owns the format of ``recipe.toml`` (described in ``sandboxes/README.md``). Leaves building to ``base_images``.
"""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from pydantic import Field, ValidationError

from harness.data import data_folder
from harness.errors import SettingsError
from harness.sandbox.docker.reference import parse_reference
from harness.schema.base import Record


class Bootstrap(Record):
    """A base made from a distribution's packages.

    ``otherwise`` names the recipe to use where no mirror of the distribution answers.
    """

    distribution: str
    suite: str
    otherwise: str | None = None
    otherwise_differs: str = ""


class Answer(Record):
    """Names that a recipe answers to (shell patterns, never matching ``but_not``) and what will be different."""

    match: tuple[str, ...]
    but_not: tuple[str, ...] = ("*alpine*", "*windows*", "*nanoserver*")
    differs: str = ""


class Recipe(Record):
    """How to make one base image: bootstrapped, or derived from another recipe's image.

    ``packages`` come from the distribution; ``setup`` is a script of ``sandboxes/setup``, run as root after them
    with ``setup_env``. ``env`` and ``cmd`` are the image's. ``differs`` is told wherever
    it is used, also below a derived image.
    """

    tag: str
    bootstrap: Bootstrap | None = None
    derived_from: str | None = None
    packages: tuple[str, ...] = ()
    setup: str | None = None
    setup_env: dict[str, str] = Field(default_factory=dict)
    env: dict[str, str] = Field(default_factory=dict)
    cmd: tuple[str, ...] = ("bash",)
    about_s: int = 30
    differs: str = ""
    answers: tuple[Answer, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LoadedRecipe:
    """A recipe with its setup script's text. ``digest`` covers both."""

    name: str
    recipe: Recipe
    script: bytes
    digest: str


@dataclass(frozen=True, kw_only=True)
class Match:
    """A recipe that answers to a name, and what is different because of the name (not of the recipe)."""

    found: LoadedRecipe
    differs: str


@cache
def load_recipes(folder: Path | None = None) -> dict[str, LoadedRecipe]:
    """Read every ``<name>/recipe.toml`` below ``folder`` (the bundled ones by default)."""
    top = folder or data_folder("sandboxes")
    return {path.parent.name: _load(path) for path in sorted(top.glob("*/recipe.toml"))}


def _load(path: Path) -> LoadedRecipe:
    try:
        text = path.read_bytes()
        recipe = Recipe.model_validate(tomllib.loads(text.decode()))
        script = (path.parent.parent / "setup" / recipe.setup).read_bytes() if recipe.setup else b""
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise SettingsError(f"{path} is not a recipe: {faults}.", hint="See sandboxes/README.md.") from error
    except (ValueError, OSError) as error:  # TOML and Unicode errors are ValueErrors
        raise SettingsError(f"{path} is not a recipe: {error}.", hint="See sandboxes/README.md.") from error
    digest = hashlib.sha256(text + b"\0" + script).hexdigest()
    return LoadedRecipe(name=path.parent.name, recipe=recipe, script=script, digest=digest)


def find_recipe(reference: str, recipes: dict[str, LoadedRecipe]) -> Match | None:
    """Return the recipe that answers to an image's name; among several, the one with the most exact pattern."""
    name = parse_reference(reference).familiar
    best: tuple[int, Match] | None = None
    for found in recipes.values():
        for answer in found.recipe.answers:
            if any(fnmatchcase(name, pattern) for pattern in answer.but_not):
                continue
            for pattern in answer.match:
                weight = len(pattern.replace("*", ""))
                if fnmatchcase(name, pattern) and (best is None or weight > best[0]):
                    best = weight, Match(found=found, differs=answer.differs)
    return best[1] if best else None
