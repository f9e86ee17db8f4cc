"""The options that mean the same in every command, and how their words become values."""

import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from convbench import errors
from convbench.case import ACCURACIES, DEVICES, DTYPES, EPILOGUES, LAYOUTS, PASSES, PRECISIONS
from convbench.cli.completion import among, backends, listed, shapes, suites
from convbench.dtypes import short_dtype
from convbench.errors import ConvbenchError, check_words
from convbench.explain import NOTE

if TYPE_CHECKING:
    from convbench.backend import Backend
    from convbench.case import Problem
    from convbench.models.inputs import GivenInput
    from convbench.selection import Defaults, Selection
    from convbench.session import Bench, Session, Verify
    from convbench.shards import Shard
    from convbench.spec import ConvSpec, Pair


def use_plan(path: str | None) -> str | None:
    """Name the plan for the backend auto, in this process and those that it starts."""
    if path is not None:
        os.environ["CONVBENCH_PLAN"] = path  # backends._plan.VARIABLE, without importing torch
    return path


Words = list[str] | None
LONGEST_S = 1e7  # some months; what is longer is a slip

Suites = Annotated[
    Words,
    typer.Option(
        "--suite",
        metavar="NAME,...",
        help="Shipped suites, CSV files, or logs and tables of other tools; see `convbench list suites`.",
        autocompletion=listed(suites),
    ),
]
Shapes = Annotated[
    Words,
    typer.Option(
        "--shape",
        metavar="SHAPE,...",
        help="Problems such as n1c64h56w56k64r3s3_pd1 or SUITE:ROW, or one benchdnn, MIOpenDriver or oneDNN log line.",
        autocompletion=listed(shapes),
    ),
]
Weight = Annotated[
    str | None,
    typer.Option("--weight", metavar="SIZES", help="Its weight, C_out x C_in/groups x kH x kW: 1x1x2x2."),
]
Input = Annotated[
    str | None,
    typer.Option(
        "--input", metavar="SIZES", help="Input size, N x C_in x H x W, instead of SHAPE: 1x1x4x4; needs --weight."
    ),
]
Stride = Annotated[
    str | None, typer.Option("--stride", metavar="N", help="Stride, with --input: 2, or 2x1. Default: 1.")
]
Padding = Annotated[
    str | None,
    typer.Option("--padding", metavar="N", help="Its padding: 1, 1x0, TOPxBOTTOMxLEFTxRIGHT, or same. Default: 0."),
]
Dilation = Annotated[str | None, typer.Option("--dilation", metavar="N", help="Its dilation. Default: 1.")]
Batches = Annotated[
    Words,
    typer.Option("--batch", metavar="N,...", help="Run each problem with these batch sizes; short for --axis n=N."),
]
Axes = Annotated[
    Words,
    typer.Option(
        "--axis",
        metavar="NAME=VALUES",
        help="Run each problem with these values of a size (n c h w k r s hw rs ck stride padding dilation groups) or "
        "of dtype, layout, precision, device, pass, epilogue, accuracy: a list 1,8,32, a range 64:512:64, powers "
        "'64:512:*2', padding=same. Repeat the option for more axes.",
    ),
]
Match = Annotated[
    Words, typer.Option("--match", metavar="REGEX", help="Only problems whose NAME, SUITE:NAME or text matches.")
]
Exclude = Annotated[Words, typer.Option("--exclude", metavar="REGEX", help="Leave out problems that match.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="List what would run and how long it would take, then stop.")]
Backends = Annotated[
    Words,
    typer.Option(
        "--backend",
        metavar="NAME,...",
        help="Backends, or '/REGEX/'. Default: all (convbench list backends).",
        autocompletion=listed(backends),
    ),
]
Devices = Annotated[
    Words,
    typer.Option(
        "--device",
        metavar="NAME,...",
        help=f"{', '.join(DEVICES)}; cuda:1 is the second GPU.",
        autocompletion=listed(among(DEVICES)),
    ),
]
Dtypes = Annotated[
    Words,
    typer.Option(
        "--dtype",
        metavar="NAME,...",
        help=f"{', '.join(DTYPES)}, or torch's names.",
        autocompletion=listed(among(DTYPES)),
    ),
]
_LAYOUTS = {"strided": "gaps between elements", "chunk": "part of a larger tensor", "unaligned": "an odd address"}
Layouts = Annotated[
    Words,
    typer.Option(
        "--layout",
        metavar="NAME,...",
        help="; ".join(f"{name}: {_LAYOUTS[name]}" if name in _LAYOUTS else name for name in LAYOUTS) + ".",
        autocompletion=listed(among(LAYOUTS)),
    ),
]
Precisions = Annotated[
    Words,
    typer.Option(
        "--precision",
        metavar="NAME,...",
        help="ieee: no TF32 anywhere; tf32: TF32 allowed (CUDA, fp32).",
        autocompletion=listed(among(PRECISIONS)),
    ),
]
Passes = Annotated[
    Words,
    typer.Option(
        "--pass",
        metavar="NAME,...",
        help=f"{', '.join(PASSES)}. Default: fprop.",
        autocompletion=listed(among(PASSES)),
    ),
]
Epilogues = Annotated[
    Words,
    typer.Option(
        "--epilogue",
        metavar="NAME,...",
        help=f"What follows fprop: {', '.join(EPILOGUES)}.",
        autocompletion=listed(among(EPILOGUES)),
    ),
]
Accuracies = Annotated[
    Words,
    typer.Option(
        "--accuracy",
        metavar="NAME,...",
        help="standard: any algorithm within its bound; strict: only direct sums of products. Default: standard.",
        autocompletion=listed(among(ACCURACIES)),
    ),
]
Plugins = Annotated[
    Words,
    typer.Option("--plugin", metavar="FILE.py", help="File or module with @backend functions, or FILE.py::FUNCTION."),
]
Threads = Annotated[int, typer.Option("--threads", metavar="N", min=0, help="CPU threads; 0: as torch chooses.")]
ThreadCounts = Annotated[
    Words,
    typer.Option(
        "--threads",
        metavar="N,...",
        help="CPU threads; each case runs with each number. Default: 0, as torch chooses.",
    ),
]
ModelInputs = Annotated[
    Words,
    typer.Option(
        "--input",
        metavar="[NAME=]SIZES[:DTYPE],...",
        help="Inputs of the model: 8x3x224x224, input_ids=1x128:int64. Default: those that it declares.",
    ),
]
Anonymous = Annotated[
    bool, typer.Option("--anonymous", help="Keep host name, command line and folders out of rows and pages.")
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", min=0, max=2**32 - 1, help="Seed of the random operands.")]
Csv = Annotated[
    str | None, typer.Option("--csv", metavar="FILE", help="CSV file for the results (docs/csv.md); - is stdout.")
]
WaitUntilQuiet = Annotated[
    bool, typer.Option("--wait-until-quiet", help="Start timing once the machine is quiet, or after 10 minutes.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the CSV file of an interrupted run.")]
PlanFile = Annotated[
    str | None,
    typer.Option(
        "--plan",
        metavar="PLAN",
        help="Plan from convbench tune for the backend auto. Default: the one of this machine, else the cost table.",
        callback=use_plan,
    ),
]
ShardOption = Annotated[
    str | None,
    typer.Option("--shard", metavar="I/N", help="Run part I of N; convbench merge puts the parts together."),
]
Across = Annotated[
    bool, typer.Option("--across", help="With --resume: continue a file with rows from other processors or versions.")
]
Isolate = Annotated[
    bool | None,
    typer.Option(
        "--isolate/--no-isolate",
        help="Run backends in worker processes: a crash loses one row. Default: on for plug-ins, entry points, several "
        "--threads, cuda, and with --timeout or --memory-limit.",
        show_default=False,
    ),
]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout",
        metavar="SECONDS",
        min=0.1,
        max=LONGEST_S,
        help="Kill a backend that takes longer for one step (its check, a block of calls). "
        "Default: 120, on a GPU 30; more for large cases.",
    ),
]
MemoryLimit = Annotated[
    float | None,
    typer.Option(
        "--memory-limit",
        metavar="GIB",
        min=0.5,
        max=1e6,
        help="Kill a case that uses more. Default: 90 % of free memory.",
    ),
]


def model_argument(files: str) -> Any:
    """The model of a command that also reads these files."""
    return typer.Argument(
        metavar="MODEL",
        help="A model of torchvision or timm, FILE.py:Model, package.module:factory, transformers:CONFIG, or a "
        f"{files} file.",
    )


Shape = Annotated[
    str | None,
    typer.Argument(
        metavar="SHAPE",
        help="The problem: n images, c channels, h by w; k filters, r by s; such as n1c2h5w5k2r3s3_pd1, or SUITE:ROW. "
        "Default: note, the worked example.",
        autocompletion=listed(shapes),
    ),
]
At = Annotated[str | None, typer.Option("--at", metavar="P,Q", help="Output to follow: its row and column.")]
Filter = Annotated[int | None, typer.Option("--filter", metavar="N", help="Filter (output channel) to follow.")]
Image = Annotated[int, typer.Option("--image", metavar="N", help="Image of the batch to follow.")]
Names = Annotated[
    str, typer.Option("--names", metavar="NAME", help="Naming convention: torch (C_out, kH, H_out) or cudnn (K, R, P).")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Junit = Annotated[
    str | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML for a CI server; - is stdout.")
]
Markdown = Annotated[
    str | None,
    typer.Option(
        "--markdown",
        metavar="FILE",
        help="Write a comment for a pull request; - is stdout. If FILE is $GITHUB_STEP_SUMMARY, appends to it.",
    ),
]
Bmf = Annotated[
    str | None, typer.Option("--bmf", metavar="FILE", help="Write Bencher Metric Format for bencher.dev; - is stdout.")
]
GithubBenchmark = Annotated[
    str | None,
    typer.Option(
        "--github-benchmark",
        metavar="FILE",
        help="Write JSON for github-action-benchmark (customSmallerIsBetter); - is stdout.",
    ),
]
Percentiles = Annotated[
    bool, typer.Option("--percentiles", help="Show the 95th and 99th percentile and the maximum of the times, too.")
]


def budget_option(baseline: str) -> Any:
    """--budget of a command whose backends are compared with this one, which has no budget of its own."""
    return typer.Option(
        "--budget",
        metavar="SECONDS",
        min=0.0,
        max=LONGEST_S,
        help=f"Time budget per case for each backend besides {baseline}, in seconds.",
    )


Force = Annotated[bool, typer.Option("--force", help="Run cases that a backend skips only because they are slow.")]


def words(given: Words, default: Sequence[str] = ()) -> list[str]:
    """A list given as repeated options, comma-separated, or both; `default` when not given."""
    if given is None:
        return list(default)
    return [word for text in given for word in text.split(",") if word]


def model_inputs(given: Words) -> "tuple[GivenInput, ...] | None":
    """The inputs of a model; None where they are not given."""
    from convbench.models.inputs import parse_inputs

    return None if given is None else parse_inputs(",".join(words(given)))


def model_command(command: str, model: str, given: Words) -> list[str]:
    """The words of a command on this model and its inputs."""
    return ["convbench", command, model, *(["--input", ",".join(words(given))] if given else [])]


def choose(what: str, given: Words, allowed: Sequence[str], default: Sequence[str]) -> list[str]:
    """Words that must all be among `allowed`."""
    chosen = words(given, default)
    return check_words(what, map(short_dtype, chosen) if what == "dtype" else chosen, allowed)


def choose_devices(given: Words) -> list[str]:
    """Devices that are there."""
    from convbench import selection

    return selection.choose_devices(_listed(given))


def choose_backends(given: Words, plugins: Words, tell: Callable[[str], None]) -> "list[Backend]":
    """The backends asked for, or all of them, in this process; one that cannot be loaded refuses every case."""
    from convbench.selection import bring_here, load_backends

    chosen, *_ = load_backends(_listed_backends(given), words(plugins), tell=tell)
    return bring_here(chosen, words(plugins))


def _listed(given: Words) -> list[str] | None:
    """As `words`; None where nothing was given."""
    return None if given is None else words(given)


def _listed_backends(given: Words) -> list[str] | None:
    """A comma within /REGEX/ is the expression's own."""
    return None if given is None else [word for text in given for word in re.findall("/[^/]*/|[^,]+", text)]


def listed_shapes(given: Words) -> list[str] | None:
    """A line of another tool may have commas of its own."""
    from convbench.suites.foreign import is_foreign

    if given is None:
        return None
    return [shape for text in given for shape in ([text] if is_foreign(text) else words([text]))]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """A problem by the sizes of its tensors."""

    input: Input = None
    weight: Weight = None
    stride: Stride = None
    padding: Padding = None
    dilation: Dilation = None

    def text(self) -> str | None:
        """The text of the problem; None where no size is given.

        Raises:
            ConvbenchError: there is no input or no weight, or they are none of a convolution.
        """
        from convbench.suites.sizes import EXAMPLE, spec_of_sizes

        more = {"stride": self.stride, "padding": self.padding, "dilation": self.dilation}
        if self.input is not None and self.weight is not None:
            return str(spec_of_sizes(self.input, self.weight, **more))
        sizes = {"input": self.input, "weight": self.weight, **more}
        if given := [name for name, text in sizes.items() if text is not None]:
            options = f"--{' --'.join(given)}"
            raise ConvbenchError(f"{options}: a problem needs both an input and a weight; write {EXAMPLE}")
        return None

    def problem(self, shape: str | None) -> "Problem":
        """The one problem of a command that takes one: SHAPE, or these sizes, or the note's.

        Raises:
            ConvbenchError: both are given, or it is none.
        """
        from convbench.suites import find_problem

        text = self.text()
        if text is not None and shape is not None:
            raise ConvbenchError(f"SHAPE {shape} and --input --weight ({text}) are two problems; give one")
        return find_problem(text or shape or NOTE)


@dataclass(frozen=True, kw_only=True)
class CellOptions:
    """The output that an explanation follows, and the seed of its numbers."""

    at: At = None
    filter: Filter = None
    image: Image = 0
    seed: Seed = 0

    def place(self, spec: "ConvSpec") -> "Pair | None":
        """The row and the column of --at, `1,2` as (1, 2); None where it is not given."""
        if self.at is None:
            return None
        p, comma, q = (part.strip() for part in self.at.partition(","))
        if not (comma and p.isdecimal() and q.isdecimal()):
            raise ConvbenchError(
                f"--at {self.at!r} is not P,Q: for {spec} give a row from 0 to {spec.p - 1} and a column from 0 to "
                f"{spec.q - 1}, such as --at {spec.p - 1},{spec.q - 1}"
            )
        return int(p), int(q)


@dataclass(frozen=True, kw_only=True)
class Choice(Sizes):
    """What verify and bench run: the words of their options, in which `selection.select` selects."""

    suite: Suites = None
    shape: Shapes = None
    backend: Backends = None
    batch: Batches = None
    axis: Axes = None
    match: Match = None
    exclude: Exclude = None
    device: Devices = None
    dtype: Dtypes = None
    layout: Layouts = None
    precision: Precisions = None
    pass_: Passes = None
    epilogue: Epilogues = None
    accuracy: Accuracies = None
    plugin: Plugins = None
    seed: Seed = 0

    def select(
        self,
        defaults: "Defaults",
        *,
        fuzz: int | None = None,
        seconds: float | None = None,
        vectors: Words = None,
        tell: Callable[[str], None],
    ) -> "Selection":
        """The cases and backends; `tell` takes what is left out."""
        from convbench.selection import select

        shapes, by_sizes = listed_shapes(self.shape), self.text()
        return select(
            suites=_listed(self.suite),
            shapes=shapes if by_sizes is None else [*(shapes or ()), by_sizes],
            fuzz=fuzz,
            seconds=seconds,
            vectors=_listed(vectors),
            batches=self.batch,
            axes=self.axis,
            match=self.match,
            exclude=self.exclude,
            backends=_listed_backends(self.backend),
            plugins=words(self.plugin),
            devices=_listed(self.device),
            dtypes=_listed(self.dtype),
            layouts=_listed(self.layout),
            precisions=_listed(self.precision),
            passes=_listed(self.pass_),
            epilogues=_listed(self.epilogue),
            accuracies=_listed(self.accuracy),
            seed=self.seed,
            defaults=defaults,
            tell=tell,
        )


@dataclass(frozen=True, kw_only=True)
class ForCi:
    """Where the results go for CI: the same for every command that has results."""

    junit: Junit = None
    markdown: Markdown = None
    bmf: Bmf = None
    github_benchmark: GithubBenchmark = None
    json: Json = False

    @property
    def files(self) -> dict[str, str | None]:
        """By option; None where it is not given, - for stdout."""
        return {
            "--json": "-" if self.json else None,
            "--markdown": self.markdown,
            "--junit": self.junit,
            "--bmf": self.bmf,
            "--github-benchmark": self.github_benchmark,
        }

    @property
    def takes_stdout(self) -> bool:
        """Whether nothing else may be printed there."""
        return "-" in self.files.values()


@dataclass(frozen=True, kw_only=True)
class How:
    """How verify and bench run it, and where the rows go."""

    threads: ThreadCounts = None
    plan: PlanFile = None
    csv: Csv = None
    overwrite: Overwrite = False
    resume: Resume = False
    shard: ShardOption = None
    across: Across = False
    isolate: Isolate = None
    timeout: Timeout = None
    memory_limit: MemoryLimit = None
    force: Force = False
    dry_run: DryRun = False
    anonymous: Anonymous = False

    def thread_counts(self) -> list[int]:
        """The numbers of --threads; 0 alone where it is not given.

        Raises:
            ConvbenchError: one of them is no number of threads.
        """
        given = words(self.threads, ["0"]) or self.threads or []
        if odd := [word for word in given if not re.fullmatch("[0-9]{1,18}", word)]:
            raise ConvbenchError(f"--threads {odd[0]}: give whole numbers, such as 1,2,4; 0 lets torch choose")
        return list(map(int, given))

    def part(self) -> "Shard | None":
        """The part that --shard names."""
        from convbench.shards import Shard

        return None if self.shard is None else Shard.parse(self.shard)

    def begin(self, selection: "Selection", work: "Verify | Bench", tell: Callable[[str], None]) -> "Session":
        """The session of these words."""
        from convbench.session import Session

        if self.across and not self.resume:
            raise ConvbenchError("--across continues a file with rows of other machines: give it with --resume")
        return Session(
            selection,
            work,
            csv=self.csv,
            overwrite=self.overwrite,
            resume=self.resume,
            command="convbench " + shlex.join(sys.argv[1:]),
            threads=self.thread_counts(),
            anonymous=self.anonymous,
            isolate=self.isolate,
            timeout_s=self.timeout,
            shard=self.part(),
            across=self.across,
            memory_nbytes=None if self.memory_limit is None else int(self.memory_limit * 2**30),
            tell=tell,
        )


def fraction(option: str, text: str) -> float:
    """`5%` or `0.05` as 0.05.

    Raises:
        ConvbenchError: as `errors.fraction`.
    """
    return errors.fraction(f"{option} {text}", text)


def unfold(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for each field of the dataclasses that it takes, which it then gets whole."""
    groups: dict[str, Any] = {}
    options: list[Parameter] = []
    hints = get_type_hints(command, include_extras=True)
    for name, parameter in signature(command).parameters.items():
        if not is_dataclass(kind := hints[name]):
            options.append(parameter.replace(kind=Parameter.KEYWORD_ONLY, annotation=kind))
            continue
        groups[name] = kind
        of_fields = get_type_hints(kind, include_extras=True)
        options += [
            Parameter(one.name, Parameter.KEYWORD_ONLY, default=one.default, annotation=of_fields[one.name])
            for one in fields(kind)
        ]

    @wraps(command)
    def unfolded(**given: Any) -> None:
        whole = {name: kind(**{one.name: given.pop(one.name) for one in fields(kind)}) for name, kind in groups.items()}
        command(**whole, **given)

    unfolded.__signature__ = Signature(options)  # type: ignore[attr-defined]  # what typer reads
    unfolded.__annotations__ = {one.name: one.annotation for one in options}
    return unfolded
