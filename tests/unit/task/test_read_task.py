from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import TaskError
from harness.schema.task import Artifact, Healthcheck, NetworkPolicy
from harness.task import new_task, read_task, unsupported

WriteTask = Callable[..., Path]

EVERY_KEY = """\
schema_version = "1.3"
source = "demo"
artifacts = ["/app/out", {source = "/app/log", destination = "logs", exclude = ["*.tmp"], service = "main"}]
multi_step_reward_strategy = "final"

[task]
name = "org/everything"
version = "2"
description = "All keys"
authors = [{name = "Ann", email = "ann@example.org"}, {name = "Bo"}]
keywords = ["a", "b"]

[metadata]
difficulty = "hard"
born = 2024-02-03
odd = inf

[agent]
timeout_sec = 900
user = 1000

[verifier]
timeout_sec = 120.5
user = "root"
env = {TOKEN = "${TOKEN:-none}"}

[[verifier.collect]]
command = "pg_dump"
timeout_sec = 5
user = 0

[solution.env]
DEBUG = "1"

[environment]
docker_image = "example/image:1"
build_timeout_sec = 30
os = "LINUX"
cpus = 1.5
memory_mb = 2048
storage_mb = 10240
gpus = 0
env.HOME = "/root"
workdir = "/app"
network_mode = "no-network"
mcp_servers = [{name = "x", transport = "http", url = "http://x", headers = {Authorization = "Bearer ${T}"}}]
skills_dir = "/skills"

[environment.healthcheck]
command = "true"
interval_sec = 1
"""


@pytest.fixture
def write_task(tmp_path: Path) -> WriteTask:
    """Return a function that makes a sound task with the given ``task.toml``, and returns its folder."""

    def write(toml: str = 'schema_version = "1.4"\n', name: str = "sound") -> Path:
        folder = tmp_path / name
        new_task(folder, name)
        (folder / "task.toml").write_text(toml, encoding="utf-8")
        return folder

    return write


def test_every_key_reaches_the_task(write_task: WriteTask) -> None:
    task = read_task(write_task(EVERY_KEY))
    assert (task.name, task.version, task.source, task.description) == ("org/everything", "2", "demo", "All keys")
    assert task.authors == ("Ann <ann@example.org>", "Bo")
    assert task.keywords == ("a", "b")
    assert task.metadata == {"difficulty": "hard", "born": "2024-02-03", "odd": "inf"}
    assert (task.agent.timeout_s, task.agent.user) == (900, "1000")
    assert (task.verifier.timeout_s, task.verifier.user, task.verifier.mode) == (120.5, "root", "shared")
    assert task.verifier.env == {"TOKEN": "${TOKEN:-none}"}
    assert task.solution_env == {"DEBUG": "1"}
    assert [(hook.command, hook.user, hook.timeout_s) for hook in task.verifier.collect] == [("pg_dump", "0", 5)]
    assert task.artifacts == (
        Artifact(source="/app/out"),
        Artifact(source="/app/log", destination="logs", exclude=("*.tmp",), service="main"),
    )
    environment = task.environment
    assert (environment.docker_image, environment.build_timeout_s) == ("example/image:1", 30)
    assert (environment.os, environment.workdir) == ("linux", "/app")
    assert (environment.resources.cpus, environment.resources.memory_mb) == (1.5, 2048)
    assert environment.resources.storage_mb == 10240
    assert environment.network == NetworkPolicy(mode="none")
    assert environment.env == {"HOME": "/root"}
    assert environment.healthcheck == Healthcheck(command="true", interval_s=1)
    assert environment.mcp_servers[0].transport == "streamable-http"
    assert environment.skills_dir == "/skills"
    assert task.step_reward == "final"
    assert task.warnings == ()


def test_a_task_of_terminal_bench_2_1_is_read_without_a_warning(write_task: WriteTask) -> None:
    """The keys and tables that all of its 89 tasks have."""
    task = read_task(
        write_task(
            """\
schema_version = "1.1"
artifacts = []

[task]
name = "terminal-bench/example"
description = "x"
keywords = ["a"]
[[task.authors]]
name = "Ann"
email = "ann@example.org"

[metadata]
author_name = "Ann"
expert_time_estimate_min = 30.0

[verifier]
timeout_sec = 900.0

[agent]
timeout_sec = 900.0

[environment]
build_timeout_sec = 600.0
docker_image = "example/x:20251031"
cpus = 1
memory_mb = 4096
storage_mb = 10240
gpus = 0
allow_internet = true
mcp_servers = []

[verifier.env]

[environment.env]

[solution.env]
"""
        )
    )
    assert task.warnings == ()
    assert unsupported(task) is None
    assert task.environment.network.mode == "public"


