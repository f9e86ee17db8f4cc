"""convbench doctor: what about this machine makes timings noisy, and what can be changed?"""

from typing import Annotated

import typer

from convbench.cli import options
from convbench.cli.outputs import tell
from convbench.device import find_device

EXAMPLE = "\b\nExample:\n  convbench doctor"


def doctor(
    device: Annotated[
        str, typer.Option("--device", metavar="NAME", help="cpu; cuda or cuda:1 for that GPU as well.")
    ] = "cpu",
    threads: options.Threads = 0,
) -> None:
    """Find what disturbs timings on this machine.

    Checks load, clocks, threads and the GPU, and says what to change; it changes nothing itself. Verdicts come from
    ratios within a round, so a disturbance costs time and leaves cases undecided, but does not bias verdicts.

    Linux, or WSL on Windows, runs all of convbench; macOS runs everything except isolation. On Windows itself,
    isolation, bench, convbench ran and explain --interactive are not available.
    """
    devices = [find_device(name) for name in options.choose_devices([device])]

    from convbench.bench.doctor import examine
    from convbench.cli.catalogue import show_table
    from convbench.session import set_threads

    count = set_threads(threads)

    tell("checking load, clocks and CPUs for a few seconds")
    accelerators = [one for one in devices if not one.on_host]
    chosen = accelerators[0] if accelerators else find_device("cpu")
    rows = [(one.word, one.what, one.found, one.advice) for one in examine(chosen, count)]
    show_table(("", "what", "found", "what to do"), rows, prose=2)
