"""What the published tests took from nose, for this copy of them only."""

import unittest
from unittest import SkipTest

__all__ = ["SkipTest", "assert_in", "assert_raises", "eq_", "ok_"]

_case = unittest.TestCase()
_case.maxDiff = None
assert_raises = _case.assertRaises
assert_in = _case.assertIn


def eq_(left, right):
    """Fail unless both are equal."""
    if not left == right:
        raise AssertionError(f"{left!r} != {right!r}")


def ok_(value, message=None):
    """Fail unless the value is true."""
    if not value:
        raise AssertionError(message)
