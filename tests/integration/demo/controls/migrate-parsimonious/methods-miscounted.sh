# The replacement that comes to mind first: getfullargspec counts a method's self.
# fails: test_behaviour[bound_methods_are_custom_rules]
set -eu
/solution/solve.sh
cd /app
sed -i 's/len(signature(callable).parameters)/len(getfullargspec(callable).args)/; s/import signature/import getfullargspec/' \
    parsimonious/expressions.py
grep -q 'getfullargspec(callable)' parsimonious/expressions.py
