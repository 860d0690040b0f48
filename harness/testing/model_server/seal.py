"""Ids, signatures and sealed reasoning that can be checked later without remembering anything.

An id carries conversation, turn and a short MAC, so a history tells which turn comes next, also after its
first part was compacted away. Keys come from the player's fingerprint: a restarted server knows its own ids.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass

_TOKEN = 22


@dataclass(frozen=True, kw_only=True)
class Stamp:
    """What an id of ours says: which conversation and turn (from 1), and whether reasoning went before it."""

    conversation: str
    turn: int
    reasoned: bool = False


class Seal:
    """Makes and checks what a player hands out."""

    def __init__(self, fingerprint: str) -> None:
        self._key = hashlib.sha256(b"scripted player " + fingerprint.encode()).digest()

    def mac(self, text: str, length: int = 32) -> str:
        """Return a MAC as hexadecimal digits."""
        return hmac.new(self._key, text.encode(), hashlib.sha256).hexdigest()[:length]

    def token(self, stamp: Stamp) -> str:
        """Return the part that all ids of one reply share: 22 hexadecimal digits."""
        head = f"{stamp.conversation:0>8}{min(stamp.turn, 0xFFFF):04x}{int(stamp.reasoned)}"
        return head + self.mac(head, _TOKEN - len(head))

    def read(self, item_id: str) -> Stamp | None:
        """Return what an id says, ``None`` when it is not one of ours."""
        body = item_id.rpartition("_")[2]
        head, mac = body[:13], body[13:_TOKEN]
        if len(body) != _TOKEN + 2 or mac != self.mac(head, _TOKEN - len(head)):
            return None
        return Stamp(conversation=head[:8], turn=int(head[8:12], 16), reasoned=head[12] == "1")

    def close(self, *fields: str) -> str:
        """Seal fields into one opaque string."""
        text = "\0".join(fields)
        return base64.urlsafe_b64encode(f"{self.mac(text)}{text}".encode()).decode()

    def open(self, sealed: str) -> list[str] | None:
        """Return sealed fields, ``None`` when the string was not made here or was changed."""
        try:
            text = base64.b64decode(sealed.encode(), altchars=b"-_", validate=True).decode()
        except (binascii.Error, UnicodeError, ValueError):
            return None
        mac, body = text[:32], text[32:]
        return body.split("\0") if hmac.compare_digest(mac.encode(), self.mac(body).encode()) else None


def item_id(kind: str, token: str, index: int) -> str:
    """Return the id of one item of a reply; reasoning is 0, text 1, calls from 2 on."""
    return f"{kind}_{token}{index:02x}"
