from __future__ import annotations

import json
import tomllib
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.task.toml_lines import KeyPath, key_lines

TRICKY = '''\
"a.b" = 1 # x = 2
c . d = "[not] = a table # nor a comment"
text = """
[fake]
x = 1 \\""" still
"""
raw = \'\'\'
y = 2\'\'\'
list = [ # comment ]
  {p = "}", q = [1, 2]},
  {p = ']'}, [3,
  4],
]
when = 1979-05-27 07:32:00
[ one . "two three" ]
k = 'v'
[[many]]
n = 1
[many.inner]
m = 2
[[many]]
n = 3
[[many.inner.deep]]
z = {}
'''


def _paths(value: Any, path: KeyPath = ()) -> set[KeyPath]:
    found = {path} if path else set()
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found |= _paths(inner, (*path, key))
    return found


def test_every_key_of_a_tricky_file_has_its_line() -> None:
    lines = key_lines(TRICKY)
    assert set(lines) == _paths(tomllib.loads(TRICKY))
    texts = TRICKY.splitlines()
    assert texts[lines["c", "d"] - 1].startswith("c . d")
    assert texts[lines["raw",] - 1] == "raw = '''"
    assert texts[lines["list", 1, "p"] - 1] == "  {p = ']'}, [3,"
    assert texts[lines["list", 2, 1] - 1] == "  4],"
    assert texts[lines["one", "two three"] - 1] == '[ one . "two three" ]'
    assert texts[lines["many", 0, "inner", "m"] - 1] == "m = 2"
    assert texts[lines["many", 1, "n"] - 1] == "n = 3"
    assert texts[lines["many", 1, "inner", "deep", 0, "z"] - 1] == "z = {}"


_names = st.text(st.sampled_from("ab.# ='\"[]{}é"), min_size=1, max_size=4)
_scalars = st.one_of(st.integers(), st.booleans(), st.text(max_size=12))
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=3),
    max_leaves=6,
)


def _toml(value: Any) -> str:
    match value:
        case dict():
            return "{" + ", ".join(f"{_key(k)} = {_toml(v)}" for k, v in value.items()) + "}"
        case list():
            return "[\n" + "".join(f"  {_toml(item)}, # ] }}\n" for item in value) + "]"
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case _:
            return _quoted(value)


def _quoted(text: str) -> str:
    return json.dumps(
        text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"), ensure_ascii=False
    ).replace("\x7f", "\\u007F")


def _key(name: str) -> str:
    return _quoted(name)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(_names, st.dictionaries(_names, _values, max_size=3)), max_size=4, unique_by=lambda t: t[0])
)
def test_every_key_of_any_file_is_found_on_the_line_that_writes_it(
    tables: list[tuple[str, dict[str, Any]]],
) -> None:
    text = "".join(
        f"# a [comment]\n[{_key(name)}]\n" + "".join(f"{_key(k)} = {_toml(v)}\n" for k, v in content.items())
        for name, content in tables
    )
    data = tomllib.loads(text)
    lines = key_lines(text)
    assert set(lines) == _paths(data)
    written = text.split("\n")
    for path, line in lines.items():
        if isinstance(path[-1], str):
            assert _key(path[-1]) in written[line - 1]
