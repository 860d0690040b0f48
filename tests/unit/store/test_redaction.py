from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.schema.event import Noted
from harness.schema.result import RunClosed
from harness.store import RunStore
from harness.store.redaction import SHORTEST, Redaction

KEY = 'sk-"p\\a/ss+w ö€rd&1\n'


@pytest.mark.parametrize(
    "spelled",
    [
        KEY,
        json.dumps(KEY)[1:-1],
        json.dumps(KEY, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps({"k": KEY})),
        json.dumps(json.dumps({"k": KEY}, ensure_ascii=False), ensure_ascii=False),
        quote(KEY),
        quote(KEY, safe=""),
        quote_plus(KEY),
    ],
)
def test_a_secret_goes_in_every_spelling(spelled: str) -> None:
    redaction = Redaction([KEY])
    clean = redaction.text(f"before {spelled} after")
    assert "rd" not in clean
    assert clean.startswith("before ")
    assert clean.endswith(" after")
    assert "[redacted]" in clean
    assert b"[redacted]" in redaction.data(f"before {spelled} after".encode())


@settings(deadline=None)
@given(before=st.binary(max_size=7), after=st.binary(max_size=7), url_safe=st.booleans())
def test_a_secret_goes_from_base64_wherever_it_stands(before: bytes, after: bytes, url_safe: bool) -> None:
    secret = "user-secret-0123456789"
    encode = base64.urlsafe_b64encode if url_safe else base64.b64encode
    encoded = encode(before + secret.encode() + after).decode()
    clean = Redaction([secret]).text(encoded)
    assert "[redacted]" in clean
    # What is left at the edges is not enough to hold a letter more than the neighbours' own.
    assert len(clean) - len("[redacted]") <= (len(before) + len(after)) * 4 / 3 + 8


def test_without_secrets_nothing_is_touched_or_copied() -> None:
    text, data = "x" * 1000, b"y" * 1000
    assert Redaction().text(text) is text
    assert Redaction().data(data) is data
    assert Redaction(["another-secret"]).text(text) is text


def test_words_too_short_to_be_secrets_stay() -> None:
    assert SHORTEST == 8
    assert Redaction(["dummy", ""]).text("a dummy") == "a dummy"


def test_a_secret_inside_another_does_not_save_the_rest() -> None:
    assert Redaction(["password", "password-and-more"]).text("x password-and-more y") == "x [redacted] y"


def test_no_file_of_a_run_holds_a_secret(tmp_path: Path) -> None:
    secret = "sk-planted-0123456789"
    with RunStore.open(tmp_path, secrets=[secret]) as store:
        store.append(RunClosed(at="", reason="error", detail=f"the key {secret} was refused"))
        heard: list[Noted] = []
        with store.recorder("t", 1, on_event=heard.append) as recorder:  # type: ignore[arg-type]
            event = recorder.emit(Noted(text=f"export KEY={secret}\n"))
            blob = recorder.blob(f'{{"authorization": "Bearer {secret}"}}'.encode(), "application/json")
        assert isinstance(event, Noted)
        assert event.text == heard[0].text == "export KEY=[redacted]\n"
        assert store.events("t", 1)[0] == event
        assert store.read_blob("t", 1, blob.sha256) == b'{"authorization": "Bearer [redacted]"}'
        assert store.damage == ()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 4
    assert all(secret.encode() not in path.read_bytes() for path in files)
