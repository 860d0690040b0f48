"""What the doctor says of a machine, for engines in every state."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from stand_in_engine import serve

from harness.cli.doctor import doctor_command
from harness.doctor import checks, engine, mending
from harness.doctor.engine import Endpoint, find_endpoint, find_engine, process_of, require_engine
from harness.doctor.failures import explain
from harness.doctor.packages import install_packages
from harness.errors import DaemonError, SettingsError

STAND_IN = Path(__file__).with_name("stand_in_engine.py")


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a short path: the name of a Unix socket has only about a hundred characters."""
    with tempfile.TemporaryDirectory(prefix="dr") as folder:
        yield Path(folder)


@contextmanager
def answering(path: Path) -> Iterator[Endpoint]:
    server = serve(str(path))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Endpoint(url=f"unix://{path}", source="default socket")
    finally:
        server.shutdown()
        server.server_close()


def endpoint(path: Path, *, named: bool = False) -> Endpoint:
    return Endpoint(url=f"unix://{path}", source="DOCKER_HOST" if named else "default socket", named=named)


def hide_programs(monkeypatch: pytest.MonkeyPatch, *kept: Path) -> None:
    monkeypatch.setattr(engine, "SYSTEM_PATH", os.pathsep.join(map(str, kept)))


def program(folder: Path, name: str, text: str = "#!/bin/sh\n") -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)
    return path


# -------------------------------------------------------------------------------------------- endpoints


def test_docker_host_names_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.0.0.1:2376")
    found = find_endpoint()
    assert (found.url, found.source, found.named, found.socket_path) == (
        "tcp://10.0.0.1:2376",
        "DOCKER_HOST",
        True,
        None,
    )


