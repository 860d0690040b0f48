from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness.sandbox.streams import HeadAndTail


def _kept(pieces: list[bytes], limit: int) -> HeadAndTail:
    kept = HeadAndTail(limit)
    for piece in pieces:
        kept.add(piece)
    return kept


@given(st.lists(st.binary(max_size=40)), st.integers(min_value=400, max_value=2000))
def test_output_within_the_limit_is_whole(pieces: list[bytes], limit: int) -> None:
    whole = b"".join(pieces)
    if len(whole) <= limit:
        assert _kept(pieces, limit).text() == whole.decode(errors="replace")


@given(st.lists(st.text(max_size=60), min_size=1), st.integers(min_value=2, max_value=64))
def test_a_cut_keeps_true_ends_and_says_how_much_is_missing(texts: list[str], limit: int) -> None:
    whole = "".join(texts)
    data = whole.encode()
    kept = _kept([data[i : i + 7] for i in range(0, len(data), 7)], limit)
    assert kept.total == len(data)
    if len(data) <= limit:
        return
    head, _, rest = kept.text().partition("\n[… ")
    number, _, tail = rest.partition(" bytes left out …]\n")
    assert whole.startswith(head)
    assert whole.endswith(tail)
    assert int(number) == len(data) - len(head.encode()) - len(tail.encode())


def test_memory_stays_bounded_in_a_flood() -> None:
    kept = HeadAndTail(1000)
    for _ in range(2000):
        kept.add(b"x" * 4096)
    assert kept.total == 2000 * 4096
    assert len(kept._start) + len(kept._end) <= 3000 + 4096
