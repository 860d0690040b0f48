from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise

import anyio
from hypothesis import given
from hypothesis import strategies as st

from harness.model.streams import Received, read_events


def read(body: bytes, cuts: list[int]) -> tuple[list[str], Received]:
    places = sorted({0, *(cut % (len(body) + 1) for cut in cuts), len(body)})

    async def chunks() -> AsyncIterator[bytes]:
        for start, end in pairwise(places):
            yield body[start:end]

    received = Received()

    async def go() -> list[str]:
        return [event async for event in read_events(chunks(), received)]

    return anyio.run(go), received


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r"), max_size=20)


@given(
    texts=st.lists(TEXTS, max_size=6),
    end=st.sampled_from(["\n", "\r\n"]),
    cuts=st.lists(st.integers(min_value=0), max_size=20),
)
def test_events_are_the_same_however_the_bytes_are_cut(texts: list[str], end: str, cuts: list[int]) -> None:
    body = "".join(f"event: e{end}data: {text}{end}{end}" for text in texts).encode()
    events, received = read(body, cuts)
    assert events == texts
    assert received.events == texts
    assert received.stray == ""


def test_unusual_line_separators_do_not_tear_an_event() -> None:
    text = '{"a":"one\u2028two\u2029three\x85four\x0cfive"}'
    events, _ = read(f"data: {text}\n\n".encode(), [])
    assert events == [text]


def test_data_over_several_lines_is_one_event_and_one_line_of_the_record() -> None:
    events, received = read(b'data: {"a":\ndata: 1}\n\n', [])
    assert events == ['{"a":\n1}']
    assert received.text() == '{"a": 1}'


def test_an_event_without_its_blank_line_is_dropped() -> None:
    events, received = read(b'data: {"a":1}\n\ndata: {"b":2}\n', [])
    assert events == ['{"a":1}']
    assert received.text() == '{"a":1}'


def test_what_is_no_event_stream_is_kept_up_to_a_size() -> None:
    events, received = read(b"<html>\n" + b"<p>\n" * 100_000, [])
    assert events == []
    assert received.text().startswith("<html>")
    assert len(received.text()) < 20_000


def test_broken_utf8_is_replaced() -> None:
    events, _ = read(b"data: a\xffb\n\n", [])
    assert events == ["a\ufffdb"]
