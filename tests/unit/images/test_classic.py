"""BuildKit's newer syntax in the words of the classic builder."""

from __future__ import annotations

import json
import subprocess

import pytest

from harness.sandbox.docker.classic import Lowered, lower, platform_arguments
from harness.sandbox.docker.dockerfile import parse_dockerfile


def lowered(text: str) -> Lowered:
    return lower(parse_dockerfile(text))


def test_what_the_classic_builder_knows_stays_byte_for_byte() -> None:
    text = (
        'FROM a\n# hi\nRUN a && \\\n  b\nCOPY --from=a --chown=1:1 a b\nADD https://x/y /z\nSHELL ["bash", "-c"]\n'
    )
    assert lowered(text) == Lowered(text=text)


def test_cache_and_tmpfs_mounts_are_left_out() -> None:
    mounts = "--mount=type=cache,target=/root/.cache \\\n  --mount=type=tmpfs,target=/t"
    text = f"FROM a\nRUN {mounts} \\\n  # why\n  pip install x\n"
    assert lowered(text).text.split() == ["FROM", "a", "RUN", "pip", "install", "x"]


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("RUN --mount=type=secret,id=x cat /run/secrets/x", "RUN --mount=type=secret,id=x"),
        ("RUN --mount=type=bind,target=/s ls", "RUN --mount=type=bind,target=/s"),
        ("RUN --mount=type=cache,from=b,target=/s ls", "RUN --mount=type=cache,from=b,target=/s"),
        ("RUN --network=none ls", "RUN --network=none"),
        ("COPY --parents a b", "COPY --parents"),
        ("COPY --from=x --chmod=755 a b", "COPY --chmod of what is not in the context"),
        ("ADD --chmod=755 https://x/y /z", "ADD --chmod of what is not in the context"),
        ("COPY --chmod=u+x a b", "COPY --chmod=u+x"),
        ("COPY <<EOF /x\n$HOME\nEOF", "COPY <<heredoc with variables"),
    ],
)
def test_what_has_no_equivalent_is_named(line: str, named: str) -> None:
    assert lowered(f"FROM a\n{line}\n").left == (named,)


def shell_command(text: str) -> list[str]:
    """Return the words of the only RUN of a lowered Dockerfile."""
    (run,) = (found for found in parse_dockerfile(lowered(text).text).instructions if found.keyword == "RUN")
    words: list[str] = json.loads(run.arguments)
    return words


@pytest.mark.parametrize(
    ("run", "printed"),
    [
        ("RUN <<EOF\necho 'one  \"two\"' \\\n  three\nA=4; echo $A\nEOF", 'one  "two" three\n4\n'),
        ("RUN <<-EOF\n\techo tab\n\tEOF", "tab\n"),
        ("RUN cat <<EOF | tr a b\naa $((1+1))\nEOF", "bb 2\n"),
        ("RUN cat <<'EOF'\n$HOME\nEOF", "$HOME\n"),
        ("RUN cat <<A && cat <<B\none\nA\ntwo\nB", "one\ntwo\n"),
        ("RUN <<EOF\n#!/bin/cat\n$HOME\nEOF", "#!/bin/cat\n$HOME\n"),
    ],
)
def test_a_heredoc_of_run_does_what_it_says(run: str, printed: str) -> None:
    done = subprocess.run(shell_command(f"FROM a\n{run}\n"), check=True, capture_output=True, text=True)
    assert done.stdout == printed


def test_a_script_that_fails_fails_the_step() -> None:
    for text in ("RUN <<EOF\nexit 7\nEOF", "RUN <<EOF\n#!/bin/sh\nexit 7\nEOF"):
        assert subprocess.run(shell_command(f"FROM a\n{text}\n"), check=False).returncode == 7


def test_the_stages_own_shell_is_used() -> None:
    text = 'FROM a\nSHELL ["/bin/bash", "-eo", "pipefail", "-c"]\nRUN <<EOF\nls\nEOF\n'
    assert shell_command(text) == ["/bin/bash", "-eo", "pipefail", "-c", "ls\n"]


def test_a_stage_has_the_shell_of_the_stage_that_it_stands_on_and_no_other() -> None:
    shell = 'FROM a AS One\nSHELL ["/bin/bash", "-c"]\n'
    assert shell_command(f"{shell}FROM one\nRUN <<EOF\nls\nEOF\n")[0] == "/bin/bash"
    assert shell_command(f"{shell}FROM b\nRUN <<EOF\nls\nEOF\n")[0] == "/bin/sh"


def test_a_heredoc_of_copy_becomes_a_file_put_aside() -> None:
    found = lowered("FROM a\nCOPY --chown=1 --chmod=755 <<'RUN.sh' /bin/run\necho $HOME\nRUN.sh\n")
    assert found.left == ()
    ((path, file),) = found.aside.items()
    assert (file.data, file.mode) == (b"echo $HOME\n", 0o755)
    assert found.text == f'FROM a\nCOPY --from={found.aside_tag} --chown=1 ["/{path}", "/bin/run"]\n'
    assert found.aside_tag.startswith("harness-aside/files:")


def test_modes_are_asked_of_the_context() -> None:
    found = lowered('FROM a\nCOPY --chmod=0755 --link run.sh tools/*.py /bin/\nCOPY --link ["a b", "/c"]\n')
    assert found.modes == (("run.sh", 0o755), ("tools/*.py", 0o755))
    assert found.text == 'FROM a\nCOPY ["run.sh", "tools/*.py", "/bin/"]\nCOPY ["a b", "/c"]\n'


def test_platform_arguments_are_given_only_to_those_who_ask() -> None:
    assert platform_arguments("FROM a\nRUN ls\n") == {}
    found = platform_arguments("FROM --platform=$BUILDPLATFORM a\nARG TARGETARCH\n")
    assert set(found) == {"BUILDPLATFORM", "TARGETARCH"}
    assert found["BUILDPLATFORM"] == f"linux/{found['TARGETARCH']}"
    assert lowered("FROM --platform=$BUILDPLATFORM a AS b\n").text == "FROM a AS b\n"
