#!/bin/bash
# Repairs the build and the tool, then reads the damaged log with it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd /app
sed -i 's/\r$//' tools/mkstations.sh
patch -p1 < "$here/repair.patch"
make
make check
mkdir -p out
# A damaged log is read as far as it goes, and says so with exit status 1.
build/tidelog data/storm.tlg > out/storm.csv || test $? -eq 1
build/tidelog -s data/storm.tlg > out/storm.summary || test $? -eq 1
cat out/storm.summary
