"""Decide whether Parsimonious was moved to Python 3: built artefact, behaviour, old APIs, tests.

This process never imports the agent's code. It reads syntax trees, and talks to processes that run as an unprivileged
user with the old modules blocked. What those print is compared here with what is expected.
"""

import ast
import email.parser
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

import pytest
from probes import PROBES

REPOSITORY = Path("/app")
SDIST = Path("/opt/upstream/parsimonious-0.8.1.tar.gz")
SDIST_SHA256 = "3add338892d580e0cb3b1a39e4a1b427ff9f687858fdd61097053742391a9f6b"
PYTHON = "/opt/verifier/python"
LIB = "/opt/verifier/lib"
NOBODY = 65534

GONE_MODULES = {"six", "nose", "imp", "distutils", "pkg_resources"}
BLOCKED = sorted(GONE_MODULES | {"setuptools", "_distutils_hack"})
GONE_NAMES = {
    "text_type", "integer_types", "iteritems", "itervalues", "reraise", "with_metaclass",
    "python_2_unicode_compatible", "PY2", "getargspec", "version_info", "func_code",
}  # fmt: skip
SUITE = ("test_expressions", "test_grammar", "test_nodes")
ALL_TEST_FILES = (*SUITE, "test_benchmarks", "benchmarks")
SKIPPED = {("test_grammar", "test_badly_circular"), ("test_nodes", "test_rule_decorator_subclassing")}

BLOCK = """
import json, sys
settings = json.loads(sys.argv[1])
class Gone:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in settings["blocked"]:
            raise ModuleNotFoundError("No module named %r: it is gone" % name, name=name)
for name in [name for name in sys.modules if name.partition(".")[0] in settings["blocked"]]:
    del sys.modules[name]
sys.meta_path.insert(0, Gone)
sys.path[:0] = settings["path"]
"""

RUN_PROBES = (
    BLOCK
    + """
answers = {}
for name, code in settings["probes"].items():
    space = {}
    try:
        exec(compile(code, name, "exec"), space)
        answers[name] = space["result"]
    except BaseException as error:
        answers[name] = "raised %s: %s" % (type(error).__name__, error)
with open(settings["answers"], "w", encoding="utf-8") as stream:
    json.dump(answers, stream)
"""
)

RUN_PYTEST = (
    BLOCK
    + """
import pytest
class Broken:
    def pytest_collection_finish(self, session):
        from parsimonious import expressions, grammar, nodes
        expressions.Expression.match_core = lambda self, text, pos, cache, error: None
        nodes.Node.__eq__ = lambda self, other: False
        nodes.Node.__str__ = nodes.Node.__repr__ = grammar.Grammar.__str__ = grammar.Grammar.__repr__ = lambda self: ""
plugins = [Broken()] if settings["break"] else []
sys.exit(pytest.main(settings["arguments"], plugins=plugins))
"""
)


def unprivileged(command, *, cwd, timeout_s=60):
    """Run a command as nobody, with a clean environment; return the finished process."""
    drop = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(cwd), "LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", timeout=timeout_s, check=False, **drop,
    )  # fmt: skip


def python(code, settings, *, cwd):
    """Run code in an interpreter that reads no site, user or environment settings."""
    given = json.dumps({"blocked": BLOCKED, **settings})
    return unprivileged([PYTHON, "-I", "-S", "-B", "-c", code, given], cwd=cwd)


