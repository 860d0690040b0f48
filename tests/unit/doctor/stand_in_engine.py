"""A program that answers the few requests by which an engine is recognised, on a Unix socket.

Run as a script it behaves like ``dockerd``: it refuses to start without the options it is told to want.

    python stand_in_engine.py SOCKET WANTED_OPTION WHAT_IT_SAYS_WITHOUT [OPTION...]
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingUnixStreamServer

ANSWERS = {
    "/version": {"Version": "99.1", "ApiVersion": "1.41"},
    "/info": {
        "Driver": "overlay2",
        "DockerRootDir": "/nowhere/docker",
        "MemTotal": 8 * 1024**3,
        "NCPU": 4,
        "OperatingSystem": "Stand-in",
        "RegistryConfig": {"Mirrors": ["https://mirror.example/"]},
    },
    "/_ping": "OK",
}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = "/" + self.path.rpartition("/")[2]
        found = path in ANSWERS
        body = json.dumps(ANSWERS.get(path, {"message": "page not found"})).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Builder-Version", "2")
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "socket"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def serve(path: str) -> ThreadingUnixStreamServer:
    server = ThreadingUnixStreamServer(path, Handler)
    server.daemon_threads = True
    return server


if __name__ == "__main__":
    socket_path, wanted, complaint, *given = sys.argv[1:]
    if wanted not in given:
        sys.exit(complaint)
    serve(socket_path).serve_forever()