def test_the_oldest_spelling_is_understood(write_task: WriteTask) -> None:
    task = read_task(
        write_task(
            'version = "1.0"\n[environment]\nmemory = "2G"\nstorage = "512M"\nallow_internet = false\n'
            "[agent]\ntimeout_sec = 60\n"
        )
    )
    assert task.environment.resources.memory_mb == 2048
    assert task.environment.resources.storage_mb == 512
    assert task.environment.network.mode == "none"
    assert task.name == "sound"


def test_equal_old_and_new_spellings_agree(write_task: WriteTask) -> None:
    toml = '[environment]\nmemory = "2G"\nmemory_mb = 2048\nallow_internet = true\nnetwork_mode = "public"\n'
    task = read_task(write_task(toml))
    assert task.environment.resources.memory_mb == 2048
    assert task.environment.network.mode == "public"


def test_an_empty_file_gives_the_formats_defaults(write_task: WriteTask) -> None:
    task = read_task(write_task(""))
    assert task.agent.timeout_s is None
    assert task.verifier.timeout_s == 600
    assert task.environment.build_timeout_s == 600
    assert task.environment.network.mode == "public"
    assert task.environment.resources.cpus is None
    assert (task.step_reward, task.warnings) == ("mean", ())


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ('[agent]\ntimeout_sec = "soon"\n', "task.toml:2: agent.timeout_sec: expected a number, found 'soon'."),
        ("[agent]\n\ntimeout_sec = 0\n", "task.toml:3: agent.timeout_sec: expected a number above 0, found 0."),
        ("agent.timeout_sec = nan\n", "task.toml:1: agent.timeout_sec: expected a finite number, found nan."),
        (
            "[agent]\nuser = true\n",
            "task.toml:2: agent.user: expected text in quotes or a whole number, found true.",
        ),
        ("[environment]\ncpus = true\n", "task.toml:2: environment.cpus: expected a number, found true."),
        ('[environment]\nos = "bsd"\n', "task.toml:2: environment.os: expected 'linux' or 'windows', found 'bsd'."),
        ("environment = 3\n", "task.toml:1: environment: expected a table, found 3."),
        ('[environment]\nmemory = "lots"\n', "task.toml:2: environment.memory: expected a size such as"),
        (
            '[environment]\nmemory = "2G"\nmemory_mb = 1\n',
            "task.toml:1: environment: memory = '2G' and memory_mb = 1",
        ),
        ('[environment]\nallow_internet = true\nnetwork_mode = "no-network"\n', "contradict each other"),
        ('[environment]\nnetwork_mode = "none"\n', "expected 'public', 'no-network' or 'allowlist', found 'none'."),
        ('[agent]\nallowed_hosts = ["a.org"]\n', "task.toml:1: agent: allowed_hosts needs network_mode"),
        (
            '[environment]\nnetwork_mode = "allowlist"\nallowed_hosts = ["https://a.org/x"]\n',
            "task.toml:3: environment.allowed_hosts: 'https://a.org/x' is not a host name",
        ),
        ('[environment]\nworkdir = "app"\n', "task.toml:2: environment.workdir: expected an absolute path"),
        ("[environment.env]\nPORT = 80\n", "task.toml:2: environment.env.PORT: expected text in quotes."),
        ("[environment.healthcheck]\nretries = 1\n", "task.toml:1: environment.healthcheck.command: is missing."),
        ('[verifier]\nenvironment_mode = "shared"\n[verifier.environment]\n', "contradict each other; remove one"),
        ('[[steps]]\nname = "A"\n[[steps]]\nname = "a"\n', "two steps are called 'a'"),
        ('[[steps]]\nname = "../x"\n', "task.toml:2: steps[0].name: expected a folder name"),
        (
            'artifacts = [\n  "/a",\n  {source = "/b", destination = "../c"},\n]\n',
            "task.toml:3: artifacts[1].destin",
        ),
        ('artifacts = ["/logs/../etc"]\n', "task.toml:1: artifacts[0]: expected a path without '..'"),
        ('[[artifacts]]\nsource = ""\n', "task.toml:2: artifacts[0].source: expected a path without"),
        (
            'artifacts = [{source = "/a", destination = "/b"}]\n',
            "artifacts[0].destination: expected a relative path",
        ),
        ('multi_step_reward_mode = "mean"\nmulti_step_reward_strategy = "final"\n', "contradict each other"),
        ("[agent]\ntimeout_sec = \n", "task.toml:2: invalid value."),
        ("[agent]\na = 1\n[agent]\n", "task.toml:3: cannot declare"),
        ('a = "never closed\n', "task.toml:1: "),
        ("# one\n[agent\n", "task.toml:2: "),
    ],
)
def test_a_wrong_value_is_named_with_file_line_and_key(write_task: WriteTask, toml: str, message: str) -> None:
    folder = write_task(toml)
    with pytest.raises(TaskError) as caught:
        read_task(folder)
    assert message in str(caught.value)
    assert str(folder) in str(caught.value)


