"""What is found on a host: authorities, indexes, proxies; and what is left out."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from harness.sandbox.host_trust import (
    BUNDLE_PATH,
    certificates_in,
    discover_host_settings,
    is_loopback,
    to_pem,
)


@pytest.fixture(scope="module")
def authority() -> bytes:
    return trustme.CA(organization_name="A company").cert_pem.bytes()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A Debian-like host with only the distribution's own authorities."""
    import certifi

    public = next(certificates_in(certifi.contents().encode()))
    (tmp_path / "etc/ssl/certs").mkdir(parents=True)
    (tmp_path / "etc/ssl/certs/ca-certificates.crt").write_bytes(to_pem(public))
    (tmp_path / "usr/share/ca-certificates/mozilla").mkdir(parents=True)
    (tmp_path / "usr/share/ca-certificates/mozilla/One.crt").write_bytes(to_pem(public))
    return tmp_path


def test_an_ordinary_host_needs_nothing(root: Path) -> None:
    found = discover_host_settings(environ={"HOME": str(root / "home")}, root=root)
    assert not found
    assert found.files() == {}
    assert found.env() == {}
    assert found.digest == ""
    assert found.record().certificates == 0


def test_an_authority_of_the_distribution_that_certifi_lacks_is_not_extra(root: Path, authority: bytes) -> None:
    (root / "usr/share/ca-certificates/mozilla/Old.crt").write_bytes(authority)
    (root / "etc/ssl/certs/ca-certificates.crt").write_bytes(authority)
    assert not discover_host_settings(environ={}, root=root)


@pytest.mark.parametrize(
    "variable", ["SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"]
)
def test_an_authority_in_a_bundle_that_a_variable_names_is_handed_on(
    root: Path, authority: bytes, variable: str
) -> None:
    (root / "company.pem").write_bytes(b"# a comment\n" + authority)
    found = discover_host_settings(environ={variable: str(root / "company.pem")}, root=root)
    assert list(found.certificates.values()) == [to_pem(next(certificates_in(authority)))]
    bundle = found.files()[BUNDLE_PATH]
    assert set(certificates_in(authority)) < set(certificates_in(bundle))
    assert len(list(certificates_in(bundle))) > 100
    assert found.env()["PIP_CERT"] == BUNDLE_PATH


def test_an_authority_in_the_system_bundle_or_the_local_folder_is_handed_on_once(
    root: Path, authority: bytes
) -> None:
    with (root / "etc/ssl/certs/ca-certificates.crt").open("ab") as bundle:
        bundle.write(authority)
    (root / "usr/local/share/ca-certificates").mkdir(parents=True)
    (root / "usr/local/share/ca-certificates/company.crt").write_bytes(authority)
    found = discover_host_settings(environ={}, root=root)
    assert found.record().certificates == 1
    (name,) = found.certificates
    assert f"/usr/local/share/ca-certificates/{name}" in found.files()


def test_an_authority_that_only_pip_is_told_of_is_handed_on(root: Path, authority: bytes) -> None:
    (root / "company.pem").write_bytes(authority)
    (root / "etc/pip.conf").write_text(f"[global]\ncert = {root}/company.pem\n")
    assert discover_host_settings(environ={}, root=root).record().certificates == 1


def test_broken_pem_and_missing_files_are_no_reason_to_fail(root: Path) -> None:
    (root / "bad.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n")
    environ = {"SSL_CERT_FILE": str(root / "bad.pem"), "PIP_CERT": str(root / "none.pem")}
    assert not discover_host_settings(environ=environ, root=root)


def test_index_addresses_come_from_the_environment_and_from_configuration_files(root: Path) -> None:
    (root / "home/.config/pip").mkdir(parents=True)
    (root / "home/.config/pip/pip.conf").write_text("[global]\nindex-url = https://mirror.example/pypi\n")
    (root / "home/.npmrc").write_text("fund=false\nregistry=https://mirror.example/npm/\n")
    environ = {"HOME": str(root / "home"), "UV_DEFAULT_INDEX": "https://mirror.example/uv"}
    found = discover_host_settings(environ=environ, root=root)
    assert found.env() == {
        "PIP_INDEX_URL": "https://mirror.example/pypi",
        "NPM_CONFIG_REGISTRY": "https://mirror.example/npm/",
        "UV_DEFAULT_INDEX": "https://mirror.example/uv",
    }
    assert found.record().index_settings == ("NPM_CONFIG_REGISTRY", "PIP_INDEX_URL", "UV_DEFAULT_INDEX")


