"""How the host's certificate authorities get into builds: a Dockerfile whose bases trust them.

After each outside base come one ``COPY`` from a small local image that holds the authorities, and ``ARG`` lines
that point package clients at them. ``COPY`` works whoever the base's user is and without a shell; ``ARG`` holds
while ``RUN`` runs and leaves no trace in the image's environment. Nothing enters the task's build context.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import anyio
from docker.errors import APIError, DockerException, NotFound
from requests.exceptions import RequestException

from harness.errors import DaemonError
from harness.sandbox.docker.builds import ensure_files_image
from harness.sandbox.docker.classic import PlainFile
from harness.sandbox.docker.dockerfile import Dockerfile, Stage
from harness.sandbox.host_trust import HostSettings

if TYPE_CHECKING:
    from docker import APIClient

_STORE = "/etc/ssl/certs/ca-certificates.crt"


class TrustImages:
    """Makes the small images, one for each base that has a trust store of its own."""

    def __init__(self, engine: APIClient, host: HostSettings) -> None:
        self._engine = engine
        self._host = host

    async def rewrite(self, dockerfile: Dockerfile, replace: Mapping[str, str]) -> str:
        """Return the Dockerfile's text with ``replace`` applied and the host's settings put in."""
        copies: dict[str, str] = {}
        if self._host.bundle:
            for stage in dockerfile.stages:
                if stage.external and stage.base not in copies:
                    copies[stage.base] = await self._ensure(replace.get(stage.base, stage.base))
        variables = [f"{name}={value}" for name, value in self._host.client_variables.items()]
        variables += self._host.index

        def after_from(stage: Stage) -> Iterator[str]:
            if stage.external and (tag := copies.get(stage.base)):
                yield f"COPY --from={tag} / /"
            if variables:
                yield f"ARG {' '.join(variables)}"

        return dockerfile.rewrite(replace, after_from)

    async def _ensure(self, base: str) -> str:
        files = {path.lstrip("/"): data for path, data in self._host.files().items()}
        store = await anyio.to_thread.run_sync(self._read_store, base)
        if store is not None:
            extra = [pem for pem in self._host.certificates.values() if pem.strip() not in store]
            files[_STORE.lstrip("/")] = b"\n".join((store.rstrip(), *extra))
        digest = hashlib.sha256()
        for path, data in sorted(files.items()):
            digest.update(f"{path}\0{hashlib.sha256(data).hexdigest()}\n".encode())
        tag = f"harness-trust/files:{digest.hexdigest()[:16]}"
        await ensure_files_image(self._engine, tag, {path: PlainFile(data=data) for path, data in files.items()})
        return tag

    def _read_store(self, base: str) -> bytes | None:
        """Return the base's own trust store, read from a container that is never started."""
        try:
            container = self._engine.create_container(base, command=["none"], labels=["harness.role=look"])["Id"]
            try:
                pieces, _ = self._engine.get_archive(container, _STORE)
                with tarfile.open(fileobj=io.BytesIO(b"".join(pieces))) as tar:
                    member = tar.next()
                    handle = tar.extractfile(member) if member and member.isfile() else None
                    return handle.read() if handle else None
            except NotFound:
                return None
            finally:
                self._engine.remove_container(container, force=True, v=True)
        except (APIError, DockerException, RequestException) as error:
            raise DaemonError(f"The base image {base} could not be looked into: {error}.") from error
