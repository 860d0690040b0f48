"""Images by name: local, pulled, and what stands in when a registry does not deliver."""

from __future__ import annotations

import pytest

from harness.errors import ImageError
from harness.ports import ProviderSettings
from harness.sandbox.host_trust import discover_host_settings
from tests.integration.images.image_workshop import Workshop
from tests.integration.images.loopback_registry import TinyImage, serve, silent

pytestmark = [pytest.mark.docker, pytest.mark.anyio]


async def test_an_image_that_is_here_is_used_as_it_is(workshop: Workshop, debian: str) -> None:
    prepared = await workshop.store().prepare(workshop.task("FROM none\n", docker_image=debian))
    assert prepared.facts.origin == "local"
    assert prepared.facts.tag == debian


async def test_an_image_is_pulled_from_a_registry_that_answers(workshop: Workshop) -> None:
    with serve("tiny", TinyImage(workshop.marker)) as registry:
        task = workshop.task("FROM none\n", docker_image=f"{registry}/tiny:1")
        lines: list[str] = []
        prepared = workshop.keep_track(await workshop.store().prepare(task, on_line=lines.append))
        assert prepared.facts.origin == "pulled"
        assert prepared.facts.tag == f"{registry}/tiny:1"
        assert lines[0] == f"pulling {registry}/tiny:1"
        assert lines[-1].endswith("1 of 1 layers")
        assert (await workshop.store().prepare(task)).facts.origin == "local"


async def test_a_base_is_pulled_from_a_registry_that_answers(workshop: Workshop) -> None:
    with serve("tiny", TinyImage(workshop.marker)) as registry:
        task = workshop.task(f"FROM {registry}/tiny:1\nCOPY marker /\n")
        prepared = workshop.keep_track(await workshop.store().prepare(task))
        workshop.remove(f"{registry}/tiny:1")
    assert prepared.facts.origin == "built"
    assert prepared.facts.substitutions == ()


async def test_an_image_that_cannot_be_pulled_is_built_from_the_dockerfile_and_says_so(
    workshop: Workshop, debian: str
) -> None:
    with serve("tiny", TinyImage(workshop.marker)) as registry:
        name = f"{registry}/tiny:none"
        task = workshop.task(f"FROM {debian}\nCOPY marker /\n", docker_image=name)
        prepared = workshop.keep_track(await workshop.store().prepare(task))
        assert prepared.facts.origin == "built"
        assert prepared.facts.asked == name
        assert prepared.facts.tag.startswith("harness/")
        assert name in prepared.facts.note
        assert "manifest" in prepared.facts.note
        assert workshop.unreachable.why(registry) is None, "it answered: the next image may well be there"
        with pytest.raises(ImageError, match=r"tiny:none could not be pulled: .*manifest.*--build auto"):
            await workshop.store(ProviderSettings(build="never")).prepare(task)


async def test_build_always_leaves_the_named_image_alone(workshop: Workshop, debian: str) -> None:
    task = workshop.task(f"FROM {debian}\nCOPY marker /\n", docker_image=debian)
    prepared = workshop.keep_track(await workshop.store(ProviderSettings(build="always")).prepare(task))
    assert prepared.facts.origin == "built"


async def test_a_registry_that_never_answers_is_given_up_on_and_remembered(workshop: Workshop) -> None:
    with silent() as registry:
        task = workshop.task(None, docker_image=f"{registry}/some/image:1")
        with pytest.raises(ImageError, match=f"{registry} did not answer within 3 s"):
            await workshop.store().prepare(task)
        assert workshop.unreachable.why(registry)


async def test_a_registry_that_is_not_there_is_remembered(workshop: Workshop) -> None:
    with silent() as registry:
        pass
    with pytest.raises(ImageError, match="connection refused"):
        await workshop.store().prepare(workshop.task(None, docker_image=f"{registry}/some/image:1"))
    assert workshop.unreachable.why(registry) == f"{registry} cannot be reached: connection refused"


async def test_a_common_base_named_as_the_image_itself_is_stood_in_for(workshop: Workshop, debian: str) -> None:
    workshop.unreachable.remember("docker.io", "docker.io cannot be reached: no such host")
    task = workshop.task(None, docker_image="debian:12.1-slim")
    prepared = await workshop.store(host=discover_host_settings()).prepare(task)
    (substitution,) = prepared.facts.substitutions
    assert prepared.facts.tag == substitution.used
    assert substitution.asked == "debian:12.1-slim"
    with pytest.raises(ImageError, match="no such host"):
        await workshop.store(ProviderSettings(build="never")).prepare(task)
