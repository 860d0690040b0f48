# Moves the code, and leaves the packaging as it was.
# fails: test_the_built_package_says_what_it_is
# fails: test_build_settings_name_neither_six_nor_nose_nor_python_2
set -eu
/solution/solve.sh
cd /app
git checkout -q setup.py