def test_several_wrong_values_are_all_told(write_task: WriteTask) -> None:
    with pytest.raises(TaskError) as caught:
        read_task(write_task('[agent]\ntimeout_sec = "a"\n[verifier]\ntimeout_sec = "b"\n'))
    assert "agent.timeout_sec" in caught.value.message
    assert "task.toml:4: verifier.timeout_sec" in caught.value.detail


def test_unknown_keys_are_warnings_with_line_and_near_name(write_task: WriteTask) -> None:
    task = read_task(
        write_task(
            '[agent]\ntimeout_secs = 5\n[zzz]\n[[verifier.collect]]\ncommand = "a"\n'
            '[[verifier.collect]]\ncommand = "b"\nserice = "c"\n'
        )
    )
    assert task.warnings == (
        "task.toml:2: unknown key agent.timeout_secs; did you mean timeout_sec?",
        "task.toml:3: unknown key zzz",
        "task.toml:8: unknown key verifier.collect[1].serice; did you mean service?",
    )


def test_a_newer_version_is_read_with_a_warning(write_task: WriteTask) -> None:
    assert read_task(write_task('version = "2.0"\n', name="legacy")).warnings == ()
    assert "version 1.10 is newer than 1.4" in read_task(write_task('schema_version = "1.10"\n')).warnings[0]


def test_a_literal_credential_is_refused_without_being_shown(write_task: WriteTask) -> None:
    toml = '[[environment.mcp_servers]]\nname = "x"\nurl = "http://x"\nheaders = {X-Api-Key = "sesame-open"}\n'
    with pytest.raises(TaskError) as caught:
        read_task(write_task(toml))
    assert "task.toml:4" in str(caught.value)
    assert "X-Api-Key" in str(caught.value)
    assert "sesame" not in str(caught.value) + caught.value.detail


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<!-- canary GUID 26b5-1 -->\n\n\nDo it.\n", "Do it.\n"),
        ("# BENCHMARK DATA canary\n<!-- Canary 1234 -->\n \nDo it.\n\nWell.", "Do it.\n\nWell."),
        ("Do it.\n# canary\n", "Do it.\n# canary\n"),
        ("\ufeffDo it.", "Do it."),
    ],
)
def test_canary_lines_at_the_top_are_not_told(write_task: WriteTask, text: str, told: str) -> None:
    folder = write_task()
    (folder / "instruction.md").write_text(text, encoding="utf-8")
    assert read_task(folder).instruction == told


def test_a_heading_that_only_looks_like_a_canary_is_warned_of(write_task: WriteTask) -> None:
    folder = write_task()
    (folder / "instruction.md").write_text("# Canary deployments\n\nSet them up.\n")
    task = read_task(folder)
    assert task.instruction == "Set them up.\n"
    assert "instruction.md:1: dropped as a canary marker" in task.warnings[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "instruction.md is missing"),
        (b" \n\n", "instruction.md is empty"),
        (b"<!-- canary GUID -->\n", "instruction.md is empty"),
        (b"fine\ncaf\xe9\n", "instruction.md:2: not UTF-8 (byte 0xe9 at offset 8)"),
    ],
)
def test_an_unusable_instruction_is_an_error_with_its_place(
    write_task: WriteTask, content: bytes | None, message: str
) -> None:
    folder = write_task()
    (folder / "instruction.md").unlink()
    if content is not None:
        (folder / "instruction.md").write_bytes(content)
    with pytest.raises(TaskError, match=r"instruction\.md") as caught:
        read_task(folder)
    assert message in str(caught.value)


