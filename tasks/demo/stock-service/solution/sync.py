"""Load a depot's stock list into SQLite: ``python3 sync.py URL DATABASE``."""

import json
import re
import sqlite3
import sys
import time
import urllib.error
import urllib.request
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

ACCOUNT = Path("/app/account.json")
GRAMS = {"g": 1, "kg": 1000}


class Client:
    """Talks to a depot: signs in when it must, asks again when the depot is busy."""

    def __init__(self, url):
        self.url = url.rstrip("/")
        self.token = None

    def request(self, path, body=None):
        """Send one request; return (status, answer)."""
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Depot {self.token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def sign_in(self):
        """Fetch a token; a refusal ends the program."""
        status, answer = self.request("/session", json.loads(ACCOUNT.read_text(encoding="utf-8")))
        if status != 201:
            raise SystemExit(f"sync: the depot refuses the account: {answer}")
        self.token = answer["token"]

    def get(self, path):
        """Return the answer to a request that needs a token."""
        for attempt in range(20):
            status, answer = self.request(path)
            if status == 200:
                return answer
            if status == 401:
                self.sign_in()
            elif status == 503:
                time.sleep(0.01 * attempt)
            else:
                break
        raise SystemExit(f"sync: {path} answered {status}: {answer}")

    def rows(self):
        """Yield every row of the stock list."""
        path = "/stock"
        while path:
            page = self.get(path)
            yield from page["rows"]
            path = page["next"] and f"/stock?cursor={page['next']}"


def cents(text):
    """Read a price as people type it."""
    bare = re.sub(r"EUR|€|\s", "", text, flags=re.IGNORECASE)
    whole, tail = re.fullmatch(r"(.*?)(?:[.,](\d\d))?", bare).groups()
    return int(re.sub(r"[.,]", "", whole) or 0) * 100 + int(tail or 0)


def grams(weight):
    """Return a weight in whole grams."""
    exact = Decimal(str(weight["value"])) * GRAMS[weight["unit"]]
    return int(exact.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def articles(rows):
    """Return the articles that exist as rows of the table."""
    last = {}
    for row in rows:
        sku = row["sku"].strip().upper()
        if sku not in last or row["rev"] > last[sku]["rev"]:
            last[sku] = row
    return [
        (
            sku,
            " ".join(row["name"].split()),
            cents(row["price"]),
            grams(row["weight"]),
            int(row["quantity"]),
            int(row.get("minimum", 0)),
            row["shelf"].partition("-")[0],
        )
        for sku, row in sorted(last.items())
        if not row.get("gone")
    ]


def store(database, found):
    """Replace the table's content in one transaction."""
    connection = sqlite3.connect(database)
    with connection:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS article(sku TEXT PRIMARY KEY, name TEXT, price_cents INTEGER,"
            " weight_g INTEGER, quantity INTEGER, minimum INTEGER, hall TEXT)"
        )
        connection.execute("DELETE FROM article")
        connection.executemany("INSERT INTO article VALUES (?, ?, ?, ?, ?, ?, ?)", found)
    connection.close()


def sync(url, database):
    """Load the depot at ``url`` into ``database``; return how many articles there are."""
    found = articles(Client(url).rows())
    store(database, found)
    return len(found)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit("usage: sync.py URL DATABASE")
    try:
        print(sync(sys.argv[1], sys.argv[2]), "articles")
    except OSError as error:
        raise SystemExit(f"sync: {error}") from error
