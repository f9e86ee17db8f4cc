"""The options that mean the same in every command, and how their words become values."""

import re
from collections.abc import Sequence
from typing import Annotated

import typer

from convbench.backend import Backend
from convbench.case import DEVICES, DTYPES, EPILOGUES, LAYOUTS, PASSES
from convbench.cli.outputs import tell
from convbench.device import find_device
from convbench.errors import ConvbenchError, unknown

Words = list[str] | None

Suites = Annotated[
    Words,
    typer.Option(
        "--suite",
        metavar="NAME,...",
        help="Shipped suites, CSV files, or files of benchdnn or MIOpenDriver lines; `convbench list suites`.",
    ),
]
Shapes = Annotated[
    Words,
    typer.Option(
        "--shape",
        metavar="SHAPE,...",
        help="Problems, as n1c64h56w56k64r3s3_pd1 or SUITE:ROW; or one benchdnn or MIOpenDriver line.",
    ),
]
Batches = Annotated[
    Words, typer.Option("--batch", metavar="N,...", help="Every problem with these batch sizes; short for --axis n=N.")
]
Axes = Annotated[
    Words,
    typer.Option(
        "--axis",
        metavar="NAME=VALUES",
        help="Every problem with these values of a size (n c h w k r s hw rs ck stride padding dilation groups) or of "
        "dtype, layout, precision, device, pass, epilogue: a list 1,8,32, a range 64:512:64, powers '64:512:*2', "
        "padding=same. Repeat it for more axes.",
    ),
]
Match = Annotated[
    Words, typer.Option("--match", metavar="REGEX", help="Only problems with this in SUITE:NAME or in their text.")
]
Exclude = Annotated[Words, typer.Option("--exclude", metavar="REGEX", help="No problems with this in them.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="List what would run, and what it would take; run nothing, write no CSV.")
]
Backends = Annotated[
    Words,
    typer.Option(
        "--backend", metavar="NAME,...", help="Backends, or '/REGEX/'; all by default. `convbench list backends`."
    ),
]
Devices = Annotated[Words, typer.Option("--device", metavar="NAME,...", help=f"Among {', '.join(DEVICES)}.")]
Dtypes = Annotated[Words, typer.Option("--dtype", metavar="NAME,...", help=f"Among {', '.join(DTYPES)}.")]
Layouts = Annotated[Words, typer.Option("--layout", metavar="NAME,...", help=f"Among {', '.join(LAYOUTS)}.")]
Precisions = Annotated[
    Words, typer.Option("--precision", metavar="NAME,...", help="ieee: no TF32 anywhere; tf32: allowed (CUDA, fp32).")
]
Passes = Annotated[
    Words, typer.Option("--pass", metavar="NAME,...", help=f"Among {', '.join(PASSES)}; fprop by default.")
]
Epilogues = Annotated[
    Words, typer.Option("--epilogue", metavar="NAME,...", help=f"After fprop, among {', '.join(EPILOGUES)}.")
]
Plugins = Annotated[
    Words, typer.Option("--plugin", metavar="FILE.py", help="FILE.py or module with @backend functions.")
]
Threads = Annotated[int, typer.Option("--threads", metavar="N", min=0, help="CPU threads; 0 is torch's own choice.")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", min=0, max=2**32 - 1, help="Seed of the random operands.")]
Csv = Annotated[str | None, typer.Option("--csv", metavar="FILE", help="CSV file for the results; - is stdout.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the CSV file of a run that was cut short.")]
Isolate = Annotated[
    bool | None,
    typer.Option(
        "--isolate/--no-isolate",
        help="A process that may die for each case; on with --plugin or on cuda.",
        show_default=False,
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        min=0.1,
        help="Kill a backend that takes longer for one step; 120 by default, more for large cases.",
    ),
]
MemoryLimit = Annotated[
    float | None,
    typer.Option("--memory-limit", metavar="GIB", min=0.5, help="Kill a case that takes more; 90 % of what is free."),
]
Force = Annotated[bool, typer.Option("--force", help="Run what a backend refuses for its cost alone.")]


def words(given: Words, default: Sequence[str] = ()) -> list[str]:
    """A list given as repeated options, comma-separated, or both; `default` when not given."""
    if given is None:
        return list(default)
    return [word for text in given for word in text.split(",") if word]


def choose(what: str, given: Words, allowed: Sequence[str], default: Sequence[str]) -> list[str]:
    """Words that must all be among `allowed`."""
    chosen = [word.lower() for word in words(given, default)]
    for word in chosen:
        if word not in allowed:
            raise unknown(what, word, allowed)
    return chosen


def choose_passes(passes: Words, epilogues: Words) -> tuple[list[str], list[str]]:
    """Passes, and epilogues for the one that has them."""
    chosen = choose("pass", passes, PASSES, ("fprop",))
    after = choose("epilogue", epilogues, EPILOGUES, ("none",))
    if "fprop" not in chosen and (idle := [name for name in after if name != "none"]):
        raise ConvbenchError(
            f"--epilogue {','.join(idle)} --pass {','.join(chosen)}: an epilogue follows fprop alone; "
            f"add fprop to --pass, or leave --epilogue out"
        )
    return chosen, after


def choose_devices(given: Words) -> list[str]:
    """Devices that are there."""
    chosen = [find_device(word.lower()) for word in words(given, ("cpu",))]
    for device in chosen:
        if (why := device.why_absent()) is not None:
            raise ConvbenchError(
                f"--device {device.name}: {why}; try --device cpu, or see what is there with 'convbench list devices'"
            )
    return [device.name for device in chosen]


def choose_backends(given: Words, plugins: Words) -> list[Backend]:
    """The backends asked for, or all of them; one that cannot be loaded refuses every case."""
    from convbench.backend import OWN
    from convbench.discovery import discover, is_pattern, sources
    from convbench.suites.axes import compile_regex

    # A comma within /REGEX/ is the expression's own.
    asked = None if given is None else [word for text in given for word in re.findall("/[^/]*/|[^,]+", text)]
    patterns = [(word, compile_regex("--backend", word[1:-1])) for word in asked or () if is_pattern(word)]
    loaded, unavailable = discover(words(plugins), asked)
    names = {one.name for one in loaded}
    for source in sources():  # code that came with another package: whose, and which version
        if source.origin != OWN and source.name in names:
            tell(f"the backend {source.name} is {source.doc}")
    backends = [*loaded, *(one.as_backend() for one in unavailable)]
    for word, pattern in patterns:
        if not any(pattern.search(one.name) for one in backends):
            tell(f"--backend {word} matches no backend; see 'convbench list backends'")
    return backends


MOST_THREADS_A_CPU = 4


def set_threads(threads: int) -> int:
    """Set torch's CPU threads (0 leaves them) and return how many there are.

    Raises:
        ConvbenchError: far more than there are CPUs, which would wait for each other without end.
    """
    import torch

    from convbench.device.host import cpus_allowed

    if threads > (most := MOST_THREADS_A_CPU * cpus_allowed()):
        raise ConvbenchError(
            f"--threads {threads}: this process may use {cpus_allowed()} CPUs; give up to {most}, or leave it out"
        )
    if threads:
        torch.set_num_threads(threads)
    return torch.get_num_threads()
