from __future__ import annotations

import os
import subprocess
import sys

import pytest

from harness.errors import SandboxError
from harness.sandbox.docker.owner import Owner
from harness.sandbox.docker.users import name_of, resolve_user

_PASSWD = "root:x:0:0:root:/root:/bin/sh\n# a remark\n\nplain:x:1000:1001::/home/plain:/bin/sh\nbroken\n"
_GROUP = "root:x:0:\nstaff:x:50:\n"


def test_this_process_is_alive_and_survives_its_label() -> None:
    owner = Owner.this_process()
    assert Owner.parse(owner.label) == owner
    assert not owner.is_gone()


def test_an_ended_process_is_gone() -> None:
    script = "from harness.sandbox.docker.owner import Owner; print(Owner.this_process().label)"
    label = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.strip()
    owner = Owner.parse(label)
    assert owner is not None
    assert owner.is_gone()


def test_a_later_process_with_the_same_pid_is_another() -> None:
    mine = Owner.this_process()
    assert Owner(host=mine.host, boot=mine.boot, pid=os.getpid(), started="1").is_gone()
    assert Owner(host=mine.host, boot="another", pid=os.getpid(), started=mine.started).is_gone()


def test_an_owner_elsewhere_is_never_said_to_be_gone() -> None:
    assert not Owner(host="elsewhere.invalid", boot="", pid=1, started="1").is_gone()


@pytest.mark.parametrize("label", ["", "host", "host|boot|x|1", "a|b|1|2|3"])
def test_a_foreign_label_names_nobody(label: str) -> None:
    assert Owner.parse(label) is None


@pytest.mark.parametrize(
    ("user", "ids"),
    [
        ("plain", (1000, 1001)),
        ("1000", (1000, 1001)),
        ("77", (77, 0)),
        ("plain:staff", (1000, 50)),
        ("5:6", (5, 6)),
    ],
)
def test_users_are_resolved_as_the_engine_does(user: str, ids: tuple[int, int]) -> None:
    assert resolve_user(user, _PASSWD, _GROUP) == ids


@pytest.mark.parametrize("user", ["nobody-here", "plain:nogroup"])
def test_an_unknown_user_is_an_error(user: str) -> None:
    with pytest.raises(SandboxError):
        resolve_user(user, _PASSWD, _GROUP)


def test_a_uid_without_a_name_is_its_number() -> None:
    assert (name_of("1000", _PASSWD), name_of("42", _PASSWD)) == ("plain", "42")