def test_a_task_toml_that_is_not_utf8_is_an_error_with_its_line(write_task: WriteTask) -> None:
    folder = write_task()
    (folder / "task.toml").write_bytes(b'a = 1\nb = "\xff"\n')
    with pytest.raises(TaskError, match=r"task\.toml:2: not UTF-8"):
        read_task(folder)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("task.toml", "is no task: task.toml is missing"),
        ("environment/Dockerfile", "environment/Dockerfile is missing"),
        ("tests/test.sh", "tests/test.sh is missing"),
    ],
)
def test_what_is_missing_is_named(write_task: WriteTask, missing: str, message: str) -> None:
    folder = write_task()
    (folder / missing).unlink()
    with pytest.raises(TaskError, match=message):
        read_task(folder)


def test_a_prebuilt_image_needs_no_environment_folder(write_task: WriteTask) -> None:
    folder = write_task('[environment]\ndocker_image = "example/image:1"\n')
    for path in (folder / "environment").iterdir():
        path.unlink()
    (folder / "environment").rmdir()
    task = read_task(folder)
    assert task.environment.context_dir is None
    assert not task.environment.has_dockerfile


def test_a_missing_solution_is_no_error(write_task: WriteTask) -> None:
    folder = write_task()
    (folder / "solution" / "solve.sh").unlink()
    (folder / "solution").rmdir()
    assert read_task(folder).solution_dir is None


def test_the_digest_is_the_formats(write_task: WriteTask) -> None:
    folder = write_task()
    total = hashlib.sha256()
    for relative in sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()):
        inner = hashlib.sha256((folder / relative).read_bytes()).hexdigest()
        total.update(f"{relative}\0{inner}\n".encode())
    assert read_task(folder).digest == total.hexdigest()


def test_the_digest_follows_contents_and_names_but_not_junk(write_task: WriteTask) -> None:
    folder = write_task()
    before = read_task(folder).digest
    for junk in (".git/HEAD", "tests/__pycache__/a.pyc", "environment/.DS_Store"):
        (folder / junk).parent.mkdir(parents=True, exist_ok=True)
        (folder / junk).write_text("junk")
    assert read_task(folder).digest == before
    (folder / "tests" / "helper.txt").write_text("x")
    with_helper = read_task(folder).digest
    (folder / "tests" / "helper.txt").rename(folder / "tests" / "renamed.txt")
    assert len({before, with_helper, read_task(folder).digest}) == 3


def test_the_digest_does_not_depend_on_where_the_task_lies(write_task: WriteTask, tmp_path: Path) -> None:
    folder = write_task()
    before = read_task(folder).digest
    assert read_task(folder.rename(tmp_path / "elsewhere")).digest == before


@pytest.mark.parametrize("target", ["/etc/passwd", "../../outside", "nested/../../../outside"])
def test_a_link_that_leaves_the_task_is_refused(write_task: WriteTask, target: str) -> None:
    folder = write_task()
    (folder / "tests" / "link").symlink_to(target)
    with pytest.raises(TaskError, match=r"tests/link is a link to .* leaves the task folder"):
        read_task(folder)


def test_a_link_inside_the_task_is_kept(write_task: WriteTask) -> None:
    folder = write_task()
    (folder / "tests" / "file").symlink_to("test.sh")
    (folder / "tests" / "folder").symlink_to("../environment")
    (folder / "tests" / "nowhere").symlink_to("not-there")
    assert len(read_task(folder).digest) == 64


def test_a_pipe_in_the_folder_is_refused_rather_than_waited_for(write_task: WriteTask) -> None:
    folder = write_task()
    os.mkfifo(folder / "tests" / "pipe")
    with pytest.raises(TaskError, match="tests/pipe is neither"):
        read_task(folder)


def _with_steps(folder: Path, *names: str) -> None:
    for name in names:
        step = folder / "steps" / name
        (step / "tests").mkdir(parents=True)
        (step / "instruction.md").write_text(f"Do {name}.")
        (step / "tests" / "test.sh").write_text("echo 1 > /logs/verifier/reward.txt")


