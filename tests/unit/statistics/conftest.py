"""The vectors with known answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def vectors() -> dict[str, Any]:
    path = Path(__file__).with_name("vectors.json")
    return {vector["id"]: vector for vector in json.loads(path.read_text(encoding="utf-8"))["vectors"]}
