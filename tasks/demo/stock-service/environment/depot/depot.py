"""The depot's stock service: HTTP on 127.0.0.1, described in README.md beside this file."""

import argparse
import base64
import json
import os
import secrets
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BUSY_EVERY = 7


class Depot:
    """What the service knows: the rows of the stock list, its users, the tokens it gave out."""

    def __init__(self, settings):
        self.rows = settings["rows"]
        self.users = settings["users"]
        self.page_size = settings["page_size"]
        self.token_uses = settings["token_uses"]
        self.tokens = {}
        self.served = 0
        self.lock = threading.Lock()

    def sign_in(self, user, password):
        """Return a new token, ``None`` for a wrong name or password."""
        if not user or self.users.get(user) != password:
            return None
        token = secrets.token_hex(12)
        self.tokens[token] = self.token_uses
        return token

    def admit(self, token):
        """Use up one use of a token; say whether it had one."""
        left = self.tokens.get(token, 0)
        if left > 0:
            self.tokens[token] = left - 1
        return left > 0

    def busy(self):
        """Say whether this request is one of those that are sent away."""
        self.served += 1
        return self.served % BUSY_EVERY == 0

    def page(self, cursor):
        """Return one page of the list and the cursor of the next."""
        first = 0 if cursor is None else int(base64.urlsafe_b64decode(cursor.encode()).decode().removeprefix("at:"))
        rows = self.rows[first : first + self.page_size]
        beyond = first + self.page_size
        more = beyond < len(self.rows)
        return {"rows": rows, "next": base64.urlsafe_b64encode(f"at:{beyond}".encode()).decode() if more else None}

    def move(self, sku, change):
        """Add a row with a changed quantity; return it, ``None`` if there is no such article."""
        known = [row for row in self.rows if row["sku"].upper() == str(sku).upper()]
        if not known or max(known, key=lambda row: row["rev"]).get("gone"):
            return None
        last = max(known, key=lambda row: row["rev"])
        row = {**last, "rev": last["rev"] + 1, "quantity": int(last["quantity"]) + change}
        self.rows.append(row)
        return row


class Handler(BaseHTTPRequestHandler):
    """Answers requests for the server's ``depot``."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        """Stay silent."""

    def answer(self, status, body, **headers):
        """Send a JSON answer."""
        data = json.dumps(body, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def body(self):
        """Read the request's JSON object; an empty one if it is none."""
        try:
            value = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    def refused(self):
        """Answer requests that are sent away or carry no good token; say whether that happened."""
        depot = self.server.depot
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        if depot.busy():
            self.answer(503, {"error": "busy, ask again"}, Retry_After="0")
        elif scheme != "Depot" or not depot.admit(token):
            self.answer(401, {"error": "sign in first"}, WWW_Authenticate="Depot")
        else:
            return False
        return True

    def do_GET(self):
        """Serve ``/stock``."""
        path, _, query = self.path.partition("?")
        with self.server.depot.lock:
            if path != "/stock":
                self.answer(404, {"error": "no such place"})
            elif not self.refused():
                try:
                    self.answer(200, self.server.depot.page(query.removeprefix("cursor=") if query else None))
                except ValueError:
                    self.answer(400, {"error": "this is no cursor of mine"})

    def do_POST(self):
        """Serve ``/session`` and ``/movements``."""
        body = self.body()
        depot = self.server.depot
        with depot.lock:
            if self.path == "/session":
                token = depot.sign_in(body.get("user"), body.get("password"))
                self.answer(*((201, {"token": token}) if token else (403, {"error": "wrong name or password"})))
            elif self.path != "/movements":
                self.answer(404, {"error": "no such place"})
            elif not self.refused():
                change = body.get("change")
                row = depot.move(body.get("sku"), change) if type(change) is int else None
                self.answer(*((201, row) if row else (422, {"error": "no such article, or no whole number"})))


def take_lock(path):
    """Write our process id to the lock file; end the program if there is one already."""
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        holder = path.read_text(encoding="utf-8").strip()
        sys.exit(f"depot: {path} says that process {holder} is running this depot; not started")
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(f"{os.getpid()}\n")


def main():
    """Serve until killed."""
    parser = argparse.ArgumentParser(description="The depot's stock service.")
    parser.add_argument("--port", type=int, default=8070)
    parser.add_argument("--data", type=Path, default=Path("/srv/depot/depot.json"))
    parser.add_argument("--lock", type=Path, default=Path("/var/lib/depot/depot.lock"))
    options = parser.parse_args()
    settings = json.loads(options.data.read_text(encoding="utf-8"))
    take_lock(options.lock)
    server = ThreadingHTTPServer(("127.0.0.1", options.port), Handler)
    server.daemon_threads = True
    server.depot = Depot(settings)
    print(f"depot: serving on 127.0.0.1:{options.port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
