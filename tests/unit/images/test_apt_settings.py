"""What is read of the host's apt."""

from __future__ import annotations

from pathlib import Path

from harness.sandbox.docker.apt_sources import AptSource, read_apt_settings

DEB822 = """\
Types: deb
# a comment: with a colon
URIs: https://mirror.example/debian/
Suites: bookworm bookworm-updates
Components: main

Types: deb-src
URIs: https://mirror.example/sources
Suites: bookworm

Enabled: no
Types: deb
URIs: https://off.example/debian
Suites: bookworm
"""


def test_both_formats_are_read_and_what_is_off_is_not(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list.d/debian.sources").write_text(DEB822)
    (tmp_path / "sources.list").write_text(
        "# deb http://comment.example/debian bookworm main\n"
        "deb [signed-by=/a.gpg arch=amd64] http://line.example/debian trixie main contrib\n"
        "deb-src http://line.example/debian trixie main\n"
    )
    settings = read_apt_settings(tmp_path)
    assert settings.sources == (
        AptSource(uri="http://line.example/debian", suite="trixie"),
        AptSource(uri="https://mirror.example/debian", suite="bookworm"),
        AptSource(uri="https://mirror.example/debian", suite="bookworm-updates"),
    )
    assert settings.mirrors_for("bookworm") == ["https://mirror.example/debian"]


def test_mirrors_with_passwords_files_and_loopback_stay_out(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(
        "deb https://me:secret@mirror.example/debian bookworm main\n"
        "deb http://localhost:3142/debian bookworm main\n"
        "deb file:/srv/debian bookworm main\n"
        "deb cdrom:[Debian]/ bookworm main\n"
    )
    assert read_apt_settings(tmp_path).sources == ()


def test_a_mirror_of_another_suite_is_a_candidate_if_it_is_called_like_the_distribution(tmp_path: Path) -> None:
    (tmp_path / "sources.list").write_text(
        "deb http://mirror.example/ubuntu noble main\ndeb http://mirror.example/debian bookworm main\n"
    )
    assert read_apt_settings(tmp_path).mirrors_like("debian") == ["http://mirror.example/debian"]


def test_a_host_without_apt_has_no_sources(tmp_path: Path) -> None:
    assert read_apt_settings(tmp_path / "none").sources == ()
