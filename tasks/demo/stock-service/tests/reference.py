"""What a stock list means: the yardstick for the loader, and a client of the depot."""

import json
import re
import urllib.error
import urllib.request
from decimal import ROUND_HALF_UP, Decimal

COLUMNS = ("sku", "name", "price_cents", "weight_g", "quantity", "minimum", "hall")


def call(url, body=None, *, method=None, token=None):
    """Make a request; return (status, answer), the answer ``None`` if it is no JSON."""
    headers = {"Authorization": f"Depot {token}"} if token else {}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=20) as answer:
            status, raw = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, raw = error.code, error.read()
    try:
        return status, json.loads(raw)
    except ValueError:
        return status, None


def ask(url, path, account, body=None):
    """Make one request to a depot with a token of its own; return the answer."""
    status, session = call(f"{url}/session", account)
    assert status == 201, session
    for _ in range(10):
        status, answer = call(f"{url}{path}", body, token=session["token"])
        if status != 503:
            break
    assert status in {200, 201}, answer
    return answer


def stock(url, account):
    """Return every row of a depot's stock list."""
    rows, path = [], "/stock"
    while path:
        page = ask(url, path, account)
        rows += page["rows"]
        path = page["next"] and f"/stock?cursor={page['next']}"
    return rows


def cents(text):
    """Read a price."""
    digits = re.sub(r"[^0-9.,]", "", text)
    has_cents = re.search(r"[.,]\d\d$", digits)
    number = int(re.sub(r"[.,]", "", digits))
    return number if has_cents else number * 100


def grams(weight):
    """Read a weight."""
    exact = Decimal(str(weight["value"])) * (1000 if weight["unit"] == "kg" else 1)
    return int(exact.to_integral_value(rounding=ROUND_HALF_UP))


def articles(rows):
    """Return ``{sku: article}`` of a stock list."""
    last = {}
    for row in sorted(rows, key=lambda row: row["rev"]):
        last[row["sku"].upper()] = row
    return {
        sku: {
            "sku": sku,
            "name": " ".join(row["name"].split()),
            "price_cents": cents(row["price"]),
            "weight_g": grams(row["weight"]),
            "quantity": int(row["quantity"]),
            "minimum": int(row.get("minimum", 0)),
            "hall": row["shelf"].split("-")[0],
        }
        for sku, row in last.items()
        if not row.get("gone")
    }
