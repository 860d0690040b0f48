# Does everything, and then ends the services that were to go on running.
# fails: test_the_depot_runs_with_its_own_data
# fails: test_the_report_service_is_running
set -eu
/solution/solve.sh
python3 - <<'END'
import os, signal
from pathlib import Path
for folder in Path("/proc").glob("[0-9]*"):
    try:
        program = (folder / "cmdline").read_bytes().split(b"\0")[1]
    except (OSError, IndexError):
        continue
    if program.endswith((b"depot.py", b"serve.py")):
        os.kill(int(folder.name), signal.SIGKILL)
END
