"""``python -m harness.testing.model_server``: point any tool at scripted players."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import anyio

from harness.errors import HarnessError
from harness.testing.model_server import ModelServer
from harness.testing.players import Player, bundled_players, load_players


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m harness.testing.model_server", description=__doc__)
    parser.add_argument("--players", type=Path, help="a folder of players (the bundled ones if left out)")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on")
    parser.add_argument("--port", type=int, default=0, help="the port to listen on (0: any free one)")
    parser.add_argument("--key", action="append", help="a key to accept (any if left out; may be repeated)")
    return parser.parse_args()


async def _serve(players: tuple[Player, ...], options: argparse.Namespace) -> None:
    async with ModelServer(players, keys=options.key, host=options.host, port=options.port) as server:
        sys.stdout.write(f"{server.base_url}\n")
        sys.stdout.flush()
        for player in players:
            sys.stderr.write(
                f"{player.name}: {player.description or 'a scripted player'}, {len(player.scripts)} scripts\n"
            )
        await anyio.sleep_forever()


def main() -> int:
    """Serve until interrupted; print the address first."""
    options = _arguments()
    try:
        players = load_players(options.players) if options.players else bundled_players()
        anyio.run(_serve, players, options)
    except HarnessError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except OSError as error:
        sys.stderr.write(f"Cannot listen on {options.host}:{options.port}: {error}.\n")
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
