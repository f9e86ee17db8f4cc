"""Does this machine agree with a results file? Its timed cases again, here, to compare the ratios."""

from collections.abc import Sequence
from pathlib import Path

from convbench.backend import BASELINE
from convbench.case import Case
from convbench.device import find_device
from convbench.device.host import cpus_allowed
from convbench.discovery import sources
from convbench.errors import ConvbenchError
from convbench.outcome import Result, Timed
from convbench.selection import Selection, Tell, load_backends, silent
from convbench.session import MOST_THREADS_A_CPU, Bench, Session
from convbench.store import read_pairs


def rerun(
    before: str | Path,
    *,
    csv: str,
    overwrite: bool = False,
    budget_s: float = 3.0,
    command: str = "",
    tell: Tell = silent,
) -> Session:
    """A session of the cases that were timed in a file, with the backends and the thread counts that it names.

    Args:
        csv: the file of the new rows.
        tell: receives what cannot be run here: devices, backends.

    Raises:
        ConvbenchError: nothing in the file was timed, or none of it can be run here.
    """
    timed = [result for _, result in read_pairs(before) if isinstance(result.outcome, Timed)]
    if not timed:
        raise ConvbenchError(f"{before} has no timed row; give a CSV file of convbench bench")
    cases = _cases_here(before, timed, tell)
    known = {one.name for one in sources()}
    named = dict.fromkeys(result.backend for result in timed)
    if foreign := [name for name in named if name not in known]:
        tell(f"left out: {', '.join(foreign)}, which came with a plug-in")
    backends, unavailable, local = load_backends(
        [BASELINE, *(name for name in named if name in known - {BASELINE})], tell=tell
    )
    threads = sorted({result.threads for result in timed if result.threads and result.case.target.on_host})
    most = MOST_THREADS_A_CPU * cpus_allowed()
    if many := [count for count in threads if count > most]:
        tell(f"left out: {', '.join(map(str, many))} threads; this process may use {cpus_allowed()} CPUs")
        threads = [count for count in threads if count <= most]
    selection = Selection(cases=cases, backends=backends, unavailable=unavailable, local=local)
    work = Bench(budget_s=budget_s)
    return Session(selection, work, csv=csv, overwrite=overwrite, command=command, threads=threads or 0, tell=tell)


def _cases_here(before: str | Path, timed: Sequence[Result], tell: Tell) -> list[Case]:
    """Those whose device is here, each once."""
    cases = list(dict.fromkeys(result.case for result in timed))
    absent = {name: why for name in {case.device for case in cases} if (why := find_device(name).why_absent())}
    for name, why in absent.items():
        tell(f"left out: the cases on {name}: {why}")
    here = [case for case in cases if case.device not in absent]
    if not here:
        raise ConvbenchError(f"{before} was timed on {', '.join(absent)}, which is not here; give another file")
    return here
