"""Report on ``/app/stock.db`` over HTTP on 127.0.0.1:8090."""

import json
import sqlite3
import sys
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

sys.path.insert(0, "/app")
from sync import sync

DATABASE = "/app/stock.db"
DEPOT = "http://127.0.0.1:8070"


def query(sql, *values):
    """Return rows as dictionaries."""
    connection = sqlite3.connect(DATABASE)
    connection.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in connection.execute(sql, values)]
    finally:
        connection.close()


def short():
    """Return what there is too little of."""
    sql = "SELECT sku, minimum - quantity AS missing FROM article WHERE quantity < minimum ORDER BY missing DESC, sku"
    return {"articles": query(sql)}


def halls():
    """Return sums by hall."""
    sql = (
        "SELECT hall, count(*) AS articles, sum(quantity) AS quantity, sum(quantity * price_cents) AS value_cents"
        " FROM article GROUP BY hall"
    )
    return {row.pop("hall"): row for row in query(sql)}


def article(sku):
    """Return the answer for one article."""
    found = query("SELECT * FROM article WHERE sku = ?", sku.upper())
    return (200, found[0]) if found else (404, {"error": f"no article {sku}"})


class Handler(BaseHTTPRequestHandler):
    """Answers in JSON."""

    def log_message(self, *args):
        """Stay silent."""

    def answer(self, status, body):
        """Send a JSON answer."""
        data = json.dumps(body, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        """Serve the reports."""
        path = urllib.parse.unquote(self.path)
        if path == "/health":
            self.answer(200, {"status": "ok"})
        elif path == "/short":
            self.answer(200, short())
        elif path == "/halls":
            self.answer(200, halls())
        elif path.startswith("/articles/"):
            self.answer(*article(path.removeprefix("/articles/")))
        else:
            self.answer(404, {"error": "no such report"})

    def do_POST(self):
        """Serve ``/refresh``."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path != "/refresh":
            self.answer(404, {"error": "no such report"})
            return
        try:
            self.answer(200, {"articles": sync(DEPOT, DATABASE)})
        except (OSError, SystemExit) as error:
            self.answer(502, {"error": str(error)})


ThreadingHTTPServer(("127.0.0.1", 8090), Handler).serve_forever()
