"""Reading Dockerfiles and rewriting their bases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.sandbox.docker.dockerfile import parse_dockerfile

SYNTAX = """\
# syntax=docker/dockerfile:1
# A comment.
ARG VERSION=3.13
ARG VARIANT=slim
FROM python:${VERSION}-${VARIANT} AS builder
RUN apt-get update && \\
    # a comment between continuations
    apt-get install -y git

FROM --platform=linux/amd64 node:22 as web
FROM builder
COPY --from=web /usr/local/bin/node /usr/local/bin/
COPY --from=0 /etc/hosts /tmp/hosts
COPY --chown=1:1 --from=ghcr.io/astral-sh/uv:latest /uv /bin/uv
"""


def test_every_outside_image_is_found_once_with_its_arguments_filled_in() -> None:
    assert parse_dockerfile(SYNTAX).external_images == (
        "python:3.13-slim",
        "node:22",
        "ghcr.io/astral-sh/uv:latest",
    )


def test_build_arguments_win_over_defaults() -> None:
    assert parse_dockerfile(SYNTAX, {"VERSION": "3.11"}).external_images[0] == "python:3.11-slim"


def test_a_stage_is_no_outside_image_whatever_the_case_of_its_name() -> None:
    dockerfile = parse_dockerfile("FROM a:1 AS Build\nFROM build\nCOPY --from=BUILD /a /b\n")
    assert dockerfile.external_images == ("a:1",)
    assert [stage.external for stage in dockerfile.stages] == [True, False]


def test_a_name_used_before_its_stage_is_an_outside_image() -> None:
    dockerfile = parse_dockerfile("FROM late\nCOPY --from=late /a /b\nFROM x AS late\n")
    assert dockerfile.external_images == ("late", "x")


def test_scratch_is_no_outside_image() -> None:
    assert parse_dockerfile("FROM scratch\nCOPY a /\n").external_images == ()


@pytest.mark.parametrize(
    ("word", "image"),
    [
        ("$TAG", "one"),
        ("${TAG}", "one"),
        ("${TAG:-two}", "one"),
        ("${NONE:-two}", "two"),
        ("${NONE-two}", "two"),
        ("${TAG:+two}", "two"),
        ("a${NONE}b", "ab"),
        ('"$TAG"', "one"),
    ],
)
def test_arguments_are_filled_in_as_the_builder_does(word: str, image: str) -> None:
    assert parse_dockerfile(f"ARG TAG=one\nFROM {word}\n").stages[0].base == image


def test_an_argument_may_use_an_earlier_one_and_several_stand_on_a_line() -> None:
    text = 'ARG A=debian B="bookworm slim"\nARG C=${A}:12\nFROM $C\n'
    assert parse_dockerfile(text).stages[0].base == "debian:12"


def test_an_argument_after_from_changes_no_base() -> None:
    assert parse_dockerfile("ARG T=1\nFROM a:$T\nARG T=2\nFROM b:$T\n").external_images == ("a:1", "b:1")


def test_bases_are_replaced_and_lines_put_after_each_from() -> None:
    dockerfile = parse_dockerfile(SYNTAX)
    replace = {"python:3.13-slim": "local/python:1", "ghcr.io/astral-sh/uv:latest": "local/uv:1"}
    text = dockerfile.rewrite(replace, lambda stage: ["ARG X"] if stage.external else [])
    assert "FROM local/python:1 AS builder\nARG X\nRUN apt-get update" in text
    assert "FROM --platform=linux/amd64 node:22 as web\nARG X\nFROM builder\nCOPY" in text
    assert "COPY --chown=1:1 --from=local/uv:1 /uv /bin/uv" in text
    assert parse_dockerfile(text).external_images == ("local/python:1", "node:22", "local/uv:1")


def test_a_from_that_goes_over_several_lines_is_replaced_whole() -> None:
    text = parse_dockerfile("FROM \\\n  debian:12 \\\n  AS x\nRUN a\n").rewrite({"debian:12": "mine"}, lambda _: ())
    assert text == "FROM mine AS x\nRUN a\n"


def test_an_image_whose_name_begins_like_another_is_left_alone() -> None:
    text = "FROM x\nCOPY --from=uv:1 /a /\nCOPY --from=uv:10 /a /\nRUN --mount=type=bind,from=uv:1,target=/u ls\n"
    rewritten = parse_dockerfile(text).rewrite({"uv:1": "mine"}, lambda _: ())
    assert "--from=mine /a" in rewritten
    assert "--from=uv:10 /a" in rewritten
    assert "from=mine,target" in rewritten


def test_the_words_of_a_heredoc_are_no_instructions() -> None:
    text = (
        "FROM a\nRUN <<EOF\nFROM nothing\nCOPY --from=nobody x y\nEOF\nCOPY <<-'END' /x\n\tFROM no\n\tEND\nFROM b\n"
    )
    dockerfile = parse_dockerfile(text)
    assert dockerfile.external_images == ("a", "b")
    assert dockerfile.instructions[1].heredocs[0].body == "FROM nothing\nCOPY --from=nobody x y\n"
    assert dockerfile.instructions[2].heredocs[0].body == "FROM no\n"


def test_a_shift_or_an_unended_heredoc_is_plain_text() -> None:
    dockerfile = parse_dockerfile("FROM a\nRUN echo $((1 << 2)); cat <<<word\nRUN cat <<EOF\nFROM b\n")
    assert dockerfile.external_images == ("a", "b")
    assert not any(instruction.heredocs for instruction in dockerfile.instructions)


def test_the_escape_directive_changes_what_continues_a_line() -> None:
    text = "# escape=`\nFROM a\nRUN dir C:\\\nRUN one `\n  two\nFROM b\n"
    dockerfile = parse_dockerfile(text)
    assert [found.keyword for found in dockerfile.instructions] == ["FROM", "RUN", "RUN", "FROM"]


def test_a_directive_after_a_comment_is_a_comment() -> None:
    assert parse_dockerfile("# hello\n# escape=`\nFROM a\n").escape == "\\"


def test_windows_line_ends_and_a_byte_order_mark_do_no_harm() -> None:
    dockerfile = parse_dockerfile("\ufeffFROM debian:12 \\\r\n AS x\r\nFROM x\r\n")
    assert dockerfile.external_images == ("debian:12",)


def test_what_only_buildkit_understands_is_named() -> None:
    text = "FROM a\nRUN --mount=type=cache,target=/c x\nCOPY --chown=1 --link a b\nRUN <<EOF\nls\nEOF\n"
    assert parse_dockerfile(text).buildkit_needs == ("RUN --mount", "COPY --link", "RUN <<heredoc")
    assert (
        parse_dockerfile("FROM --platform=x a\nCOPY --from=a --chown=1 b c\nADD --chown=2 a b\n").buildkit_needs
        == ()
    )


LINE = st.one_of(
    st.sampled_from(
        [
            "FROM debian:12",
            "FROM debian:12 AS one",
            "from one",
            "COPY --from=one a b",
            "COPY --from=busybox a b",
            "RUN a && \\",
            "  b",
            "# comment",
            "#escape=`",
            "",
            "RUN cat <<EOF",
            "EOF",
            "ARG A=1",
            "FROM ${A}",
            "\t",
            "FROM",
        ]
    ),
    st.text(alphabet=st.characters(exclude_characters="\n"), max_size=20),
)


@given(st.lists(LINE, max_size=12))
def test_nothing_to_change_leaves_every_byte(lines: list[str]) -> None:
    text = "\n".join(lines)
    assert parse_dockerfile(text).rewrite({}, lambda _: ()) == text


@given(st.lists(LINE, max_size=12))
def test_instructions_lie_side_by_side_in_order(lines: list[str]) -> None:
    before = -1
    for instruction in parse_dockerfile("\n".join(lines)).instructions:
        assert before < instruction.first <= instruction.last < len(lines)
        before = instruction.last


@given(st.lists(LINE, max_size=12))
def test_after_a_replacement_the_old_base_is_asked_for_no_more(lines: list[str]) -> None:
    text = parse_dockerfile("\n".join(lines)).rewrite({"debian:12": "mine:1", "busybox": "mine:2"}, lambda _: ())
    assert not {"debian:12", "busybox"} & set(parse_dockerfile(text).external_images)
