"""What of the host's trust and package settings must reach builds and containers.

Hosts behind a company's certificate authority or package mirror are ordinary; a container knows nothing of
either. Owns finding out (extra certificate authorities, index addresses, proxies) and what is refused, with the
reason. Leaves to the Docker adapter how it reaches an image. Values never enter the record, only names.
"""

from __future__ import annotations

import base64
import binascii
import configparser
import hashlib
import ipaddress
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from harness.schema.plan import HostSettingsMode
from harness.schema.sandbox import HostTrust

BUNDLE_PATH = "/usr/local/share/harness-ca/bundle.pem"
"""Where the whole bundle is put in images and containers."""

ANCHORS_FOLDER = "/usr/local/share/ca-certificates"
"""Where Debian's and Alpine's ``update-ca-certificates`` look for extra authorities."""

_BUNDLE_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
_SYSTEM_BUNDLES = ("etc/ssl/certs/ca-certificates.crt", "etc/pki/tls/certs/ca-bundle.crt", "etc/ssl/cert.pem")
_ANCHORS = ("usr/local/share/ca-certificates", "etc/pki/ca-trust/source/anchors")
_DISTRIBUTIONS_OWN = ("usr/share/ca-certificates", "usr/share/pki/ca-trust-source")
_CLIENT_VARIABLES = (
    *_BUNDLE_VARIABLES,
    "GIT_SSL_CAINFO",
    "CARGO_HTTP_CAINFO",
)
_INDEX_VARIABLES = (
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "UV_INDEX_URL",
    "UV_EXTRA_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "UV_INDEX",
    "NPM_CONFIG_REGISTRY",
)
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy")
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class HostSettings:
    """What is handed on. Empty everywhere when nothing is needed.

    ``certificates`` maps a file name to one authority as PEM; ``bundle`` is the public authorities and these.
    ``index`` and ``proxies`` map variables to values.
    """

    certificates: Mapping[str, bytes] = field(default_factory=dict)
    bundle: bytes = b""
    index: Mapping[str, str] = field(default_factory=dict)
    proxies: Mapping[str, str] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.bundle or self.index or self.proxies)

    @property
    def client_variables(self) -> dict[str, str]:
        """Variables that make package clients trust the bundle."""
        return dict.fromkeys(_CLIENT_VARIABLES, BUNDLE_PATH) if self.bundle else {}

    @property
    def build_args(self) -> dict[str, str]:
        """Build arguments by name: index addresses and proxies, the proxies in both spellings."""
        upper = {name.upper(): value for name, value in self.proxies.items()}
        return {**self.index, **self.proxies, **upper}

    def files(self) -> dict[str, bytes]:
        """Return what to write into a container with a public network: absolute path to bytes."""
        if not self.bundle:
            return {}
        anchors = {f"{ANCHORS_FOLDER}/{name}": pem for name, pem in self.certificates.items()}
        return {BUNDLE_PATH: self.bundle, **anchors}

    def env(self) -> dict[str, str]:
        """Return the environment for a container with a public network."""
        return {**self.client_variables, **self.build_args}

    def record(self) -> HostTrust:
        """Return what enters the record: counts and names, never values."""
        return HostTrust(
            certificates=len(self.certificates),
            index_settings=tuple(sorted({**self.index, **self.proxies})),
            skipped=self.skipped,
        )

    @property
    def digest(self) -> str:
        """A digest of everything that reaches a build; empty when nothing does."""
        if not self:
            return ""
        parts = [*(f"{path}={hashlib.sha256(data).hexdigest()}" for path, data in sorted(self.files().items()))]
        parts += [f"{name}={value}" for name, value in sorted(self.build_args.items())]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def discover_host_settings(
    mode: HostSettingsMode = "auto", *, environ: Mapping[str, str] | None = None, root: Path = Path("/")
) -> HostSettings:
    """Find what containers must be given on this host.

    ``auto`` hands on what is there and safe; ``always`` also what carries credentials, and the bundle even
    without extra authorities; ``never`` nothing. ``root`` is the file system looked at.
    """
    if mode == "never":
        return HostSettings()
    return _Discovery(mode, os.environ if environ is None else environ, root).run()


def certificates_in(pem: bytes) -> Iterator[bytes]:
    """Yield the DER bytes of each certificate in a PEM text; what is not base64 is left out."""
    for match in _PEM.finditer(pem):
        try:
            yield base64.b64decode(b"".join(match[1].split()), validate=True)
        except binascii.Error:
            continue


def to_pem(der: bytes) -> bytes:
    """Return one certificate as PEM."""
    text = base64.b64encode(der)
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return b"\n".join((b"-----BEGIN CERTIFICATE-----", *lines, b"-----END CERTIFICATE-----", b""))


def is_loopback(host: str | None) -> bool:
    """Say whether a host name means this machine, which a container cannot reach by that name."""
    if not host or host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


