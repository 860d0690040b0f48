"""What the engine refuses, told apart by what it means for an attempt."""

from __future__ import annotations

import pytest
from docker.errors import APIError

from harness.errors import SandboxError, SandboxGoneError
from harness.sandbox.docker.engine import NotThereError, translated


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Container 4c1 is paused, unpause the container before exec", SandboxGoneError),
        ("Container 4c1 is not running", SandboxGoneError),
        ("lstat /var/lib/docker/overlay2/2e8/merged/logs/verifier: not a directory", NotThereError),
        ("evalSymlinksInScope: too many links in /var/lib/docker/overlay2/e99/merged/app/loop", NotThereError),
        ("no space left on device", SandboxError),
    ],
)
def test_a_refusal_becomes_the_error_that_fits(said: str, kind: type[SandboxError]) -> None:
    def refuse() -> None:
        raise APIError("409 Client Error", explanation=said)

    with pytest.raises(SandboxError) as caught:
        translated(refuse)
    assert type(caught.value) is kind
