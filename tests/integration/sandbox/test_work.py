"""The patch of the work against a real image: changed, deleted and replaced files, and its caps."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from harness.ports import PreparedImage, SandboxRequest
from harness.sandbox.docker import work as work_room
from harness.sandbox.docker.provider import DockerSandboxProvider
from harness.schema.task import EnvironmentSpec, NetworkPolicy

pytestmark = [pytest.mark.docker, pytest.mark.anyio]

_TREE = {"keep.txt": "a\nb\nc\n", "gone.txt": "x\n", "old/one": "1\n", "old/sub/two": "2\n", "swap/a": "a\n"}


@pytest.fixture
def request_(prepared: PreparedImage, tmp_path: Path) -> SandboxRequest:
    source = tmp_path / "source"
    for name, text in _TREE.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(text)
    environment = EnvironmentSpec(docker_image=prepared.facts.tag, context_dir=source, workdir="/work")
    return SandboxRequest(environment=environment, network=NetworkPolicy(mode="none"), labels={"run": "work"})


def _apply(patch: Path, tree: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=tree, check=True)
    subprocess.run(["git", "apply", "--binary", patch], cwd=tree, check=True)


async def test_the_patch_makes_the_agents_tree_out_of_the_original(
    provider: DockerSandboxProvider, prepared: PreparedImage, request_: SandboxRequest, tmp_path: Path
) -> None:
    async with provider.open(request_, prepared) as sandbox:
        await sandbox.exec(
            "sed -i s/b/B/ keep.txt; rm gone.txt; rm -r old; rm -r swap && mkdir swap && echo new >swap/b; "
            "ln -s keep.txt link; chmod 700 .; mkdir -p .git node_modules/p; echo >.git/x; echo >node_modules/p/y"
        )
        work = await sandbox.collect_work(tmp_path / "work.patch")
    tree = tmp_path / "source"
    _apply(tmp_path / "work.patch", tree)
    left = {
        path.relative_to(tree).as_posix(): path.read_text()
        for path in tree.rglob("*")
        if path.is_file() and ".git" not in path.parts
    }
    assert left == {"keep.txt": "a\nB\nc\n", "swap/b": "new\n", "link": "a\nB\nc\n"}
    assert (tree / "link").is_symlink()
    assert not work.truncated
    assert len(work.skipped) == 2
    assert {(change.path, change.change) for change in work.changes} >= {
        ("/work/keep.txt", "modified"),
        ("/work/gone.txt", "deleted"),
        ("/work/old/sub/two", "deleted"),
        ("/work/swap/b", "added"),
    }


async def test_many_files_are_fetched_at_once_and_all_are_there(
    provider: DockerSandboxProvider, prepared: PreparedImage, request_: SandboxRequest, tmp_path: Path
) -> None:
    async with provider.open(request_, prepared) as sandbox:
        await sandbox.exec(
            "mkdir m; i=0; while [ $i -lt 300 ]; do echo $i >m/f$i; i=$((i+1)); done; echo z >>keep.txt"
        )
        work = await sandbox.collect_work(tmp_path / "work.patch")
    assert (work.files_changed, work.insertions, work.deletions) == (301, 301, 0)


async def test_beyond_its_caps_the_patch_says_what_is_missing(
    provider: DockerSandboxProvider,
    prepared: PreparedImage,
    request_: SandboxRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(work_room, "MAX_BYTES", 10_000)
    async with provider.open(request_, prepared) as sandbox:
        await sandbox.exec("head -c 20000 /dev/zero >big; head -c 20000 /dev/zero >>keep.txt; echo small >small")
        work = await sandbox.collect_work(tmp_path / "work.patch")
    assert work.truncated
    assert any("big" in reason and "keep.txt" in reason for reason in work.skipped)
    assert work.files_changed == 1
    assert b"small" in (tmp_path / "work.patch").read_bytes()
    assert b"keep.txt" not in (tmp_path / "work.patch").read_bytes()
