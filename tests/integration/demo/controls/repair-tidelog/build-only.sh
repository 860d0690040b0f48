# Makes it build, and changes nothing that it does.
# fails: test_the_example_is_read
# fails: test_the_storm_was_read
set -eu
cd /app
sed -i 's/\r$//' tools/mkstations.sh
sed -i 's/^        \$(CC)/\t$(CC)/; s#build/varint.o#build/varint.o build/crc.o#' Makefile
sed -i 's/^#include "tidelog.h"/&\n#include <string.h>/' src/reader.c
sed -i 's/^struct totals totals;/extern &/' src/tidelog.h
echo 'struct totals totals;' >> src/output.c
make
mkdir out
build/tidelog data/storm.tlg > out/storm.csv || true
build/tidelog -s data/storm.tlg > out/storm.summary || true
