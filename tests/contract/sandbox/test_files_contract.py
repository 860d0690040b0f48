"""How files go in and out, on every sandbox."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import TransferError
from harness.ports import TransferLimits
from tests.contract.sandbox.boxes import Box

pytestmark = pytest.mark.anyio


def _names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


async def test_a_written_file_is_read_back(box: Box) -> None:
    data = bytes(range(256)) * 100
    await box.sandbox.write_file("/app/new/deep/file.bin", data)
    assert await box.sandbox.read_file("/app/new/deep/file.bin") == data
    assert (await box.sandbox.exec("wc -c <new/deep/file.bin")).output.strip() == "25600"


async def test_a_written_file_has_the_mode_and_owner_asked_for(box: Box) -> None:
    await box.sandbox.write_file("/app/mine/run.sh", b"#!/bin/sh\necho ran\n", mode=0o750, user="1000:1000")
    assert (
        await box.sandbox.exec("stat -c '%a %u %g' mine/run.sh mine")
    ).output == "750 1000 1000\n755 1000 1000\n"
    assert (await box.sandbox.exec("./mine/run.sh", user="1000")).output == "ran\n"


async def test_reading_what_is_not_there_or_not_a_file(box: Box) -> None:
    assert await box.sandbox.read_file("/app/absent") is None
    assert await box.sandbox.read_file("/app/absent/too") is None
    with pytest.raises(TransferError):
        await box.sandbox.read_file("/app")
    await box.sandbox.exec("mkfifo pipe; head -c 5000 /dev/zero >big")
    with pytest.raises(TransferError):
        await box.sandbox.read_file("/app/pipe")
    with pytest.raises(TransferError):
        await box.sandbox.read_file("/app/big", max_bytes=4999)


async def test_a_link_is_followed_within_the_sandbox(box: Box) -> None:
    await box.sandbox.exec("echo there >real; ln -s real near; ln -s a b; ln -s b a")
    assert await box.sandbox.read_file("/app/near") == b"there\n"


async def test_an_uploaded_tree_keeps_modes_and_links(box: Box, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "run.sh").write_text("echo ran from $0\n")
    (source / "sub" / "run.sh").chmod(0o755)
    (source / "link.sh").symlink_to("sub/run.sh")
    (source / "leave.me").write_text("no")
    (source / "leave").mkdir()
    (source / "leave" / "x").write_text("no")
    await box.sandbox.upload(source, "/app/put", ignore=lambda path: path in ("leave.me", "leave/"))
    said = await box.sandbox.exec("cd put; ls; ls sub; [ -x sub/run.sh ] && [ -L link.sh ] && sh link.sh")
    assert said.output == "link.sh\nsub\nrun.sh\nran from link.sh\n"


async def test_an_upload_is_for_every_user_whatever_the_umask_of_the_host(box: Box, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir(mode=0o700)
    for name, mode in (("data", 0o600), ("run.sh", 0o700)):
        (tmp_path / "sub" / name).write_text("x\n")
        (tmp_path / "sub" / name).chmod(mode)
    await box.sandbox.upload(tmp_path, "/app/put")
    said = await box.sandbox.exec("cd put && stat -c '%a %n' sub sub/*")
    assert said.output == "755 sub\n644 sub/data\n755 sub/run.sh\n"


async def test_an_upload_goes_over_what_is_there(box: Box, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("new\n")
    await box.sandbox.exec("mkdir put; echo old >put/f; echo stays >put/g")
    await box.sandbox.upload(tmp_path, "/app/put")
    assert (await box.sandbox.exec("cat put/f put/g")).output == "new\nstays\n"


@pytest.mark.parametrize("link", ["/etc/passwd", "../../outside", "sub/../../out"])
async def test_an_upload_with_a_link_that_leads_out_is_refused(box: Box, tmp_path: Path, link: str) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "bad").symlink_to(link)
    with pytest.raises(TransferError):
        await box.sandbox.upload(source, "/app/put")


async def test_a_downloaded_tree_is_plain_files_and_folders(box: Box, tmp_path: Path) -> None:
    await box.sandbox.exec(
        "mkdir -p out/sub out/empty; echo one >out/a; echo two >out/sub/b; chmod 4755 out/a; "
        "ln -s /etc/passwd out/escape; ln -s sub out/within; ln out/sub/b out/hard; mkfifo out/pipe"
    )
    target = tmp_path / "kept"
    await box.sandbox.download("/app/out", target)
    assert _names(target) == ["a", "empty", "hard", "sub", "sub/b"]
    assert (target / "hard").read_text() == (target / "sub" / "b").read_text() == "two\n"
    assert (target / "a").stat().st_mode & 0o7777 == 0o755


async def test_a_file_or_nothing_is_downloaded_into_a_folder(box: Box, tmp_path: Path) -> None:
    await box.sandbox.write_file("/app/one.txt", b"1\n")
    assert await box.sandbox.download("/app/one.txt", tmp_path / "one") == 2
    assert (tmp_path / "one" / "one.txt").read_text() == "1\n"
    assert await box.sandbox.download("/app/absent", tmp_path / "none") == 0
    assert _names(tmp_path / "none") == []


@pytest.mark.parametrize("limits", [TransferLimits(max_bytes=3000), TransferLimits(max_entries=3)])
async def test_a_download_beyond_its_limits_leaves_nothing(
    box: Box, tmp_path: Path, limits: TransferLimits
) -> None:
    await box.sandbox.exec("mkdir out; for i in 1 2 3 4; do head -c 1000 /dev/zero >out/$i; done")
    with pytest.raises(TransferError):
        await box.sandbox.download("/app/out", tmp_path / "kept", limits=limits)
    assert _names(tmp_path) == []


async def test_a_sparse_giant_does_not_fill_the_host(box: Box, tmp_path: Path) -> None:
    await box.sandbox.exec("mkdir out; dd if=/dev/zero of=out/giant bs=1 count=1 seek=99999999999 2>/dev/null")
    with pytest.raises(TransferError):
        await box.sandbox.download("/app/out", tmp_path / "kept")
    assert _names(tmp_path) == []