def test_steps_are_read_with_their_own_settings(write_task: WriteTask) -> None:
    folder = write_task(
        'multi_step_reward_mode = "final"\n[[steps]]\nname = "one"\nmin_reward = 0.5\n'
        "[steps.agent]\ntimeout_sec = 5\n"
        '[[steps]]\nname = "two"\nmin_reward = {reward = 1.0}\n[steps.verifier]\ntimeout_sec = 7\n'
    )
    _with_steps(folder, "one", "two")
    (folder / "instruction.md").unlink()
    task = read_task(folder)
    assert [(step.name, step.instruction, step.min_reward) for step in task.steps] == [
        ("one", "Do one.", 0.5),
        ("two", "Do two.", {"reward": 1.0}),
    ]
    assert task.steps[0].agent.timeout_s == 5
    assert (task.steps[0].verifier.timeout_s, task.steps[1].verifier.timeout_s) == (600, 7)
    assert task.step_reward == "final"


def test_a_step_without_its_folder_or_tests_is_an_error(write_task: WriteTask) -> None:
    folder = write_task('[[steps]]\nname = "one"\n')
    with pytest.raises(TaskError, match="the folder steps/one is missing"):
        read_task(folder)
    _with_steps(folder, "one")
    (folder / "tests" / "test.sh").unlink()
    (folder / "steps" / "one" / "tests" / "test.sh").unlink()
    with pytest.raises(TaskError, match=r"steps/one/tests/test\.sh is missing"):
        read_task(folder)


def test_a_separate_verifier_takes_its_image_from_tests(write_task: WriteTask) -> None:
    folder = write_task('[verifier]\nenvironment_mode = "separate"\n')
    assert read_task(folder).verifier.environment is None
    (folder / "tests" / "Dockerfile").write_text("FROM scratch\n")
    environment = read_task(folder).verifier.environment
    assert environment is not None
    assert environment.context_dir == folder / "tests"


def test_a_verifier_environment_makes_verification_separate(write_task: WriteTask) -> None:
    task = read_task(write_task('[verifier.environment]\ndocker_image = "v:1"\ncpus = 1\n'))
    assert task.verifier.mode == "separate"
    assert task.verifier.environment is not None
    assert task.verifier.environment.docker_image == "v:1"


@pytest.mark.parametrize(
    ("toml", "reason"),
    [
        ('[environment]\nos = "Windows"\n', "Windows container"),
        ("[environment]\ngpus = 2\n", "2 GPU"),
        ('[environment.tpu]\ntype = "v5"\ntopology = "2x2"\n', "TPU"),
        (
            '[environment]\nnetwork_mode = "allowlist"\nallowed_hosts = ["*.a.org", "10.0.0.0/8", "::1"]\n',
            "list of",
        ),
        ('[agent]\nnetwork_mode = "no-network"\n', "changes its network"),
        ('[verifier]\nenvironment_mode = "separate"\n', "separate container"),
        ('[environment]\nskills_dir = "/s"\n', "skills"),
        ('[[environment.mcp_servers]]\nname = "x"\ntransport = "stdio"\ncommand = "x"\n', "MCP"),
        ('[[verifier.collect]]\ncommand = "x"\nservice = "db"\n', "the service db"),
    ],
)
def test_what_cannot_be_honoured_is_refused_with_a_reason(write_task: WriteTask, toml: str, reason: str) -> None:
    assert reason in (unsupported(read_task(write_task(toml))) or "")


def test_compose_steps_and_trajectories_are_refused_with_a_reason(write_task: WriteTask) -> None:
    folder = write_task('[[steps]]\nname = "one"\n')
    _with_steps(folder, "one")
    (folder / "environment" / "docker-compose.yaml").write_text("services: {}\n")
    (folder / "trajectory.json").write_text("{}")
    reason = unsupported(read_task(folder)) or ""
    assert "docker-compose.yaml" in reason
    assert "1 steps" in reason
    assert "trajectory.json" in reason


def test_hooks_and_artifacts_of_main_are_supported(write_task: WriteTask) -> None:
    task = read_task(
        write_task('artifacts = ["/a"]\n[[verifier.collect]]\ncommand = "x"\n[environment]\ngpus = 0\n')
    )
    assert unsupported(task) is None
