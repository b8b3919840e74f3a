"""Each historical bug is put back, and the test that is said to find it finds it.

PGBRAID names a pgbraid of a build with -Dfault_points=true, whose test programs are built too. A
test that stays green with its bug, or that dies of it instead of saying what is wrong, fails here.
The same test must pass without the bug, by the same program: else it would find anything.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml

import pytest

from bugs import BUGS

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = os.path.abspath(os.environ.get("PGBRAID", ROOT / "build/src/pgbraid"))
BUILD = pathlib.Path(PROGRAM).parents[1]
SWITCH = "PGBRAID_HISTORICAL_BUG"
# What a wait for something that a bug prevents costs; starting a server fits in.
DEADLINE = "10"
LIMIT = 300  # seconds for one run


def environment(bug):
    variables = {**os.environ, "PGBRAID": PROGRAM, "PGBRAID_TEST_IO": "io_uring"}
    variables.setdefault("PGBRAID_TEST_MEMORY_MIB", "1000")  # a sanitizer's shadow is no leak
    for name in (SWITCH, "PGBRAID_FULL", "GTEST_OUTPUT"):
        variables.pop(name, None)
    return {**variables, SWITCH: bug, "PGBRAID_TEST_DEADLINE": DEADLINE} if bug else variables


def run(command, bug):
    done = subprocess.run(command, env=environment(bug), cwd=ROOT, timeout=LIMIT, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors="replace")
    return done.returncode, done.stdout[-8000:]


def run_program(program, tests, report, bug):
    """(how many ran, how many found something, status, output) of a GoogleTest program."""
    path = BUILD / "tests/unit" / program.removesuffix("_test") / program
    status, output = run([path, f"--gtest_filter={tests}", f"--gtest_output=json:{report}"], bug)
    if not report.exists():
        return 0, 0, status, output
    result = json.loads(report.read_text())
    return result["tests"] - result.get("disabled", 0), result["failures"], status, output


def run_pytest(tests, report, bug):
    """The same of tests of tests/integration; an error around a test is not what it finds."""
    with tempfile.TemporaryDirectory(prefix="pgbraid-bugs-") as folder:
        status, output = run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
                              f"--basetemp={folder}/t", f"--junitxml={report}",
                              *(f"tests/integration/{test}" for test in tests)], bug)
    if not report.exists():
        return 0, 0, status, output
    suites = list(xml.parse(report).getroot().iter("testsuite"))
    ran = sum(int(suite.get("tests")) - int(suite.get("skipped")) for suite in suites)
    return ran, sum(int(suite.get("failures")) for suite in suites), status, output


def run_test(bug, report, switched_on):
    where, test = bug.found_by
    name = bug.name if switched_on else None
    if where.endswith(".py"):
        return run_pytest([f"{where}::{test}"], report, name)
    return run_program(where, test, report, name)


@pytest.fixture(scope="session")
def without_bugs(tmp_path_factory):
    """The tests of tests/integration that find bugs, once, without any."""
    tests = sorted({"::".join(bug.found_by) for bug in BUGS if bug.found_by[0].endswith(".py")})
    report = tmp_path_factory.mktemp("without") / "report.xml"
    return (len(tests), *run_pytest(tests, report, None))


def test_this_build_can_put_bugs_back():
    assert SWITCH.encode() in pathlib.Path(PROGRAM).read_bytes(), \
        f"{PROGRAM} was built without -Dfault_points=true"


def test_a_bug_that_is_put_back_is_said():
    """As far as the line is written: the address cannot be listened on."""
    _, output = run([PROGRAM, "--listen", "192.0.2.1:6432", "--primary", "postgres://127.0.0.1:1"],
                    "g3-short-secret")
    assert output.count("level=warn event=base.historical_bug name=g3-short-secret") == 1, output
    _, output = run([PROGRAM, "--listen", "192.0.2.1:6432", "--primary", "postgres://127.0.0.1:1"],
                    None)
    assert "historical_bug" not in output


def test_every_switch_is_in_the_table_and_every_bug_in_the_source():
    switches = {name for path in (ROOT / "src").rglob("*.cc")
                for name in re.findall(r'HISTORICAL_BUG\(\s*"([^"]+)"\)', path.read_text())}
    names = [bug.name for bug in BUGS]
    assert sorted(names) == sorted(switches)
    assert len(names) == len(set(names))


def test_the_readme_has_the_same_table():
    lines = (ROOT / "tests/README.md").read_text().splitlines()
    assert [line for line in lines if re.match(r"\| `[a-g]\d+-", line)] == [
        f"| `{bug.name}` | {bug.whose} | `{bug.found_by[1].split('[')[0].strip('*/')}` |"
        for bug in BUGS]


def test_integration_passes_without_bugs(without_bugs):
    wanted, ran, failures, status, output = without_bugs
    assert (ran, failures, status) == (wanted, 0, 0), output


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_it_is_found(bug, tmp_path):
    if not bug.found_by[0].endswith(".py"):
        ran, failures, status, output = run_test(bug, tmp_path / "without", False)
        assert (failures, status) == (0, 0) and ran > 0, f"without the bug: {output}"
    ran, failures, status, output = run_test(bug, tmp_path / "with", True)
    assert failures > 0 and status != 0, f"not found, or not said: {output}"
    assert failures <= ran
