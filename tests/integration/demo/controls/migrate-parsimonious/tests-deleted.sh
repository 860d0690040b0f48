# Migrates the library, and gets rid of the tests instead of moving them.
# fails: test_every_test_function_is_still_there
set -eu
/solution/solve.sh
cd /app/parsimonious/tests
rm test_nodes.py
printf 'def test_nothing():\n    pass\n' > test_nodes.py
