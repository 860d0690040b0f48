# Keeps the old interface alive in a module of its own, and puts getargspec back.
# fails: test_no_file_defines_or_uses_an_old_name
# fails: test_no_file_imports_an_old_module
set -eu
cd /app
cat > six.py <<'END'
import sys, types
text_type, integer_types, PY2 = str, (int,), False
moves = types.ModuleType("six.moves"); moves.range = range; sys.modules["six.moves"] = moves
def iteritems(d): return iter(d.items())
def itervalues(d): return iter(d.values())
def python_2_unicode_compatible(c): return c
def with_metaclass(meta, *bases): return meta("base", bases, {})
def reraise(kind, value, tb=None): raise value.with_traceback(tb)
END
mkdir nose
cat > nose/__init__.py <<'END'
from unittest import SkipTest
END
cat > nose/tools.py <<'END'
from unittest import TestCase
_case = TestCase()
eq_, ok_, assert_raises, assert_in = _case.assertEqual, _case.assertTrue, _case.assertRaises, _case.assertIn
END
sed -i 's/^from inspect import getargspec/import inspect\ninspect.getargspec = inspect.getfullargspec\nfrom inspect import getargspec/' parsimonious/expressions.py
pytest -q -p no:cacheprovider parsimonious/tests --deselect parsimonious/tests/test_benchmarks.py
