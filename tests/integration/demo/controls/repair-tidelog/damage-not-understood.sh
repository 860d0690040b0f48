# Right for every healthy log; after damage it goes on from the height before it.
# fails: test_damage_orphans_readings_until_the_next_fix
set -eu
/solution/solve.sh
cd /app
sed -i '/state.fixed = 0;/d' src/reader.c
make
make check
