"""Is this base64 text really a picture? Checked as far as a service does before a model sees it."""

from __future__ import annotations

import base64
import binascii
import struct
import zlib

from harness.testing.model_server.refused import Refused

MEDIA_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")


def picture_problem(data_b64: str, media_type: str) -> str | None:
    """Say why this is not a picture of ``media_type``, ``None`` if it is one."""
    try:
        data = base64.b64decode(data_b64, validate=True)
    except (binascii.Error, ValueError):
        return "the image data is not valid base64"
    found = sniff(data)
    if found is None:
        return "the image data does not represent a valid image"
    if found != media_type:
        return f"the image was specified using the {media_type} media type, but it appears to be a {found} image"
    return None


def data_url_problem(url: str) -> str | None:
    """The same for a ``data:`` URL."""
    head, comma, data = url.removeprefix("data:").partition(",")
    media_type, _, encoding = head.partition(";")
    if not url.startswith("data:") or not comma or encoding != "base64":
        return "expected a base64-encoded data URL with an image MIME type (e.g. 'data:image/png;base64,…')"
    if media_type not in MEDIA_TYPES:
        return f"unsupported image MIME type '{media_type}'"
    return picture_problem(data, media_type)


def check_data_url(url: str, param: str) -> None:
    """Refuse an image URL that is neither a link nor a real picture, as the OpenAI services do."""
    if url.startswith(("http://", "https://")):
        raise Refused(
            400, f"Error while downloading {url}.", param=param, code="invalid_image_url"
        )  # a loopback service reaches nothing
    if problem := data_url_problem(url):
        raise Refused(400, f"Invalid '{param}': {problem}.", param=param, code="invalid_image_format")


def sniff(data: bytes) -> str | None:
    """Return the media type of a complete picture, ``None`` when it is none."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png" if _png(data) else None
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg" if b"\xff\xd9" in data[-64:] else None
    if data[:6] in {b"GIF87a", b"GIF89a"}:
        return "image/gif" if len(data) > 13 and data.rstrip(b"\0").endswith(b";") else None
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp" if struct.unpack("<I", data[4:8])[0] + 8 <= len(data) else None
    return None


def _png(data: bytes) -> bool:
    place, names, pixels = 8, [], b""
    while place + 12 <= len(data):
        (length,) = struct.unpack(">I", data[place : place + 4])
        name, body = data[place + 4 : place + 8], data[place + 8 : place + 8 + length]
        crc = data[place + 8 + length : place + 12 + length]
        if len(crc) < 4 or struct.unpack(">I", crc)[0] != zlib.crc32(name + body):
            return False
        names.append(name)
        if name == b"IHDR" and 0 in struct.unpack(">II", body[:8]):
            return False
        pixels += body if name == b"IDAT" else b""
        place += 12 + length
    return names[:1] == [b"IHDR"] and names[-1:] == [b"IEND"] and _inflates(pixels)


def _inflates(data: bytes) -> bool:
    try:
        return len(zlib.decompressobj().decompress(data, 64)) > 0
    except zlib.error:
        return False
