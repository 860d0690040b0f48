"""What signals do to a run: the first lets it drain, the second stops it, the third leaves; a hang-up stops it."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from harness.cli.progress import Lines, Panel, Silent
from harness.run import Control


class Interrupts:
    """Ctrl-C: the first lets running trials finish, the second ends them, the third leaves. SIGTERM likewise.

    A terminal that is closed (SIGHUP) ends them at once: nobody is there to wait, or to interrupt again. Under
    ``nohup`` it is ignored, as it was before.
    """

    def __init__(self, watcher: Panel | Lines | Silent) -> None:
        self.control = Control()
        self.signal: signal.Signals | None = None
        self._watcher = watcher
        self._terminals = [descriptor for descriptor in (1, 2) if os.isatty(descriptor)]

    @property
    def exit_code(self) -> int:
        """What a shell expects after this signal."""
        return 128 + (self.signal or signal.SIGINT)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Take signals until the block ends."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._listen)
            yield
            group.cancel_scope.cancel()

    async def _listen(self) -> None:
        hang_up = () if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN else (signal.SIGHUP,)
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, *hang_up) as signals:
            async for received in signals:
                if self.control.stopped and received == signal.SIGHUP:
                    continue  # a terminal that goes away says so more than once
                if self.control.stopped:
                    self._watcher.__exit__(None, None, None)
                    os._exit(128 + received)
                self.signal = received
                if received == signal.SIGHUP:
                    self._let_go_of_the_terminal()
                if self.control.draining or received == signal.SIGHUP:
                    self._watcher.line("Stopping what runs; its spend is kept. Once more leaves at once.")
                    self.control.stop()
                else:
                    self._watcher.line("Starting nothing new; running trials finish. Once more stops them.")
                    self.control.drain()

    def _let_go_of_the_terminal(self) -> None:
        """Write nowhere what would go to a terminal that is gone; files and pipes are written on."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for descriptor in self._terminals:
            os.dup2(nowhere, descriptor)
        os.close(nowhere)
