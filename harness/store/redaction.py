"""Takes secrets out of what is written, by their value and in every spelling that a log may hold them in."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

MARK = "[redacted]"
SHORTEST = 8
"""Values with fewer characters stay: they are words (``dummy``, ``ollama``), and every word like them would go."""


class Redaction:
    """Replaces the given secrets by ``[redacted]``: as they are, and in JSON, URL and base64 spellings."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        wanted = {secret for secret in secrets if len(secret) >= SHORTEST}
        forms = {form for secret in wanted for form in _forms(secret)}
        self._texts = sorted(forms, key=lambda form: (-len(form), form))
        self._bytes = [form.encode("utf-8", "surrogatepass") for form in self._texts]

    def __bool__(self) -> bool:
        return bool(self._texts)

    def text(self, text: str) -> str:
        """Return ``text`` without secrets; the same object if there are none."""
        for form in self._texts:
            if form in text:
                text = text.replace(form, MARK)
        return text

    def data(self, data: bytes) -> bytes:
        """Return ``data`` without secrets; the same object if there are none."""
        for form in self._bytes:
            if form in data:
                data = data.replace(form, MARK.encode())
        return data


def _forms(secret: str) -> Iterator[str]:
    for spelling in (secret, quote(secret, safe=""), quote(secret), quote_plus(secret)):
        yield spelling
        # Text that went through JSON once (a line of the record) or twice (a body kept as text in a line).
        for ascii_only in (True, False):
            once = json.dumps(spelling, ensure_ascii=ascii_only)[1:-1]
            yield once
            yield json.dumps(once, ensure_ascii=ascii_only)[1:-1]
    yield from _base64_forms(secret.encode("utf-8", "surrogatepass"))


def _base64_forms(secret: bytes) -> Iterator[str]:
    """Yield what base64 shows of ``secret`` wherever it stands in the encoded bytes (``user:secret``)."""
    for offset in range(3):
        encoded = base64.b64encode(bytes(offset) + secret).rstrip(b"=").decode()
        # The first and last letters also hold bits of the neighbours, so they are left out.
        start = (offset * 8 + 5) // 6
        whole = (offset + len(secret)) * 8 // 6
        inner = encoded[start:whole]
        for spelling in (inner, inner.replace("+", "-").replace("/", "_")):
            yield spelling
            yield spelling.replace("/", "%2F").replace("+", "%2B")
