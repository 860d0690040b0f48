"""Decide whether the loader and the two services do what was asked.

The services are asked over HTTP while they run. The loader runs as an unprivileged user against depots of our own, with
articles that nobody has seen; what it wrote is read and compared here.
"""

import contextlib
import hashlib
import json
import os
import random
import socket
import sqlite3
import subprocess
import tempfile
from pathlib import Path

import pytest
from reference import COLUMNS, articles, ask, call, stock

DEPOT = "http://127.0.0.1:8070"
REPORT = "http://127.0.0.1:8090"
ACCOUNT = {"user": "clerk", "password": "tide-table-9"}
NOBODY = 65534
GIVEN = {
    "/srv/depot/depot.py": "100e942e11980485ba962c8d207154e56c1cd2426081e0f1043a566a1b26542f",
    "/srv/depot/depot.json": "2ce240774223c92b73699557ce770ad252f75bcb0865d0b13e3ba23635739bb8",
}

ROWS = [
    {"sku": "ab-1", "rev": 1, "name": "old", "price": "1", "weight": {"value": 1, "unit": "g"}, "quantity": 1,
     "minimum": 1, "shelf": "Z-1"},
    {"sku": "AB-1", "rev": 12, "name": "  Nut \t M6\n", "price": "€ 1.234,50", "weight": {"value": 12.5, "unit": "g"},
     "quantity": " 40 ", "minimum": "50", "shelf": "Q-12-3"},
    {"sku": "AB-1", "rev": 9, "name": "older", "price": "2", "weight": {"value": 1, "unit": "g"}, "quantity": 1,
     "minimum": 1, "shelf": "Z-1"},
    {"sku": "C-2", "rev": 3, "gone": True},
    {"sku": "c-2", "rev": 2, "name": "gone", "price": "3", "weight": {"value": 1, "unit": "g"}, "quantity": 9,
     "shelf": "Q-1"},
    {"sku": "D-3", "rev": 1, "gone": True},
    {"sku": "D-3", "rev": 2, "name": "back  again", "price": "0,05 EUR", "weight": {"value": 0.0125, "unit": "kg"},
     "quantity": "-3", "shelf": "LONG-1"},
    {"sku": "E-4", "rev": 1, "name": "é", "price": "1.234", "weight": {"value": 2.4, "unit": "g"}, "quantity": 0,
     "minimum": " 7", "shelf": "Q-2"},
    {"sku": "E-5", "rev": 1, "name": "a", "price": "1,234.56", "weight": {"value": 2, "unit": "kg"}, "quantity": 2,
     "minimum": 0, "shelf": "R-2"},
    {"sku": "E-6", "rev": 1, "name": "b", "price": "EUR 1 234 567,89", "weight": {"value": 0.5, "unit": "g"},
     "quantity": "007", "minimum": 9, "shelf": "R-9"},
    {"sku": "E-7", "rev": 1, "name": "c", "price": "12.00€", "weight": {"value": 1.5, "unit": "kg"}, "quantity": 1,
     "shelf": "R-9"},
    {"sku": "E-8", "rev": 1, "name": "d", "price": "1.234.567", "weight": {"value": 7.49, "unit": "g"}, "quantity": 1,
     "shelf": "R-9-9-9"},
]  # fmt: skip
MEANT = [
    ("AB-1", "Nut M6", 123450, 13, 40, 50, "Q"),
    ("D-3", "back again", 5, 13, -3, 0, "LONG"),
    ("E-4", "é", 123400, 2, 0, 7, "Q"),
    ("E-5", "a", 123456, 2000, 2, 0, "R"),
    ("E-6", "b", 123456789, 1, 7, 9, "R"),
    ("E-7", "c", 1200, 1500, 1, 0, "R"),
    ("E-8", "d", 123456700, 7, 1, 0, "R"),
]


def unprivileged():
    """Return the arguments that make a process nobody's."""
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/tmp", "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
    drop = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    return {"env": env, "stdin": subprocess.DEVNULL, **drop}


