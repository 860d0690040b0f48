"""``harness ps`` and ``harness clean``: the sandboxes that are there, and removing those that nobody owns."""

from __future__ import annotations

import json
from dataclasses import asdict

import anyio

from harness.errors import EXIT_OK
from harness.ports import ProviderSettings


def ps_command(*, as_json: bool) -> int:
    """Print every container of the harness on this engine."""
    from harness.sandbox.docker.engine import open_engine
    from harness.sandbox.docker.listing import Held, list_held

    async def held() -> tuple[Held, ...]:
        async with open_engine() as engine:
            return await list_held(engine)

    found = anyio.run(held)
    if as_json:
        print(json.dumps([asdict(container) for container in found]))
        return EXIT_OK
    if not found:
        print("No sandboxes.")
        return EXIT_OK
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table("container", "run", "trial", "try", "role", "state", "age", "owner", box=SIMPLE_HEAD)
    for container in found:
        table.add_row(
            container.container[:12],
            container.run,
            container.trial,
            container.attempt,
            container.role,
            container.state,
            f"{container.age_s / 60:.0f} min" if container.age_s >= 120 else f"{container.age_s:.0f} s",
            container.owner,
        )
    Console().print(table)
    return EXIT_OK


def clean_command() -> int:
    """Remove the containers whose process is gone; those of living runs and of other hosts stay."""
    from harness.sandbox.docker import open_provider

    async def reap() -> int:
        async with open_provider(ProviderSettings()) as provider:
            return await provider.reap({})

    removed = anyio.run(reap)
    print(f"Removed {removed} container{'' if removed == 1 else 's'} that a dead run had left.")
    return EXIT_OK
