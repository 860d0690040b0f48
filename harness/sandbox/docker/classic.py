"""Write what only BuildKit understands in the older syntax, where that means the same.

The classic builder is in every engine and needs no frontend image from a registry. Pure: text in, text and the
files to put aside out. What has no equivalent is named, never guessed.
Source: the Dockerfile reference of docs.docker.com, sections on heredocs, RUN --mount, COPY --chmod and --link.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.sandbox.docker.dockerfile import Dockerfile, Heredoc, Instruction

_OCTAL = re.compile(r"^0?[0-7]{3}$")
_DROPPED_MOUNTS = frozenset({"cache", "tmpfs"})
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_SHELL = ("/bin/sh", "-c")


@dataclass(frozen=True, kw_only=True)
class PlainFile:
    """A file to put aside."""

    data: bytes
    mode: int = 0o644


@dataclass(frozen=True, kw_only=True)
class Lowered:
    """The text for the classic builder.

    ``aside`` are files for a small image called ``aside_tag`` that the text copies from; ``modes`` are octal modes
    for sources in the context; ``left`` names what has no equivalent: then nothing may be built.
    """

    text: str
    aside: Mapping[str, PlainFile] = field(default_factory=dict)
    aside_tag: str = ""
    modes: tuple[tuple[str, int], ...] = ()
    left: tuple[str, ...] = ()


class _NoEquivalentError(Exception):
    """What an instruction asks for cannot be written in the older syntax."""


def lower(dockerfile: Dockerfile) -> Lowered:
    """Return the Dockerfile in the syntax of the classic builder."""
    aside = _aside_files(dockerfile)
    digest = hashlib.sha256(repr(sorted(aside.items())).encode()).hexdigest()
    writer = _Writer(f"harness-aside/files:{digest[:16]}")
    edits: dict[int, tuple[int, list[str]]] = {}
    for number, instruction in enumerate(dockerfile.instructions):
        fresh = writer.write(number, instruction)
        if fresh is not None:
            edits[instruction.first] = (instruction.last, fresh)
    return Lowered(
        text=dockerfile.with_lines(edits),
        aside=aside,
        aside_tag=writer.aside_tag if aside else "",
        modes=tuple(writer.modes),
        left=tuple(dict.fromkeys(writer.left)),
    )


def platform_arguments(text: str) -> dict[str, str]:
    """Return values for the platform arguments that a Dockerfile speaks of; BuildKit sets them by itself."""
    machine = _MACHINES.get(platform.machine(), platform.machine())
    known = {"OS": "linux", "ARCH": machine, "PLATFORM": f"linux/{machine}"}
    values = {f"{side}{name}": value for side in ("TARGET", "BUILD") for name, value in known.items()}
    return {name: value for name, value in values.items() if re.search(rf"\b{name}\b", text)}


class _Writer:
    """Rewrites one instruction after the other; remembers the shell of each stage."""

    def __init__(self, aside_tag: str) -> None:
        self.aside_tag = aside_tag
        self.modes: list[tuple[str, int]] = []
        self.left: list[str] = []
        self._shells: dict[str, Sequence[str]] = {}
        self._stage = ""

    def write(self, number: int, instruction: Instruction) -> list[str] | None:
        """Return the lines to write instead, ``None`` to leave the instruction as it is."""
        try:
            match instruction.keyword:
                case "FROM":
                    return self._from(instruction)
                case "SHELL":
                    self._shells[self._stage] = _words(instruction.arguments)
                case "RUN":
                    return self._run(instruction)
                case "COPY" | "ADD":
                    return self._copy(number, instruction)
        except _NoEquivalentError as error:
            self.left.append(f"{instruction.keyword} {error}")
        return None

    def _from(self, instruction: Instruction) -> list[str] | None:
        flags, words = dict(instruction.flags), instruction.arguments.lower().split()
        inherited = self._shells.get(words[0], _SHELL) if words else _SHELL
        self._stage = words[2] if len(words) == 3 else ""
        self._shells[self._stage] = inherited
        if "$" in flags.get("platform", ""):  # the machine's own, and the classic builder does not know the name
            return [f"FROM {instruction.arguments}"]
        return None

    def _run(self, instruction: Instruction) -> list[str] | None:
        for name, value in instruction.flags:
            options = dict(part.partition("=")[::2] for part in value.split(","))
            dropped = name == "mount" and options.get("type") in _DROPPED_MOUNTS and "from" not in options
            if not dropped and (name, value) != ("network", "default"):
                raise _NoEquivalentError(f"--{name}={value}")
        if instruction.heredocs:
            return [f"RUN {json.dumps([*self._shells.get(self._stage, _SHELL), _script(instruction)])}"]
        return [f"RUN {instruction.arguments}"] if instruction.flags else None

    def _copy(self, number: int, instruction: Instruction) -> list[str] | None:
        flags = dict(instruction.flags)
        unknown = flags.keys() - {"from", "chown", "chmod", "link"}
        if unknown:
            raise _NoEquivalentError(f"--{min(unknown)}")
        if not instruction.heredocs and not flags.keys() & {"chmod", "link"}:
            return None
        chown = f"--chown={flags['chown']} " if "chown" in flags else ""
        words = _words(instruction.arguments)
        *sources, target = words
        plain = [source for source in sources if not source.startswith("<<")]
        mode = _mode(flags.get("chmod"))
        if mode is not None and plain:
            if "from" in flags or any("://" in source for source in plain):
                raise _NoEquivalentError("--chmod of what is not in the context")
            self.modes += [(source, mode) for source in plain]
        lines = []
        if instruction.heredocs:
            made = [_aside_path(number, heredoc) for heredoc in instruction.heredocs]
            lines.append(
                f"COPY --from={self.aside_tag} {chown}{json.dumps([*('/' + path for path in made), target])}"
            )
        if plain:
            origin = f"--from={flags['from']} " if "from" in flags else ""
            lines.append(f"{instruction.keyword} {origin}{chown}{json.dumps([*plain, target])}")
        if any("$" in heredoc.body and heredoc.expands for heredoc in instruction.heredocs):
            raise _NoEquivalentError("<<heredoc with variables")
        return lines


def _script(instruction: Instruction) -> str:
    """Return what the shell is to be given: the heredoc itself, or the command with its heredocs."""
    only = instruction.heredocs[0]
    if instruction.arguments != only.token:
        return "\n".join([instruction.arguments, *(heredoc.raw for heredoc in instruction.heredocs)])
    if not only.body.startswith("#!"):
        return only.body
    end = f"END_{hashlib.sha256(only.body.encode()).hexdigest()[:16]}"  # a word that is in no script
    return (
        f'file=$(mktemp) && cat > "$file" <<\'{end}\' && chmod 700 "$file" || exit 1\n{only.body}{end}\n'
        '"$file"; code=$?; rm -f "$file"; exit $code\n'
    )


def _aside_files(dockerfile: Dockerfile) -> dict[str, PlainFile]:
    files: dict[str, PlainFile] = {}
    for number, instruction in enumerate(dockerfile.instructions):
        if instruction.keyword in {"COPY", "ADD"}:
            asked = dict(instruction.flags).get("chmod", "")
            mode = int(asked, 8) if _OCTAL.match(asked) else 0o644
            for heredoc in instruction.heredocs:
                files[_aside_path(number, heredoc)] = PlainFile(data=heredoc.body.encode(), mode=mode)
    return files


def _aside_path(number: int, heredoc: Heredoc) -> str:
    return f"{number}/{heredoc.name}"


def _mode(text: str | None) -> int | None:
    if text is None:
        return None
    if not _OCTAL.match(text):
        raise _NoEquivalentError(f"--chmod={text}")
    return int(text, 8)


def _words(text: str) -> list[str]:
    if text.startswith("["):
        try:
            return [str(word) for word in json.loads(text)]
        except ValueError:
            pass
    return text.split()
