"""The tide log format, written and read: the yardstick for the tool under test."""

import struct
from datetime import UTC, datetime

MARKER = b"\xa7\x5c"


def varint(value):
    """Encode an unsigned number."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def signed(value):
    """Encode a signed number: small magnitudes stay short."""
    return varint(value * 2 if value >= 0 else -value * 2 - 1)


def crc16(data):
    """CRC-16, polynomial 1021, initial value FFFF."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021) & 0xFFFF if crc & 0x8000 else crc << 1
    return crc


def block(kind, payload):
    """Encode a block with its marker and checksum."""
    body = kind.encode() + varint(len(payload)) + payload
    return MARKER + body + struct.pack(">H", crc16(body))


def fix(seconds, height):
    """Encode a fix."""
    return block("F", varint(seconds) + signed(height))


def readings(*pairs):
    """Encode readings given as (seconds, change)."""
    return block("R", varint(len(pairs)) + b"".join(varint(s) + signed(c) for s, c in pairs))


def calibration(offset):
    """Encode a calibration."""
    return block("C", signed(offset))


def header(station=17, start=1_700_000_000, version=2):
    """Encode the file's header."""
    return b"TLOG" + struct.pack("<BBHI", version, 0, station, start)


def spoil(data, index=-1):
    """Return a block with one byte changed."""
    changed = bytearray(data)
    changed[index] ^= 0x55
    return bytes(changed)


def read_varint(data, at, end):
    """Return (value, next place), ``None`` if it does not end in time."""
    value = 0
    for shift in range(0, 64, 7):
        if at >= end:
            return None
        value |= (data[at] & 0x7F) << shift
        at += 1
        if not data[at - 1] & 0x80:
            return value, at
    return None


def read_signed(data, at, end):
    """Return (value, next place)."""
    raw, at = read_varint(data, at, end)
    return (raw >> 1) ^ -(raw & 1), at


def good_block(data, at):
    """Return (type, payload's start, payload's end) of the block at a marker, ``None`` if it is damaged."""
    found = read_varint(data, at + 3, len(data))
    if found is None or found[1] + found[0] + 2 > len(data):
        return None
    length, start = found
    end = start + length
    if crc16(data[at + 2 : end]) != int.from_bytes(data[end : end + 2], "big"):
        return None
    return chr(data[at + 2]), start, end


class Reader:
    """Decodes a whole log: ``readings`` as (time, height), and the counts."""

    def __init__(self, data):
        self.station, self.start = struct.unpack("<HI", data[6:12])
        self.readings = []
        self.damaged = self.orphaned = 0
        self.time = self.height = None
        self.offset = 0
        self.read(data)

    def read(self, data):
        """Walk over the blocks."""
        at, in_damage = 12, False
        while (at := data.find(MARKER, at)) >= 0:
            found = good_block(data, at)
            if found is None:
                self.damaged += not in_damage
                in_damage, self.height = True, None
                at += 1
                continue
            in_damage = False
            self.take(data, *found)
            at = found[2] + 2

    def take(self, data, kind, at, end):
        """Use one good block."""
        if kind == "C":
            self.offset, _ = read_signed(data, at, end)
        elif kind == "F":
            seconds, at = read_varint(data, at, end)
            self.height, _ = read_signed(data, at, end)
            self.time = self.start + seconds
            self.readings.append((self.time, self.height + self.offset))
        elif kind == "R" and self.height is None:
            self.orphaned += 1
        elif kind == "R":
            count, at = read_varint(data, at, end)
            for _ in range(count):
                seconds, at = read_varint(data, at, end)
                change, at = read_signed(data, at, end)
                self.time += seconds
                self.height += change
                self.readings.append((self.time, self.height + self.offset))


def clock(seconds):
    """Write a time as the tool does."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def metres(height):
    """Write a height as the tool does."""
    return f"{'-' if height < 0 else ''}{abs(height) // 1000}.{abs(height) % 1000:03d}"


def csv(data):
    """Return what the tool prints for a log."""
    lines = [f"{clock(time)},{metres(height)}" for time, height in Reader(data).readings]
    return "\n".join(["time,height_m", *lines]) + "\n"


def summary(data, names):
    """Return what the tool prints for a log with ``-s``."""
    log = Reader(data)
    lines = [f"station: {names.get(log.station, 'unknown')} ({log.station})", f"readings: {len(log.readings)}"]
    lines += [f"damaged: {log.damaged}", f"orphaned: {log.orphaned}"]
    if log.readings:
        low, high = min(log.readings, key=lambda r: r[1]), max(log.readings, key=lambda r: r[1])
        total, count = sum(height for _, height in log.readings), len(log.readings)
        mean = (abs(total) + count // 2) // count * (1 if total >= 0 else -1)
        lines += [f"lowest: {metres(low[1])} {clock(low[0])}", f"highest: {metres(high[1])} {clock(high[0])}"]
        lines += [f"mean: {metres(mean)}"]
    return "\n".join(lines) + "\n"
