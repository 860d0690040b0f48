"""Names of images, and which recipe answers to them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import SettingsError
from harness.sandbox.docker.recipes import find_recipe, load_recipes
from harness.sandbox.docker.reference import parse_reference


@pytest.mark.parametrize(
    ("text", "registry", "pull", "tag", "familiar"),
    [
        ("debian", "docker.io", "debian", "latest", "debian:latest"),
        ("debian:12", "docker.io", "debian", "12", "debian:12"),
        ("docker.io/library/debian:12", "docker.io", "library/debian", "12", "debian:12"),
        ("someone/task:1", "docker.io", "someone/task", "1", "someone/task:1"),
        ("localhost:5000/a/b", "localhost:5000", "localhost:5000/a/b", "latest", "localhost:5000/a/b:latest"),
        ("ghcr.io/o/i:v1", "ghcr.io", "ghcr.io/o/i", "v1", "ghcr.io/o/i:v1"),
        ("public.ecr.aws/docker/library/python:3", "public.ecr.aws", None, "3", "python:3"),
        ("debian:12@sha256:abc", "docker.io", "debian", "sha256:abc", "debian:12"),
        ("debian@sha256:abc", "docker.io", "debian", "sha256:abc", "debian:latest"),
    ],
)
def test_a_name_is_read_as_docker_reads_it(
    text: str, registry: str, pull: str | None, tag: str, familiar: str
) -> None:
    reference = parse_reference(text)
    assert reference.registry == registry
    assert pull is None or reference.pull_name == pull
    assert reference.pull_tag == tag
    assert reference.familiar == familiar


@pytest.mark.parametrize(
    ("asked", "recipe", "differs"),
    [
        ("debian:bookworm-slim", "debian-bookworm", ""),
        ("debian:12.5", "debian-bookworm", ""),
        ("debian", "debian-trixie", ""),
        ("debian:bullseye", "debian-bookworm-unguarded", "instead of an older"),
        ("ubuntu:24.04", "ubuntu-24.04", ""),
        ("ubuntu:jammy-20240101", "ubuntu-22.04", ""),
        ("python:3.11-slim", "python-3.11-slim", ""),
        ("python:3.11.9-slim-bookworm", "python-3.11-slim", ""),
        ("python:3.11", "python-3.11", ""),
        ("python:3.13-slim-bookworm", "python-3.13-slim", "Debian 13"),
        ("python:3.13-slim-trixie", "python-3.13-slim", ""),
        ("python:3.12-slim", "python-3.13-slim", "Python 3.13 instead"),
        ("python:3.10", "python-3.11", "Python 3.11 instead"),
        ("python:3", "python-3.13", ""),
        ("python:3-slim", "python-3.13-slim", ""),
        ("python:slim", "python-3.13-slim", ""),
        ("python", "python-3.13", ""),
        ("node:22", "node-22", ""),
        ("node:22-bookworm-slim", "node-22-slim", ""),
        ("node:20.11.1-slim", "node-20-slim", ""),
        ("node:18", "node-20", "Node.js 20 instead"),
        ("node:lts", "node-24", ""),
        ("node:lts-slim", "node-24-slim", ""),
        ("node:lts-iron-slim", "node-20-slim", ""),
        ("ghcr.io/astral-sh/uv:0.5.1", "uv", ""),
    ],
)
def test_a_common_base_finds_its_recipe(asked: str, recipe: str, differs: str) -> None:
    match = find_recipe(asked, load_recipes())
    assert match is not None
    assert match.found.name == recipe
    assert differs in match.differs
    assert bool(differs) == bool(match.differs)


@pytest.mark.parametrize(
    "asked", ["python:3.11-alpine", "alpine:3", "node:22-alpine3.20", "debianish:12", "me/python:3.11"]
)
def test_what_would_be_another_system_finds_none(asked: str) -> None:
    assert find_recipe(asked, load_recipes()) is None


def test_every_bundled_recipe_can_be_made() -> None:
    recipes = load_recipes()
    for found in recipes.values():
        recipe = found.recipe
        assert (recipe.bootstrap is None) != (recipe.derived_from is None), found.name
        assert recipe.derived_from is None or recipe.derived_from in recipes
        assert not recipe.setup or found.script
        assert recipe.answers, found.name
        otherwise = recipe.bootstrap.otherwise if recipe.bootstrap else None
        assert otherwise is None or otherwise in recipes


def test_tags_of_recipes_are_distinct() -> None:
    tags = [found.recipe.tag for found in load_recipes().values()]
    assert len(tags) == len(set(tags))


def test_a_typo_in_a_recipe_is_named_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/recipe.toml").write_text('tag = "x:1"\nderived_form = "debian"\n')
    with pytest.raises(SettingsError, match=r"mine/recipe\.toml.*derived_form"):
        load_recipes(tmp_path)


def test_a_changed_setup_script_changes_the_digest(tmp_path: Path) -> None:
    for version in ("one", "two"):
        top = tmp_path / version
        (top / "mine").mkdir(parents=True)
        (top / "setup").mkdir()
        (top / "mine/recipe.toml").write_text('tag = "x:1"\nderived_from = "y"\nsetup = "s.sh"\n')
        (top / "setup/s.sh").write_text(f"echo {version}\n")
    assert load_recipes(tmp_path / "one")["mine"].digest != load_recipes(tmp_path / "two")["mine"].digest
