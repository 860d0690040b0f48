"""Every test of this folder runs once for each protocol."""

from __future__ import annotations

from typing import get_args

import pytest
from model_talk import OpenTalk, Start

from harness.schema.candidate import Api
from harness.testing.players import Fault


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=get_args(Api))
def api(request: pytest.FixtureRequest) -> Api:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def start(api: Api) -> Start:
    """Return what opens a talk over the protocol of this run: ``async with start(*faults) as talk``."""

    def opened(*faults: Fault, **options: object) -> OpenTalk:
        return OpenTalk(api, *faults, **options)  # type: ignore[arg-type]

    return opened
