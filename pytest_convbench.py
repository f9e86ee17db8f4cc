"""The plug-in of pytest: a test for each convolution of a suite, and its output within proven error bounds.

    @pytest.mark.convolution(suite="quick", dtypes=("fp32", "bf16"))
    def test_my_conv(convolution):
        convolution(my_conv)

convbench is only imported where a test uses that: see convbench/testing.py. This file is outside of the package,
whose own import would cost every run of pytest a tenth of a second.
"""

import shlex
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from convbench.outcome import Result
    from convbench.rows import Row
    from convbench.store import CsvFile
    from convbench.testing import AskedCase, Examiner

NAME = "convolution"  # of the marker and of the fixture
ROWS = "convbench_rows"  # on the report of a test: xdist sends it from the process of the test to the main one
ALONE = "convbench_alone"  # likewise, the functions that were not isolated

EXAMINER = pytest.StashKey["Examiner"]()
FOUND = pytest.StashKey["list[Row]"]()
LOCAL = pytest.StashKey["list[str]"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("convbench", "convolutions")
    group.addoption(
        "--convbench-suite",
        metavar="NAME,...",
        help="Suites, their files or problems for all tests of @pytest.mark.convolution, instead of their own.",
    )
    group.addoption(
        "--convbench-csv", metavar="FILE", help="Write a row for each case to this file, as convbench does."
    )
    group.addoption(
        "--convbench-timeout",
        metavar="S",
        type=float,
        help="Seconds after which a call hangs. Default: two minutes, more for large problems.",
    )
    group.addoption(
        "--convbench-no-isolate",
        action="store_true",
        help="Run the functions in the process of pytest, for a debugger. A crash then ends it.",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f"{NAME}(suite='awkward', dtypes=, layouts=, passes=, epilogues=, devices=, where=): "
        "one test for each convolution of a suite, see docs/pytest.md of convbench",
    )
    timeout_s = config.getoption("--convbench-timeout")
    if timeout_s is not None and not timeout_s > 0:
        raise pytest.UsageError(f"--convbench-timeout {timeout_s:g}: give seconds above 0")
    if timeout_s is not None and config.getoption("--convbench-no-isolate"):
        raise pytest.UsageError(
            "--convbench-timeout needs a process that can be killed; leave --convbench-no-isolate out"
        )
    if not hasattr(config, "workerinput"):  # otherwise the main process has the rows of all
        config.pluginmanager.register(Collected(config), "convbench_collected")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    mark = metafunc.definition.get_closest_marker(NAME)
    if mark is None or NAME not in metafunc.fixturenames:
        return
    from convbench.errors import ConvbenchError
    from convbench.testing import absent_devices, choose_cases

    words = dict(mark.kwargs)
    if suite := metafunc.config.getoption("--convbench-suite"):
        words["suite"] = suite
    try:
        if mark.args:
            raise ConvbenchError(f"the marker takes names, such as suite={mark.args[0]!r}")
        tests = [pytest.param(one, id=one.name) for one in choose_cases(**words)]
        absent = absent_devices(words.get("devices"))
        tests += [pytest.param(None, id=name, marks=pytest.mark.skip(reason=why)) for name, why in absent.items()]
    except (ConvbenchError, TypeError) as error:
        message = str(error).replace("choose_cases()", "it")
        raise pytest.Collector.CollectError(f"@pytest.mark.{NAME} of {metafunc.definition.name}: {message}") from None
    metafunc.parametrize(NAME, tests, indirect=True)


@pytest.fixture
def convolution(request: pytest.FixtureRequest) -> "Callable[[Any], list[Result]]":
    """`convolution(function)` verifies it on the case of this test, and returns the results, one for each pass.

    The function is `fn(x, w, spec)`, or has the arguments of `F.conv2d`, or is a @backend.
    """
    if not hasattr(request, "param"):
        pytest.fail(f"a test with the fixture {NAME} needs @pytest.mark.{NAME}", pytrace=False)
    asked: AskedCase = request.param
    stash = request.node.stash
    rows, local = stash.setdefault(FOUND, []), stash.setdefault(LOCAL, [])

    def verify(function: Any) -> "list[Result]":
        from convbench.errors import ConvbenchError
        from convbench.testing import is_fault, skip_reason

        __tracebackhide__ = True
        examiner = _examiner(request.config)
        try:
            given = examiner.find(function, getattr(request, "module", None))
            results = [examiner.verify(given, case) for case in asked.of(given.backend)]
        except ConvbenchError as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None
        rows.extend(examiner.row(given, result) for result in results)
        local.extend([] if examiner.is_isolated(given) else [given.backend.name])
        if faults := [examiner.report(given, result) for result in results if is_fault(result)]:
            pytest.fail("\n".join(faults), pytrace=False)
        if why := skip_reason(results):
            pytest.skip(why)
        return results

    return verify


def _examiner(config: pytest.Config) -> "Examiner":
    from convbench.testing import Examiner

    if EXAMINER not in config.stash:
        config.stash[EXAMINER] = Examiner(
            folder=config.invocation_params.dir,
            isolate=not config.getoption("--convbench-no-isolate"),
            timeout_s=config.getoption("--convbench-timeout"),
        )
    return config.stash[EXAMINER]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    yield
    if item.stash.get(FOUND, None) == []:  # it passes, and has verified nothing
        pytest.fail(f"the test never called {NAME}(function), so nothing was verified", pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call" and (rows := item.stash.get(FOUND, None)):
        vars(report).update({ROWS: rows, ALONE: item.stash[LOCAL]})
        if report.skipped and isinstance(report.longrepr, tuple):  # at the test, not at a line of this file
            report.longrepr = (str(item.path), (item.location[1] or 0) + 1, report.longrepr[2])
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    if EXAMINER in session.config.stash:
        session.config.stash[EXAMINER].close()


class Collected:
    """The rows of all tests, of all processes: to a file, and in a line at the end."""

    def __init__(self, config: pytest.Config) -> None:
        self._rows: list[Row] = []
        self._alone: set[str] = set()
        self._path: str | None = config.getoption("--convbench-csv")
        self._command = shlex.join(["pytest", *map(str, config.invocation_params.args)])
        self._file = self._open() if self._path is not None and not config.option.collectonly else None

    def _open(self) -> "CsvFile":
        from convbench.errors import ConvbenchError
        from convbench.schema import COLUMNS
        from convbench.store import CsvFile

        path = str(self._path)
        if Path(path).is_file() and Path(path).stat().st_size:
            with open(path, "rb") as file:
                if not file.read(1000).startswith(",".join(COLUMNS[:5]).encode()):
                    raise pytest.UsageError(f"--convbench-csv {path} exists and is no results file; name another file")
        try:
            if path == "-":
                raise ConvbenchError("--convbench-csv -: pytest prints there; name a file")
            return CsvFile(path, overwrite=True)
        except ConvbenchError as error:
            raise pytest.UsageError(str(error)) from None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        rows = [row | {"command": self._command} for row in getattr(report, ROWS, ())]
        self._rows += rows
        self._alone.update(getattr(report, ALONE, ()))
        if rows and self._file is not None:
            self._file.append(*rows)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._rows:
            from convbench.testing import summary

            terminalreporter.write_line(summary(self._rows, self._alone))
            if self._file is not None:
                terminalreporter.write_line(f"convbench: rows in {self._path}")

    def pytest_unconfigure(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