class _Discovery:
    def __init__(self, mode: HostSettingsMode, environ: Mapping[str, str], root: Path) -> None:
        self._mode = mode
        self._environ = environ
        self._root = root
        self._home = Path(environ.get("HOME") or "/nonexistent")
        self._skipped: list[str] = []

    def run(self) -> HostSettings:
        pip = self._pip_options()
        extra = self._extra_authorities(pip.get("cert"))
        certificates = {f"harness-{hashlib.sha256(der).hexdigest()[:12]}.crt": to_pem(der) for der in extra}
        bundle = b""
        if extra or self._mode == "always":
            bundle = _public_bundle().rstrip() + b"\n" + b"".join(certificates.values())
        index = self._index_settings(pip)
        proxies = self._proxies()
        return HostSettings(
            certificates=certificates,
            bundle=bundle,
            index=index,
            proxies=proxies,
            skipped=tuple(dict.fromkeys(self._skipped)),
        )

    # ------------------------------------------------------------------------------------ authorities

    def _extra_authorities(self, pip_cert: str | None) -> list[bytes]:
        known = set(certificates_in(_public_bundle()))
        own = [self._root / folder for folder in _DISTRIBUTIONS_OWN]
        known.update(der for folder in own for der in _certificates_below(folder))
        named = [self._environ.get(name) for name in _BUNDLE_VARIABLES] + [pip_cert]
        paths = [Path(name) for name in named if name]
        if any(folder.is_dir() for folder in own):  # else there is no telling which are the distribution's own
            paths += [self._root / name for name in _SYSTEM_BUNDLES]
        found = [der for path in paths for der in certificates_in(_read(path))]
        found += [der for folder in _ANCHORS for der in _certificates_below(self._root / folder)]
        return sorted({der for der in found if der not in known})

    # -------------------------------------------------------------------------------------- addresses

    def _index_settings(self, pip: Mapping[str, str]) -> dict[str, str]:
        asked = {name: self._environ.get(name, "") for name in _INDEX_VARIABLES}
        asked["PIP_INDEX_URL"] = asked["PIP_INDEX_URL"] or pip.get("index-url", "")
        asked["PIP_EXTRA_INDEX_URL"] = asked["PIP_EXTRA_INDEX_URL"] or pip.get("extra-index-url", "")
        asked["NPM_CONFIG_REGISTRY"] = (
            asked["NPM_CONFIG_REGISTRY"] or self._environ.get("npm_config_registry", "") or self._npm_registry()
        )
        kept = {name: self._reachable(name, value) for name, value in asked.items() if value}
        trusted = self._environ.get("PIP_TRUSTED_HOST", "") or pip.get("trusted-host", "")
        if trusted and (kept.get("PIP_INDEX_URL") or kept.get("PIP_EXTRA_INDEX_URL")):
            kept["PIP_TRUSTED_HOST"] = " ".join(trusted.split())
        return {name: value for name, value in kept.items() if value}

    def _proxies(self) -> dict[str, str]:
        kept: dict[str, str] = {}
        for name in _PROXY_VARIABLES:
            value = self._environ.get(name) or self._environ.get(name.upper()) or ""
            if value and (usable := self._reachable(name, value)):
                kept[name] = usable
        exceptions = self._environ.get("no_proxy") or self._environ.get("NO_PROXY")
        return {**kept, "no_proxy": exceptions} if kept and exceptions else kept

    def _reachable(self, name: str, value: str) -> str:
        """Return the addresses of a setting that containers can use; note why the others are left out."""
        return " ".join(word for word in value.split() if self._usable(name, word))

    def _usable(self, name: str, word: str) -> bool:
        address = word.partition("=")[2] if re.match(r"^[\w.-]+=\w+:", word) else word
        parts = urlsplit(address if "://" in address else f"//{address}")
        if parts.scheme == "file" or address.startswith(("/", ".", "~")):
            self._skipped.append(f"{name}: a path on this host, which containers do not see")
        elif is_loopback(parts.hostname):
            self._skipped.append(f"{name}: this host's loopback address, which containers do not reach")
        elif "@" in parts.netloc and self._mode != "always":
            self._skipped.append(f"{name}: holds credentials; handed on only with host settings `always`")
        else:
            return True
        return False

    # ------------------------------------------------------------------------------- configuration files

    def _pip_options(self) -> dict[str, str]:
        config = self._environ.get("XDG_CONFIG_HOME") or str(self._home / ".config")
        paths = [self._root / "etc/xdg/pip/pip.conf", self._root / "etc/pip.conf"]
        paths += [self._home / ".pip/pip.conf", Path(config) / "pip/pip.conf"]
        if named := self._environ.get("PIP_CONFIG_FILE"):
            paths.append(Path(named))
        options: dict[str, str] = {}
        for path in paths:
            parser = configparser.RawConfigParser(strict=False)
            try:
                parser.read_string(_read(path).decode(errors="replace"))
            except configparser.Error:
                self._skipped.append("pip's configuration: one of its files cannot be read")
                continue
            if parser.has_section("global"):
                options.update({key.replace("_", "-"): value for key, value in parser.items("global") if value})
        return options

    def _npm_registry(self) -> str:
        found = ""
        for path in (self._root / "etc/npmrc", self._root / "usr/etc/npmrc", self._home / ".npmrc"):
            for line in _read(path).decode(errors="replace").splitlines():
                name, _, value = line.partition("=")
                found = value.strip() if name.strip() == "registry" else found
        return found


def _public_bundle() -> bytes:
    import certifi

    return certifi.contents().encode()


def _certificates_below(folder: Path) -> Iterator[bytes]:
    if folder.is_dir():
        paths: Iterable[Path] = (path for path in sorted(folder.rglob("*")) if path.suffix in {".crt", ".pem"})
        for path in paths:
            yield from certificates_in(_read(path))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
