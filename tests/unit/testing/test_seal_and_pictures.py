from __future__ import annotations

import base64
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.testing.model_server.images import data_url_problem, picture_problem
from harness.testing.model_server.seal import Seal, Stamp, item_id
from harness.testing.model_server.tool_schema import schema_problem

STAMPS = st.builds(
    Stamp,
    conversation=st.text("0123456789abcdef", min_size=8, max_size=8),
    turn=st.integers(1, 0xFFFF),
    reasoned=st.booleans(),
)


def png() -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0\0")) + chunk(b"IEND", b"")
    )


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@given(STAMPS, st.integers(0, 255))
def test_an_id_tells_its_turn_to_a_server_that_was_restarted(stamp: Stamp, index: int) -> None:
    own = item_id("call", Seal("script one").token(stamp), index)
    assert Seal("script one").read(own) == stamp
    assert Seal("script two").read(own) is None


@given(STAMPS, st.integers(5, 26), st.sampled_from("0123456789abcdef"))
def test_a_changed_id_is_not_ours(stamp: Stamp, place: int, digit: str) -> None:
    seal = Seal("script")
    own = item_id("call", seal.token(stamp), 2)
    changed = own[:place] + digit + own[place + 1 :]
    assert (seal.read(changed) is None) == (changed != own)


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), min_size=1))
def test_what_is_sealed_opens_only_with_its_own_key(fields: list[str]) -> None:
    sealed = Seal("script").close(*fields)
    assert Seal("script").open(sealed) == fields
    assert Seal("other").open(sealed) is None
    assert Seal("script").open(sealed[:-4]) is None


@pytest.mark.parametrize("text", ["", "?", "AAAA", "ä"])
def test_what_was_never_sealed_does_not_open(text: str) -> None:
    assert Seal("script").open(text) is None


def test_a_real_png_passes_and_its_damage_is_seen() -> None:
    data = png()
    assert picture_problem(b64(data), "image/png") is None
    assert "appears to be a image/png" in (picture_problem(b64(data), "image/jpeg") or "")
    for broken in (data[:-12], data[:40] + b"\xff" + data[41:], b"\x89PNG\r\n\x1a\n", b"text"):
        assert "valid image" in (picture_problem(b64(broken), "image/png") or "")
    assert "base64" in (picture_problem("not base64!", "image/png") or "")


def test_a_data_url_needs_an_image_type_and_base64() -> None:
    assert data_url_problem(f"data:image/png;base64,{b64(png())}") is None
    assert "unsupported" in (data_url_problem(f"data:image/tiff;base64,{b64(png())}") or "")
    assert data_url_problem("image.png") is not None


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "string"}, "type: 'string'"),
        ({"type": "object", "properties": {"a": {"type": "text"}}}, "'text' is not valid"),
        ({"type": "object", "properties": {"a": {"type": "array"}}}, "missing items"),
        ({"type": "object", "properties": []}, "'properties' must be an object"),
        ({"type": "object", "required": "a"}, "'required'"),
        ([], "JSON object"),
    ],
)
def test_a_schema_that_services_refuse_is_refused(schema: object, said: str) -> None:
    assert said in (schema_problem(schema) or "")  # type: ignore[arg-type]


def test_a_strict_schema_must_be_closed() -> None:
    open_schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    assert schema_problem(open_schema) is None
    assert "additionalProperties" in (schema_problem(open_schema, strict=True) or "")
    closed = open_schema | {"additionalProperties": False}
    assert "Missing 'a'" in (schema_problem(closed, strict=True) or "")
    assert schema_problem(closed | {"required": ["a"]}, strict=True) is None
