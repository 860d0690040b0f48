"""Decide whether tidelog was repaired: it is built from a copy of the sources and given logs that nobody has seen.

The tool and its build run as an unprivileged user; what they print is compared here with ``tlog``, which reads the
format on its own.
"""

import hashlib
import os
import random
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
import tlog

APP = Path("/app")
NOBODY = 65534
FLAGS = "-std=gnu11 -O2 -Wall -Wextra -Werror"
NAMES = {3: "North Mole", 17: "Harbour Wall", 42: "Outer Skerry", 260: "Ferry Slip"}
GIVEN = {
    "man/tidelog.1": "e7ad0fa94ca0004fc936ee543b82329d4918bcc476e64c38f931f611702015d7",
    "man/tidelog.5": "374a7d642f5dfbb5c655aa6f694ec95b7959b2a4f87a9332cb0f1e3022d3e038",
    "data/example.tlg": "1e10a3f42ae51c2683c5d5c00a044723264f8c82a5190253bdc220c795a7b9af",
    "data/example.csv": "4e74678d27f9a5593ccf12bb3abd92f3dd47caa9f0efba6eb4b482abe36e8622",
    "data/example.summary": "eb25640399f5dff0944505287b4992314293232bc37d204383a5290a66cd7649",
    "data/storm.tlg": "6004fc64e9f5cc4c615306fb57fc785fd8f669dff90f1151edb10af083a39d30",
}


def unprivileged(command, *, cwd, timeout_s=60):
    """Run a command as nobody, with a clean environment; return the finished process, output as bytes."""
    drop = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(cwd), "LC_ALL": "C.UTF-8", "TZ": "Asia/Kathmandu"}
    return subprocess.run(
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False, **drop
    )


@pytest.fixture(scope="session")
def room():
    with tempfile.TemporaryDirectory(prefix="verify-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def built(room, name, *arguments):
    """Build a fresh copy of the sources; return the copy."""
    copy = room / name
    shutil.copytree(APP, copy, symlinks=True, ignore=shutil.ignore_patterns("build", "out", "*.o", ".git"))
    if os.geteuid() == 0:
        for path in [copy, *copy.rglob("*")]:
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    done = unprivileged(["make", *arguments], cwd=copy)
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-3000:]
    assert (copy / "build/tidelog").is_file()
    return copy


@pytest.fixture(scope="session")
def tool(room):
    return built(room, "plain") / "build/tidelog"


@pytest.fixture
def run(tool, room):
    """Give a log to the tool; return (exit status, output, summary)."""

    def with_log(data):
        folder = Path(tempfile.mkdtemp(dir=room))
        folder.chmod(0o755)
        (folder / "log").write_bytes(data)
        plain = unprivileged([str(tool), "log"], cwd=folder)
        short = unprivileged([str(tool), "-s", "log"], cwd=folder)
        assert plain.returncode == short.returncode
        return plain.returncode, plain.stdout.decode(errors="replace"), short.stdout.decode(errors="replace")

    return with_log


def agrees(run, data):
    """The tool says of a log what the yardstick says."""
    status, output, summary = run(data)
    assert output == tlog.csv(data)
    assert summary == tlog.summary(data, NAMES)
    assert status == (1 if tlog.Reader(data).damaged else 0)


def test_what_was_given_is_unchanged():
    for name, digest in GIVEN.items():
        assert hashlib.sha256((APP / name).read_bytes()).hexdigest() == digest, name


def test_a_fresh_copy_builds_without_warnings_under_the_flags(room):
    built(room, "strict", f"CFLAGS={FLAGS}")


def test_the_tool_is_a_compiled_program(tool):
    assert tool.read_bytes()[:4] == b"\x7fELF"


def test_the_storm_was_read():
    data = (APP / "data/storm.tlg").read_bytes()
    assert (APP / "out/storm.csv").read_text() == tlog.csv(data)
    assert (APP / "out/storm.summary").read_text() == tlog.summary(data, NAMES)


def test_the_example_is_read(run):
    agrees(run, (APP / "data/example.tlg").read_bytes())


def test_a_log_without_blocks_has_only_the_header_line(run):
    status, output, summary = run(tlog.header(42))
    assert (status, output) == (0, "time,height_m\n")
    assert summary == "station: Outer Skerry (42)\nreadings: 0\ndamaged: 0\norphaned: 0\n"


@pytest.mark.parametrize("station", [3, 260, 999, 65535])
def test_stations_are_named_or_unknown(run, station):
    agrees(run, tlog.header(station) + tlog.fix(0, 10))


def test_heights_just_below_zero_keep_their_sign(run):
    changes = [(600, -1), (600, -44), (600, 45), (600, -955), (600, -45), (600, -1500)]
    agrees(run, tlog.header() + tlog.fix(5, 0) + tlog.readings(*changes))


def test_a_log_of_negative_heights_has_a_negative_highest(run):
    agrees(run, tlog.header() + tlog.fix(0, -300) + tlog.readings((60, -5), (60, 20)))


def test_a_log_of_positive_heights_has_a_positive_lowest(run):
    agrees(run, tlog.header() + tlog.fix(0, 300) + tlog.readings((60, 5), (60, -20), (60, -1), (60, 1)))


@pytest.mark.parametrize("heights", [(1, 2), (-1, -2), (0, 0, 1), (0, 0, 2), (-3, -3, -4), (5, 6, 5, 6), (-5, -6, -5, -6)])
def test_the_mean_is_rounded_to_the_nearest_with_halves_away_from_zero(run, heights):
    agrees(run, tlog.header() + b"".join(tlog.fix(60 * i, height) for i, height in enumerate(heights)))


