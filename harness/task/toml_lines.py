"""Where each key of a TOML file stands: ``tomllib`` gives values, this gives line numbers.

The text must already be valid TOML; what is wrong with it is left to ``tomllib``.
"""

from __future__ import annotations

import re
import tomllib

KeyPath = tuple[str | int, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_MULTI_BASIC = re.compile(r'"""(?:\\.|[^\\])*?"""(?:"{1,2})?', re.DOTALL)
_MULTI_LITERAL = re.compile(r"'''.*?'''(?:'{1,2})?", re.DOTALL)
_BASIC = re.compile(r'"(?:\\.|[^"\\\n])*"')
_LITERAL = re.compile(r"'[^'\n]*'")
_SCALAR = re.compile(r"[^,\]}#\n]+")
_LINE_IN_MESSAGE = re.compile(r" \(at line (\d+), column \d+\)")


def key_lines(text: str) -> dict[KeyPath, int]:
    """Map each key path (``("steps", 0, "agent", "user")``) to the 1-based line where it is written.

    Tables map to the line of their header, elements of arrays to the line where they begin.
    """
    return _Scanner(text).scan()


def syntax_error_line(error: tomllib.TOMLDecodeError, text: str) -> tuple[int, str]:
    """Return the line of a syntax error and its message without the position."""
    message = str(error)
    found = _LINE_IN_MESSAGE.search(message)
    if found is None:
        return text.rstrip("\n").count("\n") + 1, message.replace(" (at end of document)", "")
    return int(found.group(1)), _LINE_IN_MESSAGE.sub("", message)


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[KeyPath, int] = {}
        self.counts: dict[KeyPath, int] = {}
        self.line = 1
        self.counted_to = 0

    def scan(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        before = -1
        while before < self.skip(_BLANK) < len(self.text):
            before = self.at
            if self.text[self.at] == "[":
                table = self.header()
            else:
                self.pair(table)
        return self.lines

    def header(self) -> KeyPath:
        line = self.current_line()
        is_array = self.text.startswith("[[", self.at)
        self.at += 2 if is_array else 1
        names = self.key()
        self.at += 2 if is_array else 1
        path = (*self.inside(names[:-1]), names[-1])
        if is_array:
            index = self.counts.get(path, 0)
            self.counts[path] = index + 1
            self.lines.setdefault(path, line)
            path = (*path, index)
        elif path in self.counts:
            path = (*path, self.counts[path] - 1)
        self.note(path, line)
        return path

    def inside(self, names: KeyPath) -> KeyPath:
        """Follow a header's leading names into the last element of each array of tables."""
        path: KeyPath = ()
        for name in names:
            path = (*path, name)
            if path in self.counts:
                path = (*path, self.counts[path] - 1)
        return path

    def pair(self, table: KeyPath) -> None:
        line = self.current_line()
        path = table + self.key()
        self.at += 1  # the equals sign
        self.note(path, line)
        self.value(path)

    def value(self, path: KeyPath) -> None:
        self.skip(_BLANK)
        if self.text[self.at] == "[":
            self.array(path)
        elif self.text[self.at] == "{":
            self.inline_table(path)
        elif not self.string():
            self.skip(_SCALAR)

    def array(self, path: KeyPath) -> None:
        self.at += 1
        index = 0
        while self.skip(_BLANK) < len(self.text) and self.text[self.at] != "]":
            self.note((*path, index), self.current_line())
            self.value((*path, index))
            index += 1
            self.comma()
        self.at += 1

    def inline_table(self, path: KeyPath) -> None:
        self.at += 1
        while self.skip(_BLANK) < len(self.text) and self.text[self.at] != "}":
            self.pair(path)
            self.comma()
        self.at += 1

    def comma(self) -> None:
        self.skip(_BLANK)
        if self.text.startswith(",", self.at):
            self.at += 1

    def key(self) -> tuple[str, ...]:
        names: list[str] = []
        while True:
            self.skip(_SPACE)
            start = self.at
            if self.string():
                names.append(next(iter(tomllib.loads(f"{self.text[start : self.at]} = 0"))))
            else:
                self.skip(_BARE)
                names.append(self.text[start : self.at])
            self.skip(_SPACE)
            if not self.text.startswith(".", self.at):
                return tuple(names)
            self.at += 1

    def string(self) -> bool:
        for pattern in (_MULTI_BASIC, _MULTI_LITERAL, _BASIC, _LITERAL):
            if found := pattern.match(self.text, self.at):
                self.at = found.end()
                return True
        return False

    def skip(self, pattern: re.Pattern[str]) -> int:
        if found := pattern.match(self.text, self.at):
            self.at = found.end()
        return self.at

    def current_line(self) -> int:
        self.line += self.text.count("\n", self.counted_to, self.at)
        self.counted_to = self.at
        return self.line

    def note(self, path: KeyPath, line: int) -> None:
        for end in range(1, len(path) + 1):
            self.lines.setdefault(path[:end], line)
