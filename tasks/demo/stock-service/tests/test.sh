#!/bin/sh
# Runs the hidden tests. Nothing that the agent could have left (conftest, sitecustomize, .pth, PATH, PYTHONPATH) is
# read by the interpreter that decides; the agent's own code runs in other processes, without privileges.
set -u
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
logs=/logs/verifier
mkdir -p "$logs"
if [ "$(id -u)" = 0 ]; then
    chmod 755 "$logs"
    chmod -R go-rwx /tests
fi
rm -rf "$logs/reward.txt" "$logs/reward.json"
cd /

env -i PATH="$PATH" LC_ALL=C.UTF-8 /opt/verifier/python -I -S -B -c '
import sys
sys.path[:0] = ["/opt/verifier/lib", "/tests"]
import pytest
sys.exit(pytest.main(sys.argv[1:]))
' -q -c /dev/null --rootdir=/tests --noconftest -p no:cacheprovider --junitxml="$logs/junit.xml" /tests/test_hidden.py

if [ $? -eq 0 ]; then reward=1; else reward=0; fi
printf '%s\n' "$reward" > "$logs/reward.txt"