def test_long_numbers_are_read_whole(run):
    far = tlog.fix(5_000_000_000, 7) + tlog.readings((3_000_000_000, -9), (1 << 28, 1 << 28), (1 << 33, -(1 << 28)))
    agrees(run, tlog.header(start=0) + far)
    agrees(run, tlog.header() + tlog.fix(1, 40_000_000_000) + tlog.readings((1, -80_000_000_000)))


@pytest.mark.parametrize("start", [0, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_the_start_is_an_unsigned_number(run, start):
    agrees(run, tlog.header(start=start) + tlog.fix(1, 1))


def test_a_calibration_holds_for_all_that_follows_and_does_not_shift_the_changes(run):
    data = tlog.header() + tlog.fix(0, 100) + tlog.calibration(-250) + tlog.readings((60, 10), (60, -10))
    data += tlog.fix(600, 100) + tlog.calibration(7) + tlog.readings((60, 1)) + tlog.calibration(0) + tlog.fix(900, 5)
    agrees(run, data)


def test_unknown_blocks_are_skipped(run):
    data = tlog.header() + tlog.block("N", b"a note with a marker \xa7\x5c in it") + tlog.fix(0, 1)
    agrees(run, data + tlog.block("Z", bytes(300)) + tlog.readings((60, 1)) + tlog.block("N", b""))


def test_bytes_between_blocks_are_no_damage(run):
    data = tlog.header() + b"\xa7\xa7noise" + tlog.fix(0, 1) + b"\x00\xa7\x00" + tlog.readings((60, 1)) + b"\xa7"
    agrees(run, data)


def test_readings_before_the_first_fix_are_orphaned(run):
    data = tlog.header() + tlog.readings((60, 1)) + tlog.readings((60, 1), (60, 2)) + tlog.fix(0, 5)
    agrees(run, data + tlog.readings((60, 1)))


def test_damage_orphans_readings_until_the_next_fix(run):
    data = tlog.header() + tlog.fix(0, 100) + tlog.calibration(11) + tlog.spoil(tlog.readings((60, 5)))
    data += tlog.readings((60, 1)) + tlog.block("N", b"") + tlog.readings((60, 2)) + tlog.fix(900, 90)
    agrees(run, data + tlog.readings((60, 3)))


def test_a_block_that_is_too_long_does_not_hide_the_ones_after_it(run):
    bad = tlog.MARKER + b"R" + tlog.varint(100_000) + b"\x01"
    agrees(run, tlog.header() + tlog.fix(0, 1) + bad + tlog.fix(60, 2) + tlog.readings((60, 1)))


def test_a_wrong_length_that_fits_does_not_hide_the_ones_inside_it(run):
    inner = tlog.fix(60, 2) + tlog.readings((60, 1)) + tlog.fix(120, 4)
    bad = tlog.MARKER + b"R" + tlog.varint(len(inner)) + b"\x01"
    agrees(run, tlog.header() + tlog.fix(0, 1) + bad + inner + tlog.block("N", bytes(40)))


def test_damaged_markers_in_a_row_count_once(run):
    bad = tlog.MARKER + tlog.MARKER + tlog.spoil(tlog.fix(0, 9)) + tlog.MARKER + b"R\xff\xff\xff"
    agrees(run, tlog.header() + bad + tlog.fix(60, 2) + bad)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 5])
def test_a_log_that_breaks_off_is_damaged_at_its_end(run, length):
    whole = tlog.header() + tlog.fix(0, 1)
    agrees(run, whole + tlog.readings((60, 1))[:length])


def test_a_length_without_end_is_damage(run):
    agrees(run, tlog.header() + tlog.fix(0, 1) + tlog.MARKER + b"R" + b"\xff" * 12 + tlog.fix(60, 2))
    agrees(run, tlog.header() + tlog.MARKER + b"R" + b"\xff" * 9 + b"\x01" + tlog.fix(60, 2))


@pytest.mark.parametrize("seed", range(6))
def test_logs_made_at_random_are_read(run, seed):
    rng = random.Random(1000 + seed)
    parts = []
    for _ in range(60):
        pairs = [(rng.randrange(1, 90_000), rng.randint(-900, 900)) for _ in range(rng.randrange(9))]
        makers = [
            lambda: tlog.fix(rng.randrange(1 << 30), rng.randint(-4000, 4000)),
            lambda pairs=pairs: tlog.readings(*pairs),
            lambda pairs=pairs: tlog.readings(*pairs),
            lambda: tlog.calibration(rng.randint(-99, 99)),
            lambda: tlog.block(chr(rng.randrange(72, 82)), rng.randbytes(rng.randrange(20))),
        ]
        part = rng.choice(makers)()
        if rng.random() < 0.2:
            part = tlog.spoil(part, rng.randrange(len(part)))
        parts.append(part)
    agrees(run, tlog.header(rng.choice([3, 17, 42]), rng.randrange(1 << 32)) + b"".join(parts))


@pytest.mark.parametrize(
    "data", [b"", b"TLOG", tlog.header()[:11], b"TLOX" + tlog.header()[4:], tlog.header(version=1) + tlog.fix(0, 1)]
)
def test_what_is_no_tide_log_is_refused(run, data):
    assert run(data) == (2, "", "")


def test_wrong_use_is_refused(tool, room):
    for arguments in ([], ["-x", "log"], ["a", "b"], ["missing-file"]):
        done = unprivileged([str(tool), *arguments], cwd=room)
        assert (done.returncode, done.stdout) == (2, b"")
        assert done.stderr
    assert unprivileged([str(tool), "--help"], cwd=room).returncode == 0
