#!/bin/bash
# Starts the depot, installs the loader and the report service, and leaves both services running.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
lock=/var/lib/depot/depot.lock
if [ -e "$lock" ] && ! kill -0 "$(cat "$lock")" 2> /dev/null; then
    rm "$lock"
fi
cd /app
cp "$here/sync.py" "$here/serve.py" .
setsid nohup python3 /srv/depot/depot.py > /tmp/depot.log 2>&1 < /dev/null &
wait_for() {
    python3 - "$1" <<'END'
import socket, sys, time
for _ in range(200):
    try:
        socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=1).close()
        break
    except OSError:
        time.sleep(0.05)
else:
    sys.exit(f"nothing answers on port {sys.argv[1]}")
END
}
wait_for 8070
python3 sync.py http://127.0.0.1:8070 stock.db
setsid nohup python3 /app/serve.py > /tmp/serve.log 2>&1 < /dev/null &
wait_for 8090
