"""What the host's apt says that an offline base image should know: its mirrors and a few settings.

Company mirrors and proxies are ordinary. What holds a password, or points at the host's own loopback, stays out.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from harness.sandbox.host_trust import is_loopback

_ONE_LINE = re.compile(r"^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)")
_SETTINGS = re.compile(r'^(Acquire::(?:Check-Valid-Until|Check-Date|https?::Proxy)) "(.*)";$')


@dataclass(frozen=True, kw_only=True)
class AptSource:
    """A mirror and one of the suites that it is used for."""

    uri: str
    suite: str


@dataclass(frozen=True, kw_only=True)
class AptSettings:
    """The host's mirrors, and ``configuration``: lines for ``apt.conf`` that hold in a container too."""

    sources: tuple[AptSource, ...] = ()
    configuration: str = ""

    def mirrors_for(self, suite: str) -> list[str]:
        """Return the mirrors that the host uses for this very suite."""
        return [source.uri for source in self.sources if source.suite == suite]

    def mirrors_like(self, last: str) -> list[str]:
        """Return the host's mirrors with this last path segment: they may carry other suites."""
        return [source.uri for source in self.sources if source.uri.rsplit("/", 1)[-1] == last]


def read_apt_settings(root: Path = Path("/etc/apt")) -> AptSettings:
    """Read the host's apt sources and settings; nothing on a host without apt."""
    sources: list[AptSource] = []
    for path in (root / "sources.list", *sorted(root.glob("sources.list.d/*.list"))):
        sources += _one_line_sources(_text(path))
    for path in sorted(root.glob("sources.list.d/*.sources")):
        sources += _deb822_sources(_text(path))
    usable = tuple(dict.fromkeys(source for source in sources if _reaches_containers(source.uri)))
    return AptSettings(sources=usable, configuration=_configuration())


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _one_line_sources(text: str) -> Iterator[AptSource]:
    for line in text.splitlines():
        if match := _ONE_LINE.match(line.strip()):
            yield AptSource(uri=match[1].rstrip("/"), suite=match[2])


def _deb822_sources(text: str) -> Iterator[AptSource]:
    for paragraph in re.split(r"\n\s*\n", text):
        fields = {
            name.strip().lower(): value.strip()
            for name, colon, value in (line.partition(":") for line in paragraph.splitlines())
            if colon and not name.startswith(("#", " ", "\t"))
        }
        if fields.get("enabled", "yes").lower() == "no" or "deb" not in fields.get("types", "").split():
            continue
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield AptSource(uri=uri.rstrip("/"), suite=suite)


def _reaches_containers(uri: str) -> bool:
    parts = urlsplit(uri)
    return parts.scheme in {"http", "https"} and "@" not in parts.netloc and not is_loopback(parts.hostname)


def _configuration() -> str:
    if not shutil.which("apt-config"):
        return ""
    dump = subprocess.run(["apt-config", "dump"], check=False, capture_output=True, text=True).stdout
    lines = []
    for line in dump.splitlines():
        match = _SETTINGS.match(line)
        if match and (not match[1].endswith("Proxy") or match[2] == "DIRECT" or _reaches_containers(match[2])):
            lines.append(line)
    return "".join(f"{line}\n" for line in lines)