def test_the_docker_commands_context_names_the_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hashlib import sha256

    meta = tmp_path / "contexts/meta" / sha256(b"far").hexdigest() / "meta.json"
    meta.parent.mkdir(parents=True)
    there = {"docker": {"Host": "unix:///run/far.sock", "SkipTLSVerify": False}}
    meta.write_text(json.dumps({"Name": "far", "Metadata": {}, "Endpoints": there}))
    (tmp_path / "config.json").write_text(json.dumps({"currentContext": "far"}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    found = find_endpoint()
    assert (found.socket_path, found.source, found.named) == ("/run/far.sock", "docker context far", True)


def test_a_users_own_engine_is_named_when_nothing_else_is_there(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    monkeypatch.setattr(engine, "PID_FILE", short / "none.pid")
    with answering(short / "docker.sock"):
        found = find_engine(endpoint(short / "none.sock"))
    assert found.hint == f"Type: export DOCKER_HOST=unix://{short}/docker.sock"


# ----------------------------------------------------------------------------------------------- states


def test_an_engine_that_answers_is_ready_and_says_what_it_is(short: Path) -> None:
    with answering(short / "e.sock") as there:
        found = find_engine(there)
    assert found.state == "ready", found.sentence
    assert found.facts is not None
    assert (found.facts.version, found.facts.builder, found.facts.memory_mb, found.facts.cpus) == (
        "99.1",
        "BuildKit",
        8192,
        4,
    )
    assert found.facts.mirrors == ("https://mirror.example/",)


def test_no_socket_and_no_program_is_an_absent_engine(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hide_programs(monkeypatch, short)
    monkeypatch.setattr(engine, "PID_FILE", short / "none.pid")
    found = find_engine(endpoint(short / "none.sock"))
    assert (found.state, found.sentence) == ("absent", "No Docker Engine is installed on this machine.")
    assert "doctor --fix" in found.hint


def test_a_socket_that_nobody_listens_on_was_left_by_a_dead_engine(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(short, "dockerd")
    hide_programs(monkeypatch, short)
    monkeypatch.setattr(engine, "PID_FILE", short / "none.pid")
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(short / "e.sock"))
    dead.close()
    found = find_engine(endpoint(short / "e.sock"))
    assert found.state == "stopped"
    assert "was left by one that is gone" in found.sentence


def test_an_engine_whose_process_lives_but_does_not_listen_is_starting(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleeper = shutil.which("sleep")
    assert sleeper is not None
    shutil.copy(sleeper, short / "dockerd")
    process = subprocess.Popen([short / "dockerd", "600"])
    try:
        (short / "d.pid").write_text(str(process.pid))
        monkeypatch.setattr(engine, "PID_FILE", short / "d.pid")
        assert find_engine(endpoint(short / "none.sock")).state == "starting"
        process.kill()
        # Not collected yet: a dead process that still has its number must not pass for an engine that starts.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert process_of(short / "d.pid", "dockerd") is None
    finally:
        process.kill()
        process.wait()


def test_a_pid_file_that_names_another_program_is_not_an_engine(tmp_path: Path) -> None:
    (tmp_path / "d.pid").write_text(str(os.getpid()))
    assert process_of(tmp_path / "d.pid", "dockerd") is None
    (tmp_path / "d.pid").write_text("not a number")
    assert process_of(tmp_path / "d.pid", "dockerd") is None


def test_a_socket_that_the_user_may_not_use_is_told_apart_from_an_engine_that_is_away(short: Path) -> None:
    with answering(short / "e.sock") as there:
        (short / "e.sock").chmod(0o000)
        short.chmod(0o755)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            with suppress(BaseException):
                if os.geteuid() == 0:
                    os.setuid(65534)
                found = find_engine(there)
                os.write(writer, f"{found.state}|{found.sentence}|{found.hint}".encode())
            os._exit(0)
        os.waitpid(child, 0)
        os.close(writer)
        state, sentence, hint = os.read(reader, 4000).decode().split("|")
        os.close(reader)
    assert state == "forbidden"
    assert str(short / "e.sock") in sentence
    assert "usermod -aG" in hint


def test_an_engine_that_the_users_settings_name_is_not_replaced_by_another(short: Path) -> None:
    found = find_engine(endpoint(short / "none.sock", named=True))
    assert found.state == "unreachable"
    assert "DOCKER_HOST names" in found.sentence


def test_a_server_that_is_no_engine_is_unreachable_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"tcp://127.0.0.1:{server.server_address[1]}"
        monkeypatch.setenv("DOCKER_HOST", url)
        found = find_engine()
    finally:
        server.shutdown()
        server.server_close()
    assert found.state == "unreachable"
    assert url in found.sentence
    assert "DOCKER_HOST" in found.hint


def test_an_engine_that_takes_the_call_and_stays_silent_is_given_up_in_time(short: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(short / "e.sock"))
        silent.listen()
        found = find_engine(endpoint(short / "e.sock"), timeout_s=0.3)
    assert found.state == "unreachable"
    assert "gives no usable answer" in found.sentence


def test_a_run_is_refused_in_one_sentence_with_a_way_on(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{short}/none.sock")
    with pytest.raises(DaemonError) as caught:
        require_engine()
    assert caught.value.message.count(".") >= 1
    assert "remove the setting" in caught.value.hint
    with answering(short / "e.sock"):
        monkeypatch.setenv("DOCKER_HOST", f"unix://{short}/e.sock")
        assert require_engine().facts is not None


# ------------------------------------------------------------------------------- why it did not start


@pytest.mark.parametrize(
    ("log", "sentence", "remedied"),
    [
        (
            "failed to start daemon: error initializing graphdriver: driver not supported",
            "storage driver",
            True,
        ),
        (
            "failed to create NAT chain: iptables failed: (nf_tables): Could not fetch rule set generation id",
            "nftables",
            True,
        ),
        (
            "failed to create NAT chain: iptables failed: Permission denied",
            "network",
            False,
        ),
        ("failed to start daemon: Devices cgroup isn't mounted", "control groups", False),
        ("failed to start daemon: pid file found, ensure docker is not running", "pid file", False),
        ("mkdir /var/lib/docker/tmp: no space left on device", "disk is full", False),
        ("mount overlay: operation not permitted", "without the rights", False),
        ("something new", "did not start", False),
    ],
)
def test_known_causes_are_recognised_at_the_end_of_the_log(log: str, sentence: str, remedied: bool) -> None:
    failure = explain(f"level=info msg=starting up\n{log}\n")
    assert sentence in failure.sentence
    assert (failure.remedy is not None) is remedied


def test_warnings_that_every_start_has_are_no_causes() -> None:
    log = 'time="x" level=warning msg="Your kernel does not support cgroup: operation not permitted"\nboom'
    assert explain(log).sentence == "The Docker Engine did not start."


# --------------------------------------------------------------------------------------- starting it


@pytest.fixture
def startable(short: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], list[str]]]:
    """Put a ``dockerd`` on the path that starts only with an option; return what is said while it is started."""
    said: list[str] = []
    monkeypatch.setenv("DOCKER_HOST", f"unix://{short}/e.sock")
    monkeypatch.setattr(mending, "LOG_FOLDER", short)
    hide_programs(monkeypatch, short)

    def start(wanted: str, complaint: str) -> list[str]:
        script = (
            f'#!/bin/sh\nexec "{sys.executable}" "{STAND_IN}" "{short}/e.sock" {wanted} "{complaint}" first "$@"\n'
        )
        program(short, "dockerd", script)
        mending._by_hand(said.append)
        return said

    yield start
    for line in said:
        if "(process " in line:
            with suppress(ProcessLookupError):
                os.kill(int(line.partition("(process ")[2].partition(",")[0]), signal.SIGKILL)


def test_an_engine_is_started_as_a_process_of_its_own_that_answers(
    startable: Callable[[str, str], list[str]], short: Path
) -> None:
    said = startable("first", "unused")
    assert find_engine().state == "ready"
    pid = int(said[0].partition("(process ")[2].partition(",")[0])
    assert os.getsid(pid) == pid != os.getsid(0)
    assert (short / "harness-dockerd.log").exists()


def test_a_failed_storage_driver_is_told_and_vfs_is_tried(startable: Callable[[str, str], list[str]]) -> None:
    said = startable(
        "--storage-driver=vfs", "failed to start daemon: error initializing graphdriver: not supported"
    )
    assert find_engine().state == "ready"
    assert any("Trying again with the driver vfs" in line for line in said)


def test_an_engine_that_cannot_start_is_explained_with_the_end_of_its_log(
    startable: Callable[[str, str], list[str]],
) -> None:
    with pytest.raises(DaemonError) as caught:
        startable("never", "failed to start daemon: Devices cgroup isn't mounted")
    assert "control groups" in caught.value.message
    assert "Devices cgroup isn't mounted" in caught.value.detail
    assert "harness-dockerd.log" in caught.value.hint


def test_a_pid_file_left_by_a_dead_engine_is_removed_and_one_of_a_live_program_kept(tmp_path: Path) -> None:
    said: list[str] = []
    stale, live = tmp_path / "stale.pid", tmp_path / "live.pid"
    stale.write_text("1")
    live.write_text(str(os.getpid()))
    name = Path(f"/proc/{os.getpid()}/comm").read_text().strip()
    mending._drop_stale(stale, "dockerd", said.append)
    mending._drop_stale(live, name, said.append)
    assert (stale.exists(), live.exists(), len(said)) == (False, True, 1)


def test_two_repairs_take_turns() -> None:
    said: list[str] = []
    order: list[str] = []

    def second() -> None:
        with mending._one_at_a_time(said.append):
            order.append("second")

    with mending._one_at_a_time(said.append):
        other = Thread(target=second)
        other.start()
        other.join(0.3)
        order.append("first")
    other.join(30)
    assert order == ["first", "second"]
    assert any("another set-up" in line for line in said)


# ---------------------------------------------------------------------------------------------- packages


def test_packages_that_are_there_are_not_installed_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program(tmp_path, "dpkg-query", "#!/bin/sh\nprintf 'install ok installed'\n")
    program(tmp_path, "apt-get", "#!/bin/sh\nexit 99\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    said: list[str] = []
    install_packages(["git", "make"], said.append)
    assert said == []


def test_who_is_not_root_is_told_the_exact_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program(tmp_path, "dpkg-query", '#!/bin/sh\n[ "$4" = git ] && printf "install ok installed"\n')
    program(tmp_path, "apt-get", "#!/bin/sh\nexit 99\n")
    program(tmp_path, "id", "#!/bin/sh\necho 1000\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(SettingsError) as caught:
        install_packages(["git", "docker.io", "iptables"], lambda _: None)
    assert "sudo apt-get install -y --no-install-recommends docker.io iptables" in caught.value.message


def test_a_system_without_apt_is_told_the_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("sh", "printf"):
        (tmp_path / name).symlink_to(shutil.which(name) or "/bin/sh")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SettingsError) as caught:
        install_packages(["docker.io"], lambda _: None)
    assert "no apt-get" in caught.value.message
    assert "docker.io" in caught.value.message


# ------------------------------------------------------------------------------------------------ checks


class Registry(BaseHTTPRequestHandler):
    status = 401

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.mark.parametrize(("status", "counts"), [(200, True), (401, True), (403, False), (502, False)])
def test_a_registry_counts_only_if_it_answers_like_one(
    status: int, counts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "_HUB", "http://127.0.0.1:9")
    handler = type("Answering", (Registry,), {"status": status})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        host = f"127.0.0.1:{server.server_address[1]}"
        assert checks.ask_registries((f"http://{host}/",))() == (host if counts else "")
    finally:
        server.shutdown()
        server.server_close()


def test_a_registry_that_never_answers_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "_REGISTRY_TIMEOUT_S", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setattr(checks, "_HUB", f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert checks.ask_registries()() == ""


def test_without_a_registry_debootstrap_is_what_base_images_need() -> None:
    assert [check.name for check in checks.check_images("registry.example")] == ["image registry"]
    assert [check.name for check in checks.check_images("")] == ["image registry", "debootstrap"]


def test_an_engine_that_cannot_list_processes_stops_runs(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "SYSTEM_PATH", str(short))
    with answering(short / "e.sock") as there:
        found = {check.name: check for check in checks.check_engine(find_engine(there))}
        program(short, "ps")
        mended = {check.name: check for check in checks.check_engine(find_engine(there))}
    assert (found["ps"].ok, found["ps"].severity, found["ps"].fix_hint) == (False, "error", "Install procps.")
    assert mended["ps"].ok


def test_keys_are_named_and_their_values_never_shown() -> None:
    check = checks.check_keys({"OPENAI_API_KEY": "sk-very-secret", "ANTHROPIC_API_KEY": ""})
    assert check.ok
    assert check.found == "OPENAI_API_KEY"


def test_a_full_disk_stops_and_a_nearly_full_one_warns(tmp_path: Path) -> None:
    full = checks._disk("disk", tmp_path, (10**9, 10**9), "hint")
    nearly = checks._disk("disk", tmp_path, (0, 10**9), "hint")
    roomy = checks._disk("disk", tmp_path, (0, 0), "hint")
    assert [(check.ok, check.severity) for check in (full, nearly, roomy)] == [
        (False, "error"),
        (False, "warning"),
        (True, "warning"),
    ]


# ----------------------------------------------------------------------------------------------- command


def test_the_command_lists_every_check_and_leaves_with_0_when_runs_can_start(
    short: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    with answering(short / "e.sock"):
        monkeypatch.setenv("DOCKER_HOST", f"unix://{short}/e.sock")
        assert doctor_command(fix=False, for_tests=False, as_json=False) == 0
        text = capsys.readouterr().out
        assert doctor_command(fix=False, for_tests=False, as_json=True) == 0
        data = json.loads(capsys.readouterr().out)
    assert "Docker Engine 99.1" in text
    assert "sk-very-secret" not in text
    assert data["ok"] is True
    names = [check["name"] for check in data["checks"]]
    assert {"python", "git", "engine", "storage driver", "run disk", "host settings", "model keys"} <= set(names)
    assert all(f" {name} " in text for name in names)


def test_the_command_leaves_with_2_and_says_what_to_do_when_there_is_no_engine(
    short: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{short}/none.sock")
    assert doctor_command(fix=True, for_tests=False, as_json=False) == 2
    out = capsys.readouterr().out
    assert "FAIL engine" in out
    assert "remove the setting" in out
    assert doctor_command(fix=False, for_tests=False, as_json=True) == 2
    assert json.loads(capsys.readouterr().out)["ok"] is False
