"""One build through the Engine API's classic builder, and the few calls that every image needs.

Owns the order to the engine, the log, the time limit and the sentence of a failure. Leaves to others what is
built and under which name. Source: Engine API 1.41, ``POST /build``.
"""

from __future__ import annotations

import io
import json
import re
import tarfile
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

import anyio
from docker import auth
from docker.errors import APIError, DockerException, ImageNotFound
from requests.exceptions import RequestException

from harness.errors import DaemonError, ImageError
from harness.sandbox.docker.classic import PlainFile
from harness.sandbox.docker.engine import open_engine
from harness.sandbox.docker.engine_stream import EngineCall, EngineRefusalError, StreamItem, follow
from harness.sandbox.docker.once import machine_lock

if TYPE_CHECKING:
    from docker import APIClient

_STEP = re.compile(r"^Step \d+/\d+ : ")
_STEP_WIDTH = 140
_DETAIL_LINES = 60


@dataclass(frozen=True, kw_only=True)
class BuildOrder:
    """What to build. ``what`` names it in messages; ``context`` is a tar, ``dockerfile`` a path in it."""

    tag: str
    what: str
    context: IO[bytes]
    dockerfile: str = "Dockerfile"
    build_args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float


@asynccontextmanager
async def engine_client(client: APIClient | None) -> AsyncIterator[APIClient]:
    """Lend the client that is given, or open one from the environment and close it again."""
    if client is not None:
        yield client
        return
    async with open_engine() as own:
        yield own.api


async def image_id(engine: APIClient, tag: str) -> str | None:
    """Return the local image's content id, ``None`` when there is no such image."""
    try:
        found = await anyio.to_thread.run_sync(engine.inspect_image, tag)
    except ImageNotFound:
        return None
    except (APIError, DockerException, RequestException) as error:
        raise DaemonError(f"The Docker Engine could not be asked for the image {tag}: {error}.") from error
    return str(found["Id"])


async def ensure_files_image(engine: APIClient, tag: str, files: Mapping[str, PlainFile]) -> None:
    """Have a local image that holds these files and nothing else, for ``COPY --from``. ``tag`` names its digest."""
    async with machine_lock(tag):
        if await image_id(engine, tag):
            return
        repository, _, name = tag.partition(":")
        with tar_of(files) as body:
            call = EngineCall(
                path="/images/create",
                params={"fromSrc": "-", "repo": repository, "tag": name, "changes": ["LABEL harness.role=files"]},
                headers={"Content-Type": "application/x-tar"},
                body=body,
            )
            try:
                await follow(engine, call, lambda _: None)
            except EngineRefusalError as error:
                raise DaemonError(f"Docker did not take the files for {tag}: {error}.") from error


def tar_of(files: Mapping[str, PlainFile]) -> IO[bytes]:
    """Return a tar of a few small files, readable from its start."""
    target = tempfile.TemporaryFile()  # noqa: SIM115 - closed by whoever builds with it
    with tarfile.open(fileobj=target, mode="w") as tar:
        for name, file in sorted(files.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(file.data), file.mode
            tar.addfile(info, io.BytesIO(file.data))
    target.seek(0)
    return target


async def run_build(engine: APIClient, order: BuildOrder, on_line: Callable[[str], None]) -> str:
    """Build, and return the whole log.

    ``on_line`` hears each step's first line. Raises ``ImageError`` with the failing step and the log's end, also
    when the time is over: the engine is then told to stop.
    """
    log = _Log(on_line)
    call = EngineCall(
        path="/build",
        params={
            "t": order.tag,
            "dockerfile": order.dockerfile,
            "rm": "1",
            "forcerm": "1",
            "buildargs": json.dumps(dict(order.build_args)),
            "labels": json.dumps(dict(order.labels)),
        },
        headers={"Content-Type": "application/x-tar", **_registry_config()},
        body=order.context,
    )
    try:
        with anyio.fail_after(order.timeout_s):
            await follow(engine, call, log.hear)
    except EngineRefusalError as error:
        raise ImageError(
            f"The {order.what} could not be built{log.at_step}: {_one_line(str(error))}",
            hint="The end of the build log says why.",
            detail=log.tail(str(error)),
        ) from error
    except TimeoutError:
        raise ImageError(
            f"The {order.what} was not built within {order.timeout_s:g} s; it was{log.at_step or ' not begun'}.",
            hint="Raise the task's build_timeout_sec, or look at the end of the build log for what it waits for.",
            detail=log.tail(),
        ) from None
    finally:
        order.context.close()
    return log.text


def _registry_config() -> dict[str, str]:
    """Return the header that lets the engine pull private bases with the user's logins, if there are any."""
    try:
        known = auth.load_config().get_all_credentials()
    except DockerException:  # a credential store that is configured but not installed
        return {}
    return {"X-Registry-Config": auth.encode_header(known)} if known else {}


class _Log:
    """Collects a build's output and remembers the step it is at."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._pieces: list[str] = []
        self._step = ""

    def hear(self, item: StreamItem) -> None:
        text = item.stream or (f"{item.layer} {item.status}".strip() + "\n" if item.status else "")
        self._pieces.append(text)
        if _STEP.match(text):
            self._step = _one_line(text)
            self._on_line(self._step)

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    @property
    def at_step(self) -> str:
        return f" at {self._step}" if self._step else ""

    def tail(self, last: str = "") -> str:
        lines = [*self.text.splitlines(), *([last] if last else [])]
        return "\n".join(lines[-_DETAIL_LINES:])


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _STEP_WIDTH else f"{line[: _STEP_WIDTH - 1]}…"
