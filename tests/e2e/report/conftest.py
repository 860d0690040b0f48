"""A real browser, and runs that never ran."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

sys.path[:0] = [str(Path(__file__).parents[2] / "golden"), str(Path(__file__).parent)]

if TYPE_CHECKING:
    from playwright.sync_api import Browser
    from watched_page import Watched


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from screenshot import CHROMIUM, chromium

    if not CHROMIUM.exists():
        pytest.fail(f"{CHROMIUM} is missing; `make test` installs it (apt-get install chromium).")
    with chromium() as found:
        yield found


@pytest.fixture
def watched(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Watched]:
    from watched_page import Watched

    found = Watched(browser, **getattr(request, "param", {}))
    yield found
    found.close()
