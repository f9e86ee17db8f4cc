"""Which cases does a test under pytest verify, of which function, and what does it report?

The hooks are in pytest_convbench.py.
"""

import re
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any

from convbench.backend import OWN, Backend, adopt, elsewhere
from convbench.case import Case
from convbench.device import find_device
from convbench.discovery import refuse_twins, sources
from convbench.errors import INSTALLED, ConvbenchError
from convbench.functions import function_backend, python_name
from convbench.outcome import Failed, Result, Skipped, Wrong
from convbench.rows import Row
from convbench.selection import FOR_VERIFY, Selection, listed, select
from convbench.session import Session, Verify
from convbench.spec import ConvSpec
from convbench.suites.choose import tell_apart
from convbench.workers.jobs import Sweep
from convbench.workers.probe import is_possible

RELATIVE = re.compile(r"^\s*from\s+\.", re.MULTILINE)
Words = str | Sequence[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedCase:
    """What one test verifies: a case, or a case in every pass and epilogue, of which a function is asked its own.

    Attributes:
        name: for the test's id.
        cases: equal but for the pass and the epilogue.
        every_pass: whether the pass was left open.
    """

    name: str
    cases: tuple[Case, ...]
    every_pass: bool

    def of(self, backend: Backend) -> list[Case]:
        """The cases that a backend is asked; those drawn for a pass that it lacks are a plain fprop."""
        if not self.every_pass:
            return list(self.cases)
        own = [
            one for one in self.cases if one.pass_ in backend.passes and one.epilogue in ("none", *backend.epilogues)
        ]
        if own:
            return own
        first = self.cases[0]
        plain = replace(first.problem, pass_="fprop", epilogue="none")
        return [replace(first, problem=plain, pass_="fprop", epilogue="none")]


def choose_cases(
    *,
    suite: Words = None,
    dtypes: Words = None,
    layouts: Words = None,
    passes: Words = None,
    epilogues: Words = None,
    devices: Words = None,
    where: Callable[[ConvSpec], bool] | None = None,
) -> list[AskedCase]:
    """The cases of a marker, one for each test.

    Args:
        suite: names of suites, their files, and problems such as `n1c64h56w56k64r3s3_pd1`; awkward by default.
        dtypes, layouts, passes, epilogues, devices: as the options of convbench verify; devices that are not in this
            machine are left out, see `absent_devices`.
        where: whether a problem is wanted.

    Raises:
        ConvbenchError: an unknown word, or nothing is left.
    """
    suites, shapes = tell_apart(listed(suite) or ())
    absent = absent_devices(devices)
    present = None if devices is None else [one for one in listed(devices) or () if one not in absent]
    if absent and not present:
        return []
    every = Backend(
        name="every",
        fn=elsewhere,
        dgrad=elsewhere,
        wgrad=elsewhere,
        fused=elsewhere,
        family="direct",
        source="",
        origin=OWN,
    )
    chosen = select(
        suites=suites,
        shapes=shapes,
        dtypes=listed(dtypes),
        layouts=listed(layouts),
        passes=listed(passes),
        epilogues=listed(epilogues),
        devices=present,
        backends=[every],
        defaults=FOR_VERIFY,
    ).cases
    wanted = [case for case in chosen if where is None or where(case.spec)]
    if not wanted:
        raise ConvbenchError(f"where= leaves none of {len(chosen):,} cases; it gets the spec of each")
    open_ = passes is None and epilogues is None
    if not open_:
        return [AskedCase(name=_name(case, [case.kind]), cases=(case,), every_pass=False) for case in wanted]
    groups = (list(group) for _, group in groupby(wanted, _but_for_the_pass))
    return [AskedCase(name=_name(group[0], ()), cases=tuple(group), every_pass=True) for group in groups]


def absent_devices(devices: Words) -> dict[str, str]:
    """Why a device of a marker is not in this machine, by name.

    Raises:
        ConvbenchError: a name is unknown.
    """
    found = {one: find_device(one.lower()).why_absent() for one in listed(devices) or ()}
    return {one: why for one, why in found.items() if why is not None}


def _but_for_the_pass(case: Case) -> object:
    return case.problem, case.dtype, case.layout, case.precision, case.device


def _name(case: Case, kinds: Iterable[str]) -> str:
    """`layer1.0.conv1-bf16-nhwc`, and what is unusual; without characters that a shell or -k would take for its own."""
    unusual = [case.precision if case.precision != "ieee" else "", "" if case.target.on_host else case.device]
    words = [case.problem.name, case.dtype, case.layout, *unusual, *kinds]
    return "-".join(re.sub(r"[^\w.=+]+", "_", word) for word in words if word)


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenFunction:
    """The function that a test verifies.

    Attributes:
        plugin: the file and the name by which another process finds it; empty for a backend of convbench's own.
        shown: the same for a command, from the folder in which pytest was started.
        local: no other process can find it.
    """

    backend: Backend
    plugin: str = ""
    shown: str = ""
    local: bool = False


def find_function(given: Any, test_module: ModuleType | None, folder: Path) -> GivenFunction:
    """The backend of a function, or of something that @backend made, and where it is.

    Args:
        test_module: it may have the function under a name, too.
        folder: file names are shown from there.

    Raises:
        ConvbenchError: it is no function that a backend can be made of, or its name is taken.
    """
    if isinstance(given, Backend) and given.built_in:
        return GivenFunction(backend=given)
    if not isinstance(given, Backend) and (not callable(given) or isinstance(given, type)):
        raise ConvbenchError(f"convolution({given!r}): give a function fn(x, w, spec), or one like F.conv2d")
    home = sys.modules.get(str(given.origin if isinstance(given, Backend) else getattr(given, "__module__", "")))
    name, file, plugin = "", "", ""
    for module in (home, test_module):
        name = next((one for one, value in vars(module or {}).items() if value is given), "") if module else ""
        file = str(getattr(module, "__file__", None) or "")
        if name and file.endswith(".py"):
            plugin = _place(module, Path(file)) if module else ""
            break
    origin = f"plug-in {plugin}" if plugin else "this test"
    own_name = name or python_name(given).strip("<>")
    made = adopt(given, origin) if isinstance(given, Backend) else function_backend(given, own_name, origin)
    refuse_twins([*((one.name, one.origin) for one in sources() if not one.shadowed), (made.name, origin)])
    if not plugin:
        return GivenFunction(backend=made, local=True)
    shown = plugin
    with suppress(ValueError):
        shown = Path(plugin).relative_to(folder).as_posix() if plugin.endswith(".py") else plugin
    return GivenFunction(backend=made, plugin=f"{plugin}::{name}", shown=f"{shown}::{name}")


def _place(module: ModuleType, file: Path) -> str:
    """The file of a module, or its name if it is installed or imports its neighbours relatively."""
    if INSTALLED.search(str(file)) or RELATIVE.search(file.read_text(encoding="utf-8", errors="replace")):
        return module.__name__
    return str(file)


class Examiner:
    """Verifies case after case for tests, in a process of their own if the system and the function allow it."""

    def __init__(self, *, folder: Path, isolate: bool, timeout_s: float | None) -> None:
        """
        Args:
            folder: file names are shown from there.
            isolate: whether to use another process if possible.
            timeout_s: seconds for a step in another process; None for a default that depends on the case.
        """
        self._folder = folder
        self._isolate = isolate
        self._timeout_s = timeout_s
        # By id, with the object, so that no other gets its id.
        self._found: dict[int, tuple[Any, GivenFunction]] = {}
        self._sessions: dict[tuple[int, str], Session] = {}
        self._waiting: deque[Case] = deque()
        self._key: object = None
        self._results: Iterator[Result] = iter(())

    def find(self, given: Any, test_module: ModuleType | None) -> GivenFunction:
        """As `find_function`, once for each function."""
        if id(given) not in self._found:
            self._found[id(given)] = given, find_function(given, test_module, self._folder)
        return self._found[id(given)][1]

    def verify(self, given: GivenFunction, case: Case) -> Result:
        """The result of a case."""
        from convbench.verify.sweep import verify as sweep  # first: what it imports sets environment variables
        from convbench.workers.server import surroundings

        session = self._session(given, case)
        key = (id(given), case.device, surroundings())  # a worker has the environment that it was started in
        if key != self._key:
            self.close()
            self._key, self._results = key, self._begin(sweep, given)
        self._waiting.append(case)
        try:
            return replace(next(self._results), threads=session.threads[0])
        except BaseException:  # Ctrl-C: the worker is at work still
            self._key, self._results = None, iter(())
            self._waiting.clear()
            raise

    def is_isolated(self, given: GivenFunction) -> bool:
        """Whether its code runs in another process."""
        return self._isolate and not given.local and is_possible()

    def _begin(self, sweep: Sweep, given: GivenFunction) -> Iterator[Result]:
        """The results of the cases that will be waiting: one is taken when its result is asked for."""

        def cases() -> Iterator[Case]:
            while self._waiting:
                yield self._waiting.popleft()

        if not self.is_isolated(given):
            return sweep(cases(), [given.backend])
        from convbench.workers.isolate import Limits, isolated_as_asked

        return isolated_as_asked(
            sweep,
            cases(),
            given.backend,
            plugins=[given.plugin] if given.plugin else [],
            limits=Limits(timeout_s=self._timeout_s),
            cases_each=Verify().cases_each,
        )

    def close(self) -> None:
        """No case follows: the worker ends."""
        self._key, ended = None, self._results
        self._results = iter(())
        next(ended, None)

    def row(self, given: GivenFunction, result: Result) -> Row:
        """The result as a row of the CSV file; the command is that of the run."""
        return self._session(given, result.case).row(result)

    def report(self, given: GivenFunction, result: Result) -> str:
        """A fault in lines: what, why, and the command that repeats it."""
        from convbench.show.tables import fault_lines, shrunk

        def command(one: Result) -> str:
            if given.local:
                return f"no command repeats it: {one.backend} has no name at the top of a file"
            return self._session(given, one.case).reproduce(one)

        smaller = None if given.local else shrunk(result)
        return "\n".join(fault_lines(result, command(result), "" if smaller is None else command(smaller)))

    def _session(self, given: GivenFunction, case: Case) -> Session:
        """It makes the rows and the commands of a function's results."""
        key = (id(given), case.device)
        if key not in self._sessions:
            plugins = [given.shown] if given.shown else []
            chosen = Selection(cases=[case], backends=[given.backend], plugins=plugins)
            self._sessions[key] = Session(chosen, Verify(), isolate=False)
        return self._sessions[key]


def is_fault(result: Result) -> bool:
    """Whether it is wrong or failed."""
    return isinstance(result.outcome, Wrong | Failed)


def skip_reason(results: Sequence[Result]) -> str:
    """Why nothing was verified, or ""."""
    reasons = [one.outcome.reason for one in results if isinstance(one.outcome, Skipped)]
    return "; ".join(dict.fromkeys(reasons)) if len(reasons) == len(results) else ""


def summary(rows: Sequence[Row], alone: Iterable[str]) -> str:
    """The run in a line: how many cases came to what, and the largest error.

    Args:
        alone: names of functions that could not be isolated.
    """
    outcomes = Counter(str(row["outcome"]) for row in rows)
    counts = ", ".join(f"{count:,} {outcome}" for outcome, count in outcomes.items())
    errors = [(float(row["worst_of_bound"] or 0), row) for row in rows if row["outcome"] == "verified"]
    words = [f"convbench: {counts}"]
    if errors:
        worst, row = max(errors, key=lambda pair: pair[0])
        words.append(f"largest error {worst:.2g} of its bound ({row['backend']}, {row['name']} {row['dtype']})")
    if names := ", ".join(sorted(set(alone))):
        words.append(f"not isolated: {names}")
    return "; ".join(words)
