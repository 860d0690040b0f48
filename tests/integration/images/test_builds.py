"""Images from Dockerfiles, with a real engine."""

from __future__ import annotations

import re
from collections.abc import Callable

import anyio
import pytest

from harness.errors import ImageError
from harness.ports import PreparedImage, ProviderSettings
from harness.sandbox.docker.classic import lower
from harness.sandbox.docker.dockerfile import parse_dockerfile
from harness.sandbox.host_trust import discover_host_settings
from tests.integration.images.image_workshop import Workshop

pytestmark = [pytest.mark.docker, pytest.mark.anyio]


async def test_many_who_ask_at_the_same_time_get_one_build(workshop: Workshop, debian: str) -> None:
    task = workshop.task(f"FROM {debian}\nCOPY marker /\nRUN head -c 20 /dev/urandom > /once\n")
    prepared: list[PreparedImage] = []
    stores = [workshop.store(), workshop.store()]  # two stores are as strange to each other as two processes
    lines: list[str] = []

    async def ask(number: int) -> None:
        image = await stores[number % 2].prepare(task, on_line=lines.append)
        prepared.append(workshop.keep_track(image))

    async with anyio.create_task_group() as tasks:
        for number in range(6):
            tasks.start_soon(ask, number)
    assert len({image.facts.image_id for image in prepared}) == 1
    assert sorted(image.facts.origin for image in prepared) == ["built"] + ["cached"] * 5
    (built,) = (image for image in prepared if image.facts.origin == "built")
    assert "Step 3/" in built.log
    assert built.facts.build_s > 0
    assert sum(line.startswith("Step 1/") for line in lines) == 1
    assert re.fullmatch(r"harness/task-m\w+:[0-9a-f]{16}", built.facts.tag)
    labels = workshop.engine.inspect_image(built.facts.tag)["Config"]["Labels"]
    assert labels["harness.role"] == "task-image"


async def test_a_second_run_finds_the_image_and_a_changed_file_makes_another(
    workshop: Workshop, debian: str
) -> None:
    task = workshop.task(f"FROM {debian}\nCOPY . /app\n", data="one")
    first = workshop.keep_track(await workshop.store().prepare(task))
    again = await workshop.store().prepare(task)
    assert again.facts.origin == "cached"
    assert again.log == ""
    assert again.facts.image_id == first.facts.image_id
    changed = workshop.keep_track(
        await workshop.store().prepare(workshop.task(None, data="two").model_copy(update={"has_dockerfile": True}))
    )
    assert changed.facts.origin == "built"
    assert changed.facts.context_digest != first.facts.context_digest


async def test_a_failing_build_names_the_task_and_the_step_and_ends_with_the_log(
    workshop: Workshop, debian: str
) -> None:
    task = workshop.task(
        f"FROM {debian}\nRUN echo before-{workshop.marker}\nRUN echo no-{workshop.marker}; exit 7\n"
    )
    with pytest.raises(ImageError) as caught:
        await workshop.store().prepare(task)
    assert f"the Dockerfile of task-{workshop.marker}" in caught.value.message
    assert "Step 3/" in caught.value.message
    assert f"no-{workshop.marker}; exit 7" in caught.value.message
    assert "code: 7" in caught.value.detail
    assert f"before-{workshop.marker}" in caught.value.detail
    assert workshop.containers() == []


async def test_a_dockerfile_that_is_none_is_an_image_error(workshop: Workshop, debian: str) -> None:
    with pytest.raises(ImageError, match=r"could not be built.*RUNN"):
        await workshop.store().prepare(workshop.task(f"FROM {debian}\nRUNN ls\n"))
    with pytest.raises(ImageError, match="has no FROM"):
        await workshop.store().prepare(workshop.task("# nothing\n"))


async def test_a_build_that_takes_too_long_is_stopped(workshop: Workshop, debian: str) -> None:
    task = workshop.task(f"FROM {debian}\nRUN echo {workshop.marker}; sleep 600\n")
    with pytest.raises(ImageError, match=r"not built within 4 s.*Step 2/\d : RUN echo"):
        await workshop.store().prepare(task.model_copy(update={"build_timeout_s": 4}))
    with anyio.fail_after(60):
        while workshop.containers():  # noqa: ASYNC110 - the engine stops it, and tells nobody
            await anyio.sleep(0.1)