@pytest.fixture(scope="session")
def room():
    """A folder that nobody may write to."""
    with tempfile.TemporaryDirectory(prefix="verify-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        give(folder)
        yield folder


def give(folder):
    """Make a folder and what is in it nobody's."""
    if os.geteuid() == 0:
        for path in [folder, *folder.rglob("*")]:
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


@pytest.fixture(scope="session")
def checkout(room):
    """A copy of the repository without its history and build products."""
    target = room / "checkout"
    drop = shutil.ignore_patterns(".git", "build", "dist", "*.egg-info", "__pycache__", ".pytest_cache", ".venv")
    shutil.copytree(REPOSITORY, target, symlinks=True, ignore=drop)
    give(target)
    return target


@pytest.fixture(scope="session")
def installed(room, checkout):
    """The package, built by pip from a copy and installed into a folder of its own."""
    source = room / "source"
    shutil.copytree(checkout, source, symlinks=True)
    give(source)
    site = room / "site"
    done = unprivileged(
        [PYTHON, "-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir", "--no-index",
         "--no-deps", "--no-build-isolation", "--use-pep517", "--no-compile", "--target", str(site), str(source)],
        cwd=room,
    )  # fmt: skip
    assert done.returncode == 0, f"pip cannot build the package:\n{done.stdout[-3000:]}"
    return site


@pytest.fixture(scope="session")
def pristine(room):
    """The library's own tests as they were published, with stand-ins for what they imported from nose and six."""
    data = SDIST.read_bytes()
    assert hashlib.sha256(data).hexdigest() == SDIST_SHA256, "the stored source distribution was changed"
    target = room / "pristine"
    target.mkdir()
    with tarfile.open(SDIST) as archive:
        for name in ALL_TEST_FILES:
            text = archive.extractfile(f"parsimonious-0.8.1/parsimonious/tests/{name}.py").read().decode()
            text = re.sub(r"^from nose(\.tools)? import", "from standins import", text, flags=re.M)
            text = text.replace("from six import text_type", "text_type = str")
            (target / f"{name}.py").write_text(text, encoding="utf-8")
    shutil.copy(Path(__file__).with_name("standins.py"), target)
    give(target)
    return target


def test_counts(tree):
    """Return how often each test function's name is defined in a module."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return Counter(node.name for node in functions if node.name.startswith("test"))


test_counts.__test__ = False


def outcomes(report):
    """Read a JUnit file into {outcome: Counter of (module, test)}."""
    found = {"passed": Counter(), "failed": Counter(), "skipped": Counter()}
    for case in ElementTree.parse(report).iter("testcase"):
        module = next(part for part in case.get("classname").split(".") if part in ALL_TEST_FILES)
        kinds = {child.tag for child in case}
        kind = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        found[kind][module, case.get("name")] += 1
    return found


def run_suite(room, folder, path, name, *, broken=False):
    """Run the three test modules in a folder and return their outcomes and the process."""
    report = room / f"{name}.xml"
    arguments = ["-q", "-p", "no:cacheprovider", "--tb=short", f"--junitxml={report}"]
    arguments += [str(folder / f"{module}.py") for module in SUITE]
    if folder.name == "pristine":
        arguments += ["-c", "/dev/null", "--noconftest", f"--rootdir={folder}"]
    done = python(RUN_PYTEST, {"path": path, "arguments": arguments, "break": broken}, cwd=folder)
    assert report.is_file(), f"pytest gave no report:\n{done.stdout[-3000:]}"
    return outcomes(report), done


@pytest.fixture(scope="session")
def expected_counts(pristine):
    return {name: test_counts(ast.parse((pristine / f"{name}.py").read_text())) for name in ALL_TEST_FILES}


def trees():
    """Yield the path and syntax tree of every Python file in the repository."""
    for path in sorted(REPOSITORY.rglob("*.py")):
        relative = path.relative_to(REPOSITORY)
        if relative.parts[0] in {".git", "build", "dist"}:
            continue
        yield relative, ast.parse(path.read_text(encoding="utf-8"), str(relative))


def imported(node):
    """Return the dotted names that an import statement or an import call mentions."""
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom(module=module, names=names):
            return [module or "", *(f"{module or ''}.{alias.name}" for alias in names)]
        case ast.Call(args=[ast.Constant(value=str(name)), *_], func=ast.Name(id="__import__" | "import_module")):
            return [name]
        case ast.Call(args=[ast.Constant(value=str(name)), *_], func=ast.Attribute(attr="__import__" | "import_module")):
            return [name]
    return []


def named(node):
    """Return the identifiers that a node defines or uses."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
            return [name]
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.alias(name=name, asname=asname):
            return [*name.split("."), asname]
    return []


def test_no_file_imports_an_old_module():
    found = [
        f"{path}:{node.lineno}: {name}"
        for path, tree in trees()
        for node in ast.walk(tree)
        for name in imported(node)
        if GONE_MODULES & set(name.split("."))
    ]
    assert not found


def test_no_file_defines_or_uses_an_old_name():
    found = [
        f"{path}:{getattr(node, 'lineno', '?')}: {name}"
        for path, tree in trees()
        for node in ast.walk(tree)
        for name in named(node)
        if name in GONE_NAMES
    ]
    assert not found


def test_no_old_module_is_bundled():
    found = [str(path) for path in REPOSITORY.rglob("*") if path.name.partition(".")[0] in GONE_MODULES]
    assert not [name for name in found if "/.git/" not in name]


def test_build_settings_name_neither_six_nor_nose_nor_python_2():
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "tox.ini", "requirements.txt", "requirements-dev.txt"):
        path = REPOSITORY / name
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"\b(six|nose|nosetests)\b", text), name
            assert "Python :: 2" not in text, name


