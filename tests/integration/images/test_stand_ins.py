"""The stand-ins for base images behave like what they stand in for."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import docker
import pytest

from harness.errors import ImageError
from harness.sandbox.docker.base_images import ensure_base

pytestmark = [pytest.mark.docker, pytest.mark.anyio]

_WHEEL = "/tmp/probe-1-py3-none-any.whl"
_MAKE_WHEEL = f"""python3 -c '
import zipfile
with zipfile.ZipFile("{_WHEEL}", "w") as wheel:
    wheel.writestr("probe.py", "answer = 42")
    wheel.writestr("probe-1.dist-info/METADATA", "Metadata-Version: 2.1\\nName: probe\\nVersion: 1\\n")
    wheel.writestr("probe-1.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    wheel.writestr("probe-1.dist-info/RECORD", "")
'"""


async def test_many_who_ask_for_a_base_get_the_same_one(debian: str) -> None:
    found: list[str] = []

    async def ask(name: str) -> None:
        found.append((await ensure_base(name)).used)

    async with anyio.create_task_group() as tasks:
        for name in ("debian:bookworm-slim", "debian:12", "docker.io/library/debian:bookworm"):
            tasks.start_soon(ask, name)
    assert found == [debian] * 3


async def test_a_name_without_a_recipe_says_which_have_one() -> None:
    with pytest.raises(ImageError, match=r"no recipe .* alpine:3.*Recipes exist for .*debian.*python"):
        await ensure_base("alpine:3")


async def test_nothing_is_called_by_an_official_name(engine: docker.APIClient, debian: str) -> None:
    facts = engine.inspect_image(debian)
    assert all(tag.startswith("harness-base/") for tag in facts["RepoTags"])
    assert facts["Config"]["Labels"]["harness.role"] == "base-image"
    assert facts["Config"]["Cmd"] == ["bash"]


async def test_debian_is_debian_with_a_working_apt(debian: str, run: Callable[[str, str], str]) -> None:
    assert "VERSION_CODENAME=bookworm" in run(debian, "cat /etc/os-release")
    assert "hello" in run(debian, "apt-get update -qq && apt-get install -y -qq hello >/dev/null 2>&1 && hello -t")


async def test_debian_knows_nothing_of_this_host(debian: str, run: Callable[[str, str], str]) -> None:
    assert run(debian, "cat /etc/machine-id; ls /var/lib/apt/lists/*_* 2>/dev/null | wc -l").strip() == "0"


async def test_python_stands_where_the_official_image_has_it(python: str, run: Callable[[str, str], str]) -> None:
    assert run(python, "for name in python python3 pip; do command -v $name; done").split() == [
        "/usr/local/bin/python",
        "/usr/local/bin/python3",
        "/usr/local/bin/pip",
    ]
    assert "3.11" in run(python, "python --version")
    assert "/site-packages" in run(python, "ls -d /usr/local/lib/python3.11/site-packages/pip")


async def test_pip_installs_globally_without_being_asked_to_break_anything(
    python: str, run: Callable[[str, str], str]
) -> None:
    script = (
        'mkdir -p /p && printf \'from setuptools import setup\\nsetup(name="probe", version="1", '
        'py_modules=["probe"], entry_points={"console_scripts": ["probe=probe:main"]})\' > /p/setup.py && '
        "echo 'main = lambda: print(42)' > /p/probe.py && "
        "pip install -q --no-index --no-build-isolation --root-user-action ignore /p && probe"
    )
    assert run(python, script).split()[-1] == "42"


async def test_a_prefix_can_be_copied_over_the_python_of_another_stage(
    python: str, run: Callable[[str, str], str]
) -> None:
    script = f"{_MAKE_WHEEL} && pip install -q --no-index --root-user-action ignore --prefix=/install {_WHEEL}"
    used = "cp -r /install/. /usr/local/ && python -c 'import probe; print(probe.answer)'"
    assert run(python, f"{script} && {used}").split()[-1] == "42"


async def test_what_stands_in_for_an_older_release_lets_pip_install(run: Callable[[str, str], str]) -> None:
    old = (await ensure_base("debian:bullseye")).used
    pip = "apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-pip >/dev/null 2>&1"
    assert "Successfully installed probe" in run(old, f"{pip} && {_MAKE_WHEEL} && pip install --no-index {_WHEEL}")


async def test_a_virtual_environment_can_be_made(python: str, run: Callable[[str, str], str]) -> None:
    assert "/v/lib/python3.11" in run(python, "python -m venv /v && /v/bin/pip --version")
