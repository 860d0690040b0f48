"""Pull images, and remember for a while which registries do not answer.

Owns the time limits of a pull and the sentence of its failure. A machine without a registry is ordinary: only
the first pull waits for it, later ones (also of other processes, for an hour) are told at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio
from docker import auth
from docker.errors import DockerException

from harness.sandbox.docker.engine_stream import EngineCall, EngineRefusalError, StreamItem, follow
from harness.sandbox.docker.reference import ImageReference, parse_reference
from harness.sandbox.docker.unreachable import Unreachable

if TYPE_CHECKING:
    from docker import APIClient

_ANSWER_S = 10.0
_UNREACHABLE = (
    "no such host",
    "dial tcp",
    "i/o timeout",
    "timeout exceeded",
    "connection refused",
    "network is unreachable",
    "proxyconnect",
    "tls:",
    "x509",
    "server misbehaving",
    "temporary failure in name resolution",
)


class PullError(Exception):
    """The image cannot be pulled: a sentence without its end stop."""


class Registries:
    """Pulls through one engine. ``answer_s`` is how long a registry may take to say anything at all."""

    def __init__(self, engine: APIClient, unreachable: Unreachable, *, answer_s: float = _ANSWER_S) -> None:
        self._engine = engine
        self._unreachable = unreachable
        self._answer_s = answer_s

    async def pull(self, image: str, *, timeout_s: float, on_line: Callable[[str], None]) -> None:
        """Pull an image. Raises ``PullError`` when the registry does not answer soon, refuses, or stalls."""
        reference = parse_reference(image)
        if why := self._unreachable.why(reference.registry):
            raise PullError(why)
        on_line(f"pulling {image}")
        try:
            with anyio.fail_after(timeout_s):
                await self._follow(reference, _Progress(image, on_line))
        except TimeoutError:
            raise PullError(f"{reference.registry} did not deliver {image} within {timeout_s:g} s") from None

    async def _follow(self, reference: ImageReference, progress: _Progress) -> None:
        headers = {}
        with contextlib.suppress(DockerException):  # a credential store that is configured but not installed
            header = auth.get_config_header(self._engine, _auth_name(reference.registry))
            headers = {"X-Registry-Auth": header} if header else {}
        params = {"fromImage": reference.pull_name, "tag": reference.pull_tag}
        call = EngineCall(path="/images/create", params=params, headers=headers)
        try:
            await follow(self._engine, call, progress.hear, answer_s=self._answer_s)
        except EngineRefusalError as error:
            sentence = " ".join(str(error).split())
            if any(sign in sentence.lower() for sign in _UNREACHABLE):
                # The engine's sentence names addresses and resolvers before it comes to the point.
                sentence = f"{reference.registry} cannot be reached: {sentence.rpartition(': ')[2]}"
                self._unreachable.remember(reference.registry, sentence)
            raise PullError(sentence) from error
        except TimeoutError as error:
            why = f"{reference.registry} did not answer within {self._answer_s:g} s"
            self._unreachable.remember(reference.registry, why)
            raise PullError(why) from error


def _auth_name(registry: str) -> str:
    return auth.INDEX_NAME if registry == "docker.io" else registry


class _Progress:
    """Says how a pull goes on, in a line for each layer that is done."""

    def __init__(self, image: str, on_line: Callable[[str], None]) -> None:
        self._image = image
        self._on_line = on_line
        self._layers: set[str] = set()
        self._done = 0

    def hear(self, item: StreamItem) -> None:
        if item.layer and item.status == "Pulling fs layer":
            self._layers.add(item.layer)
        elif item.layer in self._layers and item.status == "Pull complete":
            self._done += 1
            self._on_line(f"pulling {self._image}: {self._done} of {len(self._layers)} layers")