def test_the_environment_wins_over_configuration_files(root: Path) -> None:
    (root / "etc/pip.conf").write_text("[global]\nindex_url = https://file.example/pypi\n")
    found = discover_host_settings(environ={"PIP_INDEX_URL": "https://env.example/pypi"}, root=root)
    assert found.index == {"PIP_INDEX_URL": "https://env.example/pypi"}


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("PIP_INDEX_URL", "file:///srv/simple", "a path on this host"),
        ("PIP_EXTRA_INDEX_URL", "/srv/simple", "a path on this host"),
        ("PIP_INDEX_URL", "http://localhost:3141/simple", "loopback"),
        ("UV_INDEX", "mine=http://127.0.0.1/simple", "loopback"),
        ("http_proxy", "http://127.0.0.1:3128", "loopback"),
        ("HTTPS_PROXY", "localhost:3128", "loopback"),
        ("PIP_INDEX_URL", "https://me:secret@mirror.example/simple", "credentials"),
    ],
)
def test_what_a_container_cannot_use_or_must_not_see_is_left_out_with_the_reason(
    root: Path, variable: str, value: str, reason: str
) -> None:
    found = discover_host_settings(environ={variable: value}, root=root)
    assert not found
    (skipped,) = found.skipped
    assert skipped.lower().startswith(variable.lower())
    assert reason in skipped
    assert value not in skipped
    assert "secret" not in skipped


def test_the_usable_address_among_several_stays(root: Path) -> None:
    environ = {"PIP_EXTRA_INDEX_URL": "file:///srv/simple https://mirror.example/simple"}
    found = discover_host_settings(environ=environ, root=root)
    assert found.index == {"PIP_EXTRA_INDEX_URL": "https://mirror.example/simple"}
    assert len(found.skipped) == 1


def test_credentials_are_handed_on_only_when_asked_to_always(root: Path) -> None:
    environ = {"PIP_INDEX_URL": "https://me:secret@mirror.example/simple"}
    found = discover_host_settings("always", environ=environ, root=root)
    assert found.index == environ
    assert "secret" not in found.record().model_dump_json()


def test_a_proxy_reaches_containers_in_both_spellings_with_its_exceptions(root: Path) -> None:
    environ = {"HTTPS_PROXY": "http://proxy.example:3128", "NO_PROXY": "intern.example"}
    found = discover_host_settings(environ=environ, root=root)
    assert found.build_args == {
        "https_proxy": "http://proxy.example:3128",
        "HTTPS_PROXY": "http://proxy.example:3128",
        "no_proxy": "intern.example",
        "NO_PROXY": "intern.example",
    }
    assert found.record().index_settings == ("https_proxy", "no_proxy")


def test_never_hands_on_nothing(root: Path, authority: bytes) -> None:
    (root / "company.pem").write_bytes(authority)
    environ = {"SSL_CERT_FILE": str(root / "company.pem"), "PIP_INDEX_URL": "https://mirror.example/simple"}
    assert not discover_host_settings("never", environ=environ, root=root)


def test_the_digest_follows_what_is_handed_on(root: Path) -> None:
    digests = {
        discover_host_settings(environ={"PIP_INDEX_URL": f"https://{name}.example/simple"}, root=root).digest
        for name in ("one", "two", "one")
    }
    assert len(digests) == 2


@pytest.mark.parametrize("host", ["localhost", "a.localhost", "127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", None])
def test_loopback_is_recognised(host: str | None) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["example.org", "10.0.0.1", "localhost.example.org"])
def test_other_hosts_are_no_loopback(host: str) -> None:
    assert not is_loopback(host)
