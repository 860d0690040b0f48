"""``edit``: view, create, replace and insert in text files, with the rights of the agent's own user.

Reading is asked of the shell first and done through the engine; writing is one builtin of the agent's shell, so
the kernel decides what the agent may write, and a file keeps its mode and owner.
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Mapping
from typing import Literal, assert_never

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from harness.errors import TransferError
from harness.ports import ToolContext, ToolOutcome
from harness.schema.message import ToolSpec
from harness.tool.arguments import BadArgumentsError, failure, read_arguments, success

_MAX_BYTES = 4 * 1024 * 1024
_MAX_SHOWN = 60_000
_TIMEOUT_S = 60.0

_DESCRIPTION = """\
View and change text files (UTF-8). A relative path is taken from the working directory that you started in.
- view: show the file with line numbers, or a part of it (first_line, last_line); for a folder, list it.
- create: write the whole file (text); parents are made, an existing file is replaced.
- replace: put new in place of old, which must occur exactly once: give enough of its surroundings.
- insert: put text after the line with this number (line 0: at the top)."""


class _Arguments(BaseModel):
    model_config = ConfigDict(extra="forbid")

    action: Literal["view", "create", "replace", "insert"]
    path: str = Field(min_length=1)
    first_line: int | None = Field(default=None, ge=1)
    last_line: int | None = None
    text: str | None = None
    old: str | None = None
    new: str | None = None
    line: int | None = Field(default=None, ge=0)


class _EditError(Exception):
    """The edit cannot be done; the message goes to the model."""


class Edit:
    """Views and changes text files."""

    spec = ToolSpec(
        name="edit",
        description=_DESCRIPTION,
        parameters={
            "type": "object",
            "properties": {
                "action": {"type": "string", "enum": ["view", "create", "replace", "insert"]},
                "path": {"type": "string"},
                "first_line": {"type": "integer", "description": "view: first line to show, from 1"},
                "last_line": {"type": "integer", "description": "view: last line to show, -1 for the end"},
                "text": {"type": "string", "description": "create: the whole file; insert: what to put in"},
                "old": {"type": "string", "description": "replace: the exact text to replace"},
                "new": {"type": "string", "description": "replace: what to put in its place"},
                "line": {"type": "integer", "description": "insert: put the text after this line"},
            },
            "required": ["action", "path"],
            "additionalProperties": False,
        },
    )

    async def call(self, arguments: Mapping[str, JsonValue], context: ToolContext) -> ToolOutcome:
        """Carry out one edit; what cannot be done is told to the model."""
        try:
            wanted = read_arguments(_Arguments, arguments)
            return success(await self._carry_out(wanted, context))
        except (BadArgumentsError, _EditError, TransferError) as error:
            return failure(str(error))

    async def _carry_out(self, wanted: _Arguments, context: ToolContext) -> str:
        path = posixpath.normpath(posixpath.join(context.sandbox.workdir, wanted.path))
        match wanted.action:
            case "view":
                return await _view(path, wanted, context)
            case "create":
                text = _required(wanted.text, "create", "text")
                await _write(path, text, context)
                return f"Wrote {path} ({len(text.splitlines())} lines)."
            case "replace":
                return await _replace(path, wanted, context)
            case "insert":
                return await _insert(path, wanted, context)
            case _:
                assert_never(wanted.action)


def _required(value: str | None, action: str, name: str) -> str:
    if value is None:
        raise _EditError(f"{action} needs {name}.")
    return value


async def _view(path: str, wanted: _Arguments, context: ToolContext) -> str:
    quoted = shlex.quote(path)
    listing = await context.session.run(
        f"if [ -d {quoted} ]; then command ls -lA -- {quoted}; else (exit 200); fi", timeout_s=_TIMEOUT_S
    )
    if listing.exit_code != 200:
        return listing.output or "The folder is empty."
    lines = (await _read(path, context)).splitlines()
    first = wanted.first_line or 1
    last = len(lines) if wanted.last_line in (None, -1) else min(wanted.last_line or 0, len(lines))
    if lines and not first <= max(last, 1) <= len(lines):
        raise _EditError(f"{path} has {len(lines)} lines; lines {first} to {last} are not there.")
    shown = "\n".join(f"{number:6d}\t{line}" for number, line in enumerate(lines[first - 1 : last], start=first))
    if len(shown) > _MAX_SHOWN:
        shown = shown[:_MAX_SHOWN] + f"\n[cut after {_MAX_SHOWN:,} characters; view a range of lines for the rest]"
    return shown or "The file is empty."


async def _replace(path: str, wanted: _Arguments, context: ToolContext) -> str:
    old = _required(wanted.old, "replace", "old")
    new = _required(wanted.new, "replace", "new")
    if not old:
        raise _EditError("replace needs an old text that is not empty; use insert or create instead.")
    text = await _read(path, context)
    found = text.count(old)
    if found != 1:
        where = "does not occur" if found == 0 else f"occurs {found} times"
        raise _EditError(f"old {where} in {path}; it must occur exactly once. Nothing was changed.")
    await _write(path, text.replace(old, new, 1), context)
    line = text[: text.index(old)].count("\n") + 1
    return f"Replaced in {path} at line {line}."


async def _insert(path: str, wanted: _Arguments, context: ToolContext) -> str:
    piece = _required(wanted.text, "insert", "text")
    if wanted.line is None:
        raise _EditError("insert needs line.")
    lines = (await _read(path, context)).splitlines(keepends=True)
    if wanted.line > len(lines):
        raise _EditError(f"{path} has {len(lines)} lines; there is no line {wanted.line}.")
    if wanted.line and not lines[wanted.line - 1].endswith("\n"):
        lines[wanted.line - 1] += "\n"
    piece = piece if piece.endswith("\n") else piece + "\n"
    await _write(path, "".join([*lines[: wanted.line], piece, *lines[wanted.line :]]), context)
    return f"Inserted {len(piece.splitlines())} lines after line {wanted.line} of {path}."


async def _read(path: str, context: ToolContext) -> str:
    quoted = shlex.quote(path)
    check = await context.session.run(
        f"if [ ! -e {quoted} ]; then (exit 201); elif [ ! -r {quoted} ]; then (exit 202); "
        f"else command readlink -f -- {quoted}; fi",
        timeout_s=_TIMEOUT_S,
    )
    if check.exit_code == 201:
        raise _EditError(f"{path} does not exist.")
    if check.exit_code == 202:
        raise _EditError(f"{path} may not be read by this user.")
    real = check.output.strip() if check.exit_code == 0 else path
    data = await context.sandbox.read_file(real or path, max_bytes=_MAX_BYTES)
    if data is None:
        raise _EditError(f"{path} is not a regular file.")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise _EditError(f"{path} is not UTF-8 text; use the shell for it.") from None


async def _write(path: str, text: str, context: ToolContext) -> None:
    if "\0" in text:
        raise _EditError("A text file cannot hold NUL characters; use the shell for binary files.")
    folder = shlex.quote(posixpath.dirname(path) or "/")
    written = await context.session.run(
        f"( command mkdir -p -- {folder} && printf '%s' {shlex.quote(text)} > {shlex.quote(path)} )",
        timeout_s=_TIMEOUT_S,
    )
    if written.exit_code != 0:
        raise _EditError(f"Could not write {path}: {written.output.strip()}")
