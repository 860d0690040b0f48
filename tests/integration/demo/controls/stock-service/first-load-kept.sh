# The reports are right, but the loader only ever gives out what it loaded once.
# fails: test_the_loader_tidies_what_it_reads
# fails: test_a_refresh_brings_in_what_has_changed
set -eu
/solution/solve.sh
cd /app
cp stock.db given.db
cat > sync.py <<'END'
import shutil, sys
def sync(url, database):
    if database != "/app/stock.db":
        shutil.copy("/app/given.db", database)
    return 88
if __name__ == "__main__":
    sync(*sys.argv[1:])
END
python3 - <<'END'
import os, signal
from pathlib import Path
for folder in Path("/proc").glob("[0-9]*"):
    try:
        program = (folder / "cmdline").read_bytes().split(b"\0")[1]
    except (OSError, IndexError):
        continue
    if program.endswith(b"serve.py"):
        os.kill(int(folder.name), signal.SIGKILL)
END
sleep 0.2
setsid nohup python3 /app/serve.py > /tmp/serve.log 2>&1 < /dev/null &
sleep 0.5
