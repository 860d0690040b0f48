"""Read a Dockerfile as far as its bases go, and rewrite those.

Owns the syntax: continuations, comments, parser directives, heredocs, ``ARG`` in ``FROM``, stages and
``COPY --from``. Leaves to others what a base is replaced with, and every meaning that only a build knows.
Pure: text in, text out. Lines that are not rewritten stay byte for byte as they were.
Source: the Dockerfile reference of docs.docker.com, and what the classic builder of Engine 20.10 accepts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

_DIRECTIVE = re.compile(r"^#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*$")
_HEREDOC = re.compile(r"(?:^|(?<=[\s;|&(]))\d*<<(-?)\s*([\"']?)([A-Za-z_][A-Za-z0-9_.-]*)\2(?=[\s;|&>)]|$)")
_FLAG = re.compile(r"--([a-z-]+)(?:=(\S+))?(?:\s+|$)")
_VARIABLE = re.compile(r"\\\$|\$(?:(\w+)|\{(\w+)(?:(:?[-+])([^}]*))?\})")
_WITH_HEREDOC = frozenset({"RUN", "COPY", "ADD"})


@dataclass(frozen=True, kw_only=True)
class Heredoc:
    """A text inside the Dockerfile: ``<<NAME`` to ``NAME``.

    ``token`` is how it is announced, ``body`` its text (tabs taken off where ``<<-`` asks for it), ``raw`` the
    lines as they stand, the last one included. ``expands`` is false when the name is quoted.
    """

    token: str
    name: str
    body: str
    raw: str
    expands: bool


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One instruction. ``rest`` is what follows the keyword with continuations joined and heredocs left out.

    ``first`` and ``last`` are line numbers from 0, inclusive, heredoc bodies included.
    """

    keyword: str
    rest: str
    first: int
    last: int
    heredocs: tuple[Heredoc, ...] = ()

    @property
    def flags(self) -> tuple[tuple[str, str], ...]:
        """The leading ``--name=value`` flags in order."""
        return tuple(_split_flags(self.rest)[0])

    @property
    def arguments(self) -> str:
        """What follows the flags."""
        return _split_flags(self.rest)[1]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A ``FROM``. ``base`` has its ``ARG`` values filled in; ``external`` is false for scratch and stages."""

    index: int
    name: str | None
    base: str
    external: bool
    instruction: Instruction


@dataclass(frozen=True, kw_only=True)
class Dockerfile:
    """A parsed Dockerfile."""

    text: str
    lines: tuple[str, ...]
    escape: str
    instructions: tuple[Instruction, ...]
    stages: tuple[Stage, ...]

    @property
    def external_images(self) -> tuple[str, ...]:
        """Every image that the build takes from outside, each once, in order of appearance."""
        asked = [stage.base for stage in self.stages if stage.external]
        asked += [image for _, image in self.copies_from_images()]
        return tuple(dict.fromkeys(asked))

    @property
    def buildkit_needs(self) -> tuple[str, ...]:
        """What only BuildKit understands, as a reader would name it."""
        return tuple(dict.fromkeys(_buildkit_needs(self.instructions)))

    def copies_from_images(self) -> Iterator[tuple[Instruction, str]]:
        """Yield each ``COPY --from`` or ``RUN --mount=…,from=`` that names an image and not a stage."""
        names: set[str] = set()
        count = 0
        for instruction in self.instructions:
            if instruction.keyword == "FROM":
                stage = self.stages[count]
                count += 1
                names.update({str(stage.index)} | ({stage.name.lower()} if stage.name else set()))
                continue
            for source in _flag_sources(instruction):
                if source.lower() not in names:
                    yield instruction, source

    def rewrite(self, replace: Mapping[str, str], after_from: Callable[[Stage], Iterable[str]]) -> str:
        """Return the text with bases replaced and lines put after each ``FROM``.

        ``replace`` maps an image as asked for (``ARG`` values filled in) to the one to use.
        """
        edits: dict[int, tuple[int, list[str]]] = {}
        for stage in self.stages:
            used = replace.get(stage.base) if stage.external else None
            added = list(after_from(stage))
            if used is None and not added:
                continue
            found = stage.instruction
            head = list(self.lines[found.first : found.last + 1]) if used is None else [_from_line(stage, used)]
            edits[found.first] = (found.last, head + added)
        for instruction, image in self.copies_from_images():
            if image in replace:
                raw = self.lines[instruction.first : instruction.last + 1]
                pattern = re.compile(rf"(?<=from=){re.escape(image)}(?=[\s,]|$)")
                fresh = [pattern.sub(lambda _, used=replace[image]: used, line) for line in raw]  # type: ignore[misc]
                edits[instruction.first] = (instruction.last, fresh)
        return self.with_lines(edits)

    def with_lines(self, edits: Mapping[int, tuple[int, list[str]]]) -> str:
        """Return the text with lines replaced: first line to (last line, new lines)."""
        return self.text if not edits else "\n".join(self._apply(edits))

    def _apply(self, edits: Mapping[int, tuple[int, list[str]]]) -> Iterator[str]:
        number = 0
        while number < len(self.lines):
            if number in edits:
                last, fresh = edits[number]
                yield from fresh
                number = last + 1
            else:
                yield self.lines[number]
                number += 1


def parse_dockerfile(text: str, build_args: Mapping[str, str] | None = None) -> Dockerfile:
    """Read a Dockerfile. ``build_args`` win over the defaults of ``ARG`` before the first ``FROM``."""
    lines = tuple(text.removeprefix("\ufeff").split("\n"))
    directives = _directives(lines)
    escape = "`" if directives.get("escape") == "`" else "\\"
    instructions = tuple(_instructions(lines, escape))
    return Dockerfile(
        text=text,
        lines=lines,
        escape=escape,
        instructions=instructions,
        stages=tuple(_stages(instructions, build_args or {})),
    )


def _directives(lines: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        match = _DIRECTIVE.match(line.strip())
        if not match:
            break
        found[match[1].lower()] = match[2]
    return found


def _instructions(lines: Sequence[str], escape: str) -> Iterator[Instruction]:
    number = 0
    while number < len(lines):
        first = number
        if _is_blank_or_comment(lines[number]):
            number += 1
            continue
        logical, number = _logical_line(lines, number, escape)
        keyword, _, rest = logical.strip().partition(" ")
        if "\t" in keyword:
            keyword, _, rest = logical.strip().partition("\t")
        keyword = keyword.upper()
        heredocs: tuple[Heredoc, ...] = ()
        if keyword in _WITH_HEREDOC:
            heredocs, number = _heredocs(lines, number, rest)
        yield Instruction(keyword=keyword, rest=rest.strip(), first=first, last=number - 1, heredocs=heredocs)


def _logical_line(lines: Sequence[str], number: int, escape: str) -> tuple[str, int]:
    """Join continuations; comments and blank lines between them do not end the instruction."""
    pieces: list[str] = []
    while number < len(lines):
        line = lines[number].rstrip("\r")
        number += 1
        if pieces and _is_blank_or_comment(line):
            continue
        bare = line.rstrip()
        if not bare.endswith(escape):
            pieces.append(line)
            break
        pieces.append(bare[: -len(escape)])
    return "".join(pieces), number


def _is_blank_or_comment(line: str) -> bool:
    bare = line.strip()
    return not bare or bare.startswith("#")


def _heredocs(lines: Sequence[str], number: int, rest: str) -> tuple[tuple[Heredoc, ...], int]:
    """Return the heredocs that ``rest`` announces and the line after the last; none if one never ends."""
    found: list[Heredoc] = []
    at = number
    for match in _HEREDOC.finditer(rest):
        strip_tabs, name = bool(match[1]), match[3]
        start = at
        body: list[str] = []
        while at < len(lines):
            line = lines[at].rstrip("\r")
            line = line.lstrip("\t") if strip_tabs else line
            at += 1
            if line == name:
                break
            body.append(line)
        else:
            return (), number
        text = "".join(f"{line}\n" for line in body)
        raw = "\n".join(lines[start:at])
        found.append(Heredoc(token=match[0], name=name, body=text, raw=raw, expands=not match[2]))
    return tuple(found), at


def _stages(instructions: Sequence[Instruction], build_args: Mapping[str, str]) -> Iterator[Stage]:
    values: dict[str, str] = {}
    names: set[str] = set()
    index = 0
    for instruction in instructions:
        if instruction.keyword == "ARG" and index == 0:
            for argument, default in _arg_defaults(instruction.rest):
                values[argument] = build_args.get(argument, _fill_in(default, values))
        if instruction.keyword != "FROM":
            continue
        words = instruction.arguments.split()
        base = _fill_in(words[0], values) if words else ""
        name = words[2] if len(words) >= 3 and words[1].lower() == "as" else None
        external = bool(base) and base.lower() != "scratch" and base.lower() not in names
        yield Stage(index=index, name=name, base=base, external=external, instruction=instruction)
        if name:
            names.add(name.lower())
        index += 1


def _arg_defaults(rest: str) -> Iterator[tuple[str, str]]:
    for word in re.findall(r"""(?:[^\s"']|"[^"]*"|'[^']*')+""", rest):
        name, _, default = word.partition("=")
        yield name, re.sub(r"""["']""", "", default)


def _fill_in(word: str, values: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        if match[0] == r"\$":
            return "$"
        known: str = values.get(match[1] or match[2], "")
        otherwise: str = match[4] or ""
        match str(match[3] or ""):
            case ":-" | "-":
                return known or otherwise
            case ":+" | "+":
                return otherwise if known else ""
            case _:
                return known

    return _VARIABLE.sub(value, word.strip("\"'"))


def _split_flags(rest: str) -> tuple[list[tuple[str, str]], str]:
    flags: list[tuple[str, str]] = []
    while match := _FLAG.match(rest):
        flags.append((match[1], match[2] or ""))
        rest = rest[match.end() :]
    return flags, rest


def _flag_sources(instruction: Instruction) -> Iterator[str]:
    for name, value in instruction.flags:
        if name == "from" and instruction.keyword == "COPY":
            yield value
        elif name == "mount" and instruction.keyword == "RUN":
            yield from (part.removeprefix("from=") for part in value.split(",") if part.startswith("from="))


def _from_line(stage: Stage, used: str) -> str:
    flags = "".join(f"--{name}={value} " for name, value in stage.instruction.flags)
    return f"FROM {flags}{used}" + (f" AS {stage.name}" if stage.name else "")


_CLASSIC_FLAGS = {"FROM": {"platform"}, "COPY": {"from", "chown"}, "ADD": {"chown"}}


def _buildkit_needs(instructions: Sequence[Instruction]) -> Iterator[str]:
    for instruction in instructions:
        if instruction.heredocs:
            yield f"{instruction.keyword} <<heredoc"
        if instruction.keyword not in {"FROM", "RUN", "COPY", "ADD"}:
            continue
        known = _CLASSIC_FLAGS.get(instruction.keyword, set())
        yield from (f"{instruction.keyword} --{name}" for name, _ in instruction.flags if name not in known)