def test_the_built_package_says_what_it_is(installed):
    tops = {path.name for path in installed.iterdir()} - {"bin", "__pycache__"}
    assert tops == {"parsimonious", "parsimonious-0.8.1.dist-info"}
    text = (installed / "parsimonious-0.8.1.dist-info/METADATA").read_text(encoding="utf-8")
    metadata = email.parser.HeaderParser().parsestr(text)
    assert metadata["Name"] == "parsimonious"
    assert metadata["Version"] == "0.8.1"
    assert metadata.get_all("Requires-Dist") is None
    assert (metadata["Requires-Python"] or "").replace(" ", "") == ">=3.8"
    assert not [line for line in metadata.get_all("Classifier", []) if "Python :: 2" in line]
    for name in ("__init__", "exceptions", "expressions", "grammar", "nodes", "utils", "tests/test_nodes"):
        assert (installed / f"parsimonious/{name}.py").is_file(), name


@pytest.fixture(scope="session")
def answers(room, installed):
    report = room / "answers.json"
    codes = {name: code for name, (code, _) in PROBES.items()}
    done = python(RUN_PROBES, {"path": [str(installed)], "probes": codes, "answers": str(report)}, cwd=room)
    assert report.is_file(), f"the library cannot be used:\n{done.stdout[-3000:]}"
    return json.loads(report.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", PROBES)
def test_behaviour(name, answers):
    assert answers[name] == PROBES[name][1]


def test_the_published_tests_pass_on_the_built_package(room, installed, pristine, expected_counts):
    found, done = run_suite(room, pristine, [LIB, str(installed), str(pristine)], "published")
    wanted = Counter({(module, name): n for module in SUITE for name, n in expected_counts[module].items()})
    assert set(found["skipped"]) == SKIPPED
    assert not found["failed"], done.stdout[-3000:]
    assert found["passed"] + found["skipped"] == wanted
    assert done.returncode == 0


def test_every_test_function_is_still_there(checkout, expected_counts):
    for module in ALL_TEST_FILES:
        tree = ast.parse((checkout / f"parsimonious/tests/{module}.py").read_text(encoding="utf-8"))
        missing = expected_counts[module] - test_counts(tree)
        assert not missing, f"{module}: {sorted(missing)}"


def test_the_repository_s_tests_pass_under_plain_pytest(room, checkout, expected_counts):
    found, done = run_suite(room, checkout / "parsimonious/tests", [LIB, str(checkout)], "repository")
    assert not found["failed"], done.stdout[-3000:]
    assert set(found["skipped"]) <= SKIPPED
    wanted = Counter({(module, name): n for module in SUITE for name, n in expected_counts[module].items()})
    assert not wanted - (found["passed"] + found["skipped"])


def test_the_repository_s_tests_still_test(room, installed, pristine, checkout):
    """On a library that was broken on purpose, they fail wherever the published tests fail."""
    published, _ = run_suite(room, pristine, [LIB, str(installed), str(pristine)], "published-broken", broken=True)
    assert sum(published["failed"].values()) > 30
    own, _ = run_suite(room, checkout / "parsimonious/tests", [LIB, str(checkout)], "repository-broken", broken=True)
    assert not published["failed"] - own["failed"]


def test_the_benchmark_tests_can_be_collected(room, checkout):
    code = RUN_PYTEST
    files = [str(checkout / f"parsimonious/tests/{name}.py") for name in ("test_benchmarks", "benchmarks")]
    arguments = ["-q", "--collect-only", "-p", "no:cacheprovider", *files]
    settings = {"path": [LIB, str(checkout)], "arguments": arguments, "break": False}
    done = python(code, settings, cwd=checkout)
    assert done.returncode == 0, done.stdout[-3000:]


def test_this_interpreter_is_the_one_that_was_asked_for():
    assert sys.flags.isolated
    assert sys.flags.no_site