async def test_a_build_whose_caller_is_cancelled_is_stopped(workshop: Workshop, debian: str) -> None:
    task = workshop.task(f"FROM {debian}\nRUN echo {workshop.marker}; sleep 600\n")
    began = anyio.Event()

    def hear(line: str) -> None:
        if line.startswith("Step 2/"):
            began.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: workshop.store().prepare(task, on_line=hear))
        await began.wait()
        tasks.cancel_scope.cancel()
    with anyio.fail_after(60):
        while workshop.containers():  # noqa: ASYNC110 - the engine stops it, and tells nobody
            await anyio.sleep(0.1)


async def test_build_never_uses_what_is_built_and_refuses_the_rest(workshop: Workshop, debian: str) -> None:
    task = workshop.task(f"FROM {debian}\nCOPY marker /\n")
    never = ProviderSettings(build="never")
    with pytest.raises(ImageError, match="not built yet, and building is off"):
        await workshop.store(never).prepare(task)
    workshop.keep_track(await workshop.store().prepare(task))
    assert (await workshop.store(never).prepare(task)).facts.origin == "cached"


async def test_a_base_that_nobody_can_deliver_is_replaced_and_recorded(
    workshop: Workshop, debian: str, run: Callable[[str, str], str]
) -> None:
    workshop.unreachable.remember("docker.io", "docker.io cannot be reached: no such host")
    dockerfile = (
        "ARG V=12.1\nFROM debian:${V}-slim AS one\nRUN echo x > /x\n"
        "FROM debian:12.1-slim\nCOPY --from=one /x /x\nCOPY . /app\n"
    )
    host = discover_host_settings()  # as for the bases that all tests share
    prepared = workshop.keep_track(await workshop.store(host=host).prepare(workshop.task(dockerfile)))
    (substitution,) = prepared.facts.substitutions
    assert substitution.asked == "debian:12.1-slim"
    assert substitution.used.startswith("harness-base/debian:bookworm-")
    assert "no such host" in substitution.reason
    assert run(prepared.facts.tag, "cat /x /app/Dockerfile; ls -A /app") == f"x\n{dockerfile}Dockerfile\nmarker\n"
    tags = [tag for image in workshop.engine.images() for tag in image["RepoTags"] or ()]
    assert "debian:12.1-slim" not in tags
    again = await workshop.store(host=host).prepare(workshop.task(dockerfile))
    assert again.facts.origin == "cached"
    assert again.facts.substitutions == prepared.facts.substitutions


async def test_a_base_without_a_recipe_is_an_error_that_says_what_to_do(workshop: Workshop) -> None:
    workshop.unreachable.remember("docker.io", "docker.io cannot be reached: no such host")
    with pytest.raises(ImageError, match=r"base image rockylinux:9 .*no such host.*docker load"):
        await workshop.store().prepare(workshop.task("FROM rockylinux:9\n"))


async def test_an_environment_without_anything_is_refused(workshop: Workshop) -> None:
    with pytest.raises(ImageError, match="names no image and has no Dockerfile"):
        await workshop.store().prepare(workshop.task(None))
    windows = workshop.task("FROM scratch\n").model_copy(update={"os": "windows"})
    with pytest.raises(ImageError, match="Windows"):
        await workshop.store().prepare(windows)


NEWER = """\
# syntax=docker/dockerfile:1
FROM --platform=$TARGETPLATFORM {base}
ARG TARGETARCH
RUN --mount=type=cache,target=/var/cache/x <<EOF
set -e
echo "one for $TARGETARCH" > /one
EOF
RUN cat <<'TWO' > /two
$HOME
TWO
COPY --chmod=755 marker /marker
COPY --chmod=711 <<"END" /three
echo three
END
RUN stat -c '%a %n' /marker /three > /modes
"""


async def test_newer_syntax_is_built_by_the_classic_builder(
    workshop: Workshop, debian: str, run: Callable[[str, str], str]
) -> None:
    text = NEWER.format(base=debian)
    prepared = workshop.keep_track(await workshop.store().prepare(workshop.task(text)))
    architecture = workshop.engine.inspect_image(prepared.facts.tag)["Architecture"]
    printed = run(prepared.facts.tag, "cat /one /two /modes; /three")
    assert printed == f"one for {architecture}\n$HOME\n755 /marker\n711 /three\nthree\n"
    workshop.remove(lower(parse_dockerfile(text)).aside_tag)


async def test_what_only_buildkit_can_do_is_refused_before_anything_is_built(workshop: Workshop) -> None:
    task = workshop.task("FROM nowhere.invalid/x\nRUN --mount=type=secret,id=key cat /run/secrets/key\n")
    with pytest.raises(
        ImageError, match=r"Dockerfile uses what only BuildKit can do: RUN --mount=type=secret,id=key"
    ):
        await workshop.store().prepare(task)
