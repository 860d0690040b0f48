"""Server-sent events from bytes, kept as they came.

The vendors' own stream readers swallow pings, split nothing we could keep, and end in silence when a
connection is cut; so the bytes are read here. Specification: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field

from harness.model.faults import Fault, ProviderFault

_STRAY_LIMIT = 8_000
_LINE_LIMIT = 128 * 1024 * 1024


@dataclass
class Received:
    """What a stream brought: the data of each event, and the start of anything that was no event stream."""

    events: list[str] = field(default_factory=list)
    stray: str = ""

    def text(self) -> str:
        """Return the raw answer: one line per event, or the text that was none."""
        return "\n".join(self.events) if self.events else self.stray


async def read_events(chunks: AsyncIterator[bytes], received: Received) -> AsyncGenerator[str, None]:
    """Yield the data of each event; events without data, such as comments, are passed over.

    Lines end at LF or CR LF only: a reader that also split at U+2028 would tear JSON texts. A last event
    without its blank line is dropped, as the specification says: it may be half of one.
    """
    pending: list[str] = []
    async for line in _lines(chunks):
        if not line:
            if pending:
                data = "\n".join(pending)
                pending = []
                received.events.append(data.replace("\n", " "))
                yield data
            continue
        name, _, value = line.partition(":")
        if name == "data":
            pending.append(value.removeprefix(" "))
        elif name not in {"", "event", "id", "retry"} and len(received.stray) < _STRAY_LIMIT:
            received.stray += line[:_STRAY_LIMIT] + "\n"


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    rest = bytearray()
    async for chunk in chunks:
        rest += chunk
        if b"\n" not in chunk:
            if len(rest) > _LINE_LIMIT:
                raise ProviderFault(
                    Fault(message="one line of the stream is larger than 128 MiB", code="malformed")
                )
            continue
        *lines, tail = rest.split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r").decode(errors="replace")
        rest = bytearray(tail)
    if rest:
        yield rest.decode(errors="replace")
