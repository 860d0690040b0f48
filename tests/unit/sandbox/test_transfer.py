"""What a hostile archive may do to the host: nothing."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from harness.errors import TransferError
from harness.ports import TransferLimits
from harness.sandbox.docker.transfer import _Extraction, _move_into_place


def _entry(name: str, kind: bytes = tarfile.REGTYPE, *, data: bytes = b"", link: str = "", mode: int = 0o644):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname, info.mode = kind, len(data), link, mode
    return info, data


def _extract(folder: Path, *entries: tuple[tarfile.TarInfo, bytes], limits: TransferLimits | None = None) -> int:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data))
    archive.seek(0)
    with tarfile.open(fileobj=archive, mode="r|") as tar:
        return _Extraction(folder, limits or TransferLimits()).run(tar)


_TOP = _entry("out", tarfile.DIRTYPE, mode=0o755)


@pytest.mark.parametrize("name", ["out/../../evil", "../evil", "out/a/../../../evil", "out/.."])
def test_a_name_that_climbs_out_is_refused(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    with pytest.raises(TransferError):
        _extract(inside, _TOP, _entry(name, data=b"x"))
    assert [path.name for path in tmp_path.rglob("*")] == ["inside"]


def test_an_absolute_name_stays_inside(tmp_path: Path) -> None:
    _extract(tmp_path, _TOP, _entry("/out/etc/cron", data=b"x"))
    assert (tmp_path / "etc" / "cron").read_bytes() == b"x"


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    inside = tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    link = _entry("out/door", tarfile.SYMTYPE, link=str(outside))
    _extract(inside, _TOP, link, _entry("out/door/evil", data=b"x"))
    assert list(outside.iterdir()) == []
    assert not (inside / "door").is_symlink()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE])
def test_special_files_are_left_out(tmp_path: Path, kind: bytes) -> None:
    _extract(tmp_path, _TOP, _entry("out/odd", kind, link="/etc/passwd"), _entry("out/plain", data=b"x"))
    assert [path.name for path in tmp_path.iterdir()] == ["plain"]


def test_set_id_bits_and_group_writing_are_dropped(tmp_path: Path) -> None:
    _extract(tmp_path, _TOP, _entry("out/tool", data=b"x", mode=0o6777))
    assert (tmp_path / "tool").stat().st_mode & 0o7777 == 0o755


def test_a_hard_link_out_of_the_tree_gives_nothing(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    inside = tmp_path / "inside"
    inside.mkdir()
    with pytest.raises(TransferError):
        _extract(inside, _TOP, _entry("out/stolen", tarfile.LNKTYPE, link="out/../../secret"))
    _extract(inside, _TOP, _entry("out/stolen", tarfile.LNKTYPE, link="/etc/passwd"))
    assert list(inside.iterdir()) == []


def test_hard_links_count_as_often_as_they_are_written(tmp_path: Path) -> None:
    links = [_entry(f"out/copy{i}", tarfile.LNKTYPE, link="out/a") for i in range(50)]
    with pytest.raises(TransferError, match="bytes"):
        _extract(tmp_path, _TOP, _entry("out/a", data=b"x" * 100), *links, limits=TransferLimits(max_bytes=1000))


def test_too_much_is_refused_before_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(TransferError, match="bytes"):
        _extract(tmp_path, _TOP, _entry("out/a", data=b"x" * 2000), limits=TransferLimits(max_bytes=1000))
    assert list(tmp_path.iterdir()) == []
    many = [_entry(f"out/{i}") for i in range(10)]
    with pytest.raises(TransferError, match="entries"):
        _extract(tmp_path, _TOP, *many, limits=TransferLimits(max_entries=5))


def test_a_folder_that_is_there_gets_the_new_entries(tmp_path: Path) -> None:
    partial, target = tmp_path / "partial", tmp_path / "target"
    for folder, names in ((partial, "ab"), (target, "bc")):
        for name in names:
            (folder / name).mkdir(parents=True)
            (folder / name / folder.name).touch()
    _move_into_place(partial, target)
    found = sorted(path.relative_to(target).as_posix() for path in target.rglob("*/*"))
    assert found == ["a/partial", "b/partial", "c/target"]
