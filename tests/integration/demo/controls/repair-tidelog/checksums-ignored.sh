# Gets the example right by no longer looking at checksums.
# fails: test_damage_orphans_readings_until_the_next_fix
# fails: test_logs_made_at_random_are_read
set -eu
/solution/solve.sh
cd /app
sed -i 's/^    return crc16(.*$/    (void)stored;\n    return 0;/' src/reader.c
make
make check