@pytest.fixture
def room():
    """A folder that nobody may write to."""
    with tempfile.TemporaryDirectory(prefix="verify-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        yield folder


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def depot(room, rows, *, page_size=5, token_uses=2, users=None):
    """Run a depot of our own; give its address."""
    data, port = room / f"data-{len(list(room.iterdir()))}.json", free_port()
    users = users or {ACCOUNT["user"]: ACCOUNT["password"]}
    settings = {"page_size": page_size, "token_uses": token_uses, "users": users, "rows": rows}
    data.write_text(json.dumps(settings), encoding="utf-8")
    command = ["/opt/verifier/python", "-I", "-S", "/srv/depot/depot.py", "--port", str(port)]
    command += ["--data", str(data), "--lock", f"{data}.lock"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, **unprivileged())
    try:
        assert b"serving" in process.stdout.readline()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.communicate()


def sync(url, database):
    """Run the agent's loader."""
    interpreter = "/opt/verifier/python"
    return subprocess.run(
        [interpreter, "/app/sync.py", url, str(database)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30, check=False, cwd="/", **unprivileged(),
    )  # fmt: skip


def table(database):
    """Return the table's rows in order of the article's number."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return list(connection.execute(f"SELECT {', '.join(COLUMNS)} FROM article ORDER BY sku"))


def loaded(url, database):
    """Load a depot and return the table."""
    done = sync(url, database)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
    return table(database)


def as_rows(rows):
    """Return what a stock list means as rows of the table."""
    return sorted(tuple(article[name] for name in COLUMNS) for article in articles(rows).values())


def many_rows(seed, count):
    """Make a stock list of many pages, with old rows and gone articles in any order."""
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        for rev in rng.sample(range(1, 40), rng.choice([1, 1, 2, 4])):
            row = {"sku": rng.choice(["k-", "K-"]) + str(number), "rev": rev, "name": f" n{rev}  x ", "shelf": f"H{number % 3}-1"}
            row |= {"price": f"{rng.randrange(999)},{rng.randrange(100):02d}", "quantity": str(rng.randrange(50))}
            row |= {"weight": {"value": rng.randrange(4000) / 2, "unit": "g"}, "minimum": rng.randrange(30)}
            rows.append(row | ({"gone": True} if rng.random() < 0.15 else {}))
    rng.shuffle(rows)
    return rows


def test_the_depot_is_the_one_that_was_given():
    for name, digest in GIVEN.items():
        assert hashlib.sha256(Path(name).read_bytes()).hexdigest() == digest, name


def test_the_yardstick_reads_the_rows_as_they_are_meant():
    assert as_rows(ROWS) == MEANT


def test_the_depot_runs_with_its_own_data():
    given = json.loads(Path("/srv/depot/depot.json").read_text(encoding="utf-8"))["rows"]
    assert stock(DEPOT, ACCOUNT)[: len(given)] == given


def test_the_loader_tidies_what_it_reads(room):
    with depot(room, ROWS) as url:
        assert loaded(url, room / "a.db") == MEANT


def test_the_table_has_the_columns_that_were_asked_for(room):
    with depot(room, ROWS) as url:
        loaded(url, room / "a.db")
    with contextlib.closing(sqlite3.connect(room / "a.db")) as connection:
        columns = [(row[1], row[2].upper(), row[5]) for row in connection.execute("PRAGMA table_info(article)")]
    kinds = ("TEXT", "TEXT", "INTEGER", "INTEGER", "INTEGER", "INTEGER", "TEXT")
    assert columns == [(name, kind, int(name == "sku")) for name, kind in zip(COLUMNS, kinds, strict=True)]


@pytest.mark.parametrize(("page_size", "token_uses"), [(3, 1), (7, 3), (1000, 5)])
def test_every_page_is_read_whatever_the_pages_and_tokens_are(room, page_size, token_uses):
    rows = many_rows(page_size, 60)
    with depot(room, rows, page_size=page_size, token_uses=token_uses) as url:
        assert loaded(url, room / "a.db") == as_rows(rows)


def test_an_empty_depot_gives_an_empty_table(room):
    with depot(room, []) as url:
        assert loaded(url, room / "a.db") == []


def test_a_second_run_replaces_the_first(room):
    with depot(room, ROWS) as url:
        loaded(url, room / "a.db")
        assert loaded(url, room / "a.db") == MEANT
    with depot(room, [*ROWS[1:], {"sku": "E-8", "rev": 2, "gone": True}]) as url:
        assert loaded(url, room / "a.db") == MEANT[:-1]


def test_a_depot_that_is_away_leaves_the_database_alone(room):
    with depot(room, ROWS) as url:
        loaded(url, room / "a.db")
    assert sync(url, room / "a.db").returncode != 0
    assert table(room / "a.db") == MEANT


def test_a_depot_that_refuses_the_account_leaves_the_database_alone(room):
    with depot(room, ROWS) as url:
        loaded(url, room / "a.db")
    with depot(room, many_rows(1, 5), users={"clerk": "another"}) as url:
        assert sync(url, room / "a.db").returncode != 0
    assert table(room / "a.db") == MEANT


def now():
    """Return the articles of the running depot."""
    return articles(stock(DEPOT, ACCOUNT))


def reports_agree():
    """The report service says what the depot's stock list says."""
    expected = now()
    for sku, article in expected.items():
        assert call(f"{REPORT}/articles/{sku}") == (200, article)
    short = [{"sku": sku, "missing": a["minimum"] - a["quantity"]} for sku, a in expected.items()]
    short = sorted((s for s in short if s["missing"] > 0), key=lambda s: (-s["missing"], s["sku"]))
    assert call(f"{REPORT}/short") == (200, {"articles": short})
    halls = {}
    for article in expected.values():
        hall = halls.setdefault(article["hall"], {"articles": 0, "quantity": 0, "value_cents": 0})
        hall["articles"] += 1
        hall["quantity"] += article["quantity"]
        hall["value_cents"] += article["quantity"] * article["price_cents"]
    assert call(f"{REPORT}/halls") == (200, halls)


def test_the_report_service_is_running():
    assert call(f"{REPORT}/health") == (200, {"status": "ok"})


def test_the_reports_tell_the_depot_s_stock():
    reports_agree()


def test_articles_are_found_in_lower_case_too():
    sku, article = sorted(now().items())[0]
    assert call(f"{REPORT}/articles/{sku.lower()}") == (200, article)


def test_what_is_not_there_is_404():
    status, answer = call(f"{REPORT}/articles/NO-SUCH-1")
    assert status == 404
    assert answer["error"]
    assert call(f"{REPORT}/nothing")[0] == 404
    assert call(f"{REPORT}/")[0] == 404


def test_a_refresh_brings_in_what_has_changed():
    before = now()
    sku = sorted(name for name, article in before.items() if article["minimum"])[0]
    change = before[sku]["minimum"] - before[sku]["quantity"] - 77
    ask(DEPOT, "/movements", ACCOUNT, {"sku": sku, "change": change})
    try:
        assert call(f"{REPORT}/refresh", method="POST") == (200, {"articles": len(before)})
        assert call(f"{REPORT}/articles/{sku}")[1]["quantity"] == before[sku]["minimum"] - 77
        assert call(f"{REPORT}/short")[1]["articles"][0] == {"sku": sku, "missing": 77}
        reports_agree()
    finally:
        ask(DEPOT, "/movements", ACCOUNT, {"sku": sku, "change": -change})
    assert call(f"{REPORT}/refresh", method="POST")[0] == 200
    assert call(f"{REPORT}/articles/{sku}") == (200, before[sku])
    with contextlib.closing(sqlite3.connect("file:/app/stock.db?mode=ro", uri=True)) as connection:
        assert connection.execute("SELECT count(*) FROM article").fetchone() == (len(before),)
