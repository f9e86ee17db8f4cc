"""Which problems are in a file that another tool wrote, or that is written for one?

benchdnn is oneDNN's benchmark: its files hold descriptors (`mb1ic64ih56oc64oh56kh3ph1n"name"`) and
options that stay in force for the lines below them. Lines of other kinds may be among them: MIOpenDriver commands,
oneDNN's verbose log, dumps of torch's operators, tables. Traces and lists of layers are read as a whole.

What a line asks for and convbench does not have (3-D, int8) is left out and told, and so is a line that cannot be
read. Only where a file holds nothing else is that an error, with its place.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from convbench.case import Problem
from convbench.errors import ConvbenchError, cause, one_line, unknown
from convbench.files import read_bytes
from convbench.spec import ConvSpec
from convbench.suites import miopen
from convbench.suites.aten import PROFILE_ROW, Dump, is_profile_row, is_trace, read_trace
from convbench.suites.descriptors import (
    DESCRIPTOR,
    DTYPES,
    EXAMPLE,
    MOST_DIGITS,
    TURNED,
    descriptor_spec,
    given,
    one_dtype,
    take_apart,
)
from convbench.suites.found import LEFT_OUT, NOTED, OTHER_DTYPES, THREE_D, FoundProblem, NotTaken
from convbench.suites.tables import TableColumns, table_columns
from convbench.suites.tensorrt import is_layer_list, read_layers
from convbench.suites.verbose import is_verbose, read_verbose

# What a direction computes: (pass, epilogue).
DIRECTIONS = {
    "FWD_B": ("fprop", "bias"),
    "FWD_D": ("fprop", "none"),
    "FWD_I": ("fprop", "none"),
    "BWD_D": ("dgrad", "none"),
    "BWD_W": ("wgrad", "none"),
    "BWD_WB": ("wgrad", "bias"),
}
MOST_NBYTES = 64 * 2**20  # of a file; benchdnn's own inputs, all together, are 2 MB
MOST_DETAIL = 300  # characters of what is left out
MOST_FILES = 1000  # that --batch lines lead to: ten files that name each other ten times are ten billion
_COLOURS = re.compile("\x1b\\[[0-9;]*m")

# Options of benchdnn that choose how something is run, not what.
_KNOBS = frozenset(
    """alg allow-enum-tags-only attr-deterministic attr-scratchpad batch-start canonical cold-cache cpu-isa-hints
    ctx-exe ctx-init engine execution-mode fast-ref fix-times-per-prb impl max-ms-per-prb mem-check memory-kind mode
    mode-modifier num-streams perf-template repeats-per-prb skip-impl start stream-kind summary
    use-fast-ref v verbose""".split()
)
# Options that change the work or its memory, which this line cannot say here.
_TOLD = {
    "attr-acc-mode": "an accumulation mode",
    "attr-dropout": "dropout",
    "attr-fpmath": "relaxed arithmetic; use --precision",
    "attr-oscale": "scales",
    "attr-post-ops": "fused operations",
    "attr-rounding-mode": "a rounding mode",
    "attr-scales": "scales",
    "attr-zero-points": "zero points",
    "bia-dt": "a data type of the bias",
    "dtag": "a memory layout; use --layout",
    "encoding": "sparse weights",
    "inplace": "in-place work",
    "match": "a filter; use --match",
    "stag": "a memory layout; use --layout",
    "strides": "memory strides; use --layout",
    "wtag": "a memory layout; use --layout",
}
_DRIVERS = frozenset(
    """binary bnorm brgemm concat deconv eltwise gated_mlp gnorm graph ip lnorm lrn matmul pool prelu reduction reorder
    resampling rnn self sdpa shuffle softmax sum zeropad""".split()
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """What was not taken over from a line.

    Attributes:
        place: the file and the line.
        kind: text shared by all lines of the kind.
        detail: the text of this line.
        verb: what was done with it.
    """

    place: str
    kind: str
    detail: str
    verb: str = "not supported"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignProblems:
    """The problems of a suite, and what its lines request beyond them."""

    problems: tuple[Problem, ...]
    left_out: tuple[LeftOut, ...] = ()


def is_foreign(text: str) -> bool:
    """Whether a text holds a benchdnn descriptor, an MIOpenDriver command, or a line of a oneDNN log."""
    return (
        miopen.holds_command(text)
        or is_verbose(text)
        or any(DESCRIPTOR.fullmatch(token) is not None for token in text.split())
    )


def read_foreign(text: str, *, suite: str, origin: str, numbered: bool = True) -> ForeignProblems:
    """The problems that the lines of a text name, in order.

    What occurs several times in a log is one problem with that count.

    Args:
        text: the lines.
        suite: the suite the problems belong to.
        origin: the file, beside which `--batch=FILE` is looked for, or the option.
        numbered: whether it is a file, whose locations have line numbers and whose lines are left out if need be.

    Raises:
        ConvbenchError: a line that cannot be read, with its place, where there is nothing else.
    """
    reader = _Reader(suite=suite, numbered=numbered)
    reader.read(_COLOURS.sub("", text), origin)
    if reader.refused and not reader.problems and not any(one.verb == "not supported" for one in reader.left_out):
        raise reader.refused[0]
    return ForeignProblems(problems=tuple(reader.problems.values()), left_out=tuple(reader.left_out))


class _PlacedError(ConvbenchError):
    """Its message already has the file and line."""


class _TooManyError(_PlacedError):
    """The file as a whole is not read."""


class _NoProblemError(ConvbenchError):
    """A line is none of those that are read."""


@dataclass(slots=True, kw_only=True)
class _Settings:
    """benchdnn options that stay in force until replaced or reset."""

    batches: Sequence[int] = (0,)  # 0: what the descriptor says
    dtypes: Sequence[str] = ("",)
    directions: Sequence[str] = ()
    unread: str = ""  # an option that could not be read; the problems below it would not be those that are meant


@dataclass(slots=True, kw_only=True)
class _Reader:
    suite: str
    numbered: bool
    settings: _Settings = field(default_factory=_Settings)
    problems: dict[Problem, Problem] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    refused: list[ConvbenchError] = field(default_factory=list)  # the first
    _driver: str = ""  # of benchdnn: "" is conv
    _within: list[str] = field(default_factory=list)
    _files: int = 0
    _place: str = ""
    _dump: Dump = field(default_factory=Dump)
    _table: TableColumns | None = None

    def read(self, text: str, origin: str) -> None:
        if is_trace(text):
            self._whole(read_trace(text), origin)
            return
        if is_layer_list(text):
            self._whole(read_layers(text), origin)
            return
        self._within.append(origin)
        for number, line, tokens in _token_lines(text):
            self._place = f"{origin}, line {number}" if self.numbered or len(self._within) > 1 else origin
            try:
                self._line(line, tokens, origin)
            except _TooManyError:
                raise
            except ConvbenchError as error:
                self._refuse(error, line)
        self._within.pop()
        self._table = None

    def _whole(self, found: Iterator[tuple[int, FoundProblem | NotTaken | ConvbenchError]], origin: str) -> None:
        for number, one in found:
            self._place = f"{origin}, line {number}"
            if isinstance(one, ConvbenchError):
                self._refuse(one, str(one))
            else:
                self._take(one)

    def _refuse(self, error: ConvbenchError, line: str) -> None:
        """Leave a line out that cannot be read; of what is typed it is an error."""
        placed = error if isinstance(error, _PlacedError) else _PlacedError(f"{self._place}: {error}")
        if not self.numbered:
            raise placed
        self.refused = self.refused or [placed]
        if isinstance(error, _NoProblemError):
            self._leave_out("lines without a problem", " ".join(line.split()), LEFT_OUT)
        else:
            self._leave_out("lines that cannot be read", str(error), LEFT_OUT)

    def _line(self, line: str, tokens: Sequence[str], origin: str) -> None:
        text = " ".join(tokens)
        if not text:  # blank, or a comment
            self._table = self._table if line.strip() else None
        elif self._table is not None and not self._is_other(line, tokens):
            if (row := self._table.row(line)) is not None:
                self._take(row)
        elif is_verbose(text):
            self._take_all(read_verbose(text))
        elif miopen.holds_command(text):
            for words in miopen.find_commands(text):
                self._take_all(miopen.read_command(words))
        elif text.startswith("MIOpen"):
            self._leave_out("log lines without a command", text, LEFT_OUT)
        elif self._dump.takes(text):
            self._take_all(self._dump.read(text))
        elif is_profile_row(line):
            self._leave_out(PROFILE_ROW, line.strip())
        elif (columns := table_columns(line)) is not None:
            self._table = columns
            if columns.missing:
                self._leave_out(f"tables without {' and '.join(columns.missing)}, taken for none", line.strip(), NOTED)
        else:
            self._benchdnn(tokens, origin)

    def _is_other(self, line: str, tokens: Sequence[str]) -> bool:
        """Whether a line below a table is not meant as its row."""
        foreign = is_foreign(line) or table_columns(line) is not None or any(one.startswith("--") for one in tokens)
        if foreign and not _is_rule(line):
            self._table = None
            return True
        return False

    def _take_all(self, found: Iterator[FoundProblem | NotTaken]) -> None:
        for one in found:
            self._take(one)

    def _take(self, one: FoundProblem | NotTaken) -> None:
        if isinstance(one, NotTaken):
            self._leave_out(one.kind, one.detail, one.verb)
            return
        self._add(
            one.name or str(one.spec),
            one.spec,
            count=one.count,
            dtype=one.dtype,
            pass_=one.pass_,
            epilogue=one.epilogue,
            seconds=one.seconds,
            again=True,
        )

    def _leave_out(self, kind: str, detail: str, verb: str = "not supported") -> None:
        self.left_out.append(LeftOut(place=self._place, kind=kind, detail=detail[:MOST_DETAIL], verb=verb))

    def _add(
        self,
        name: str,
        spec: ConvSpec,
        *,
        count: int = 1,
        dtype: str | None = None,
        pass_: str | None = None,
        epilogue: str | None = None,
        seconds: float | None = None,
        again: bool = False,
    ) -> None:
        """Add a problem; an existing one is kept, or counted as often as it occurs with `again`."""
        key = Problem(suite=self.suite, name=name, spec=spec, dtype=dtype, pass_=pass_, epilogue=epilogue)
        known = self.problems.get(key)
        each = None if seconds is None else seconds / max(1, count)
        if known is None:
            self.problems[key] = replace(key, count=count, source=self._place, logged_s=each)
        elif again:
            total = known.count + count
            if each is not None and known.logged_s is not None:
                each = (known.logged_s * known.count + each * count) / max(1, total)
            else:
                each = None
            self.problems[key] = replace(known, count=total, logged_s=each)

    def _benchdnn(self, tokens: Sequence[str], origin: str) -> None:
        outside = self._driver
        try:
            self._words(tokens, origin)
        finally:  # a driver holds for its line
            self._driver = outside

    def _words(self, tokens: Sequence[str], origin: str) -> None:
        if "__REPRO:" in tokens:  # what benchdnn prints of a problem that it ran
            tokens = tokens[tokens.index("__REPRO:") + 1 :]
        for token in tokens:
            if token.rpartition("/")[2] == "benchdnn":
                continue
            if token.startswith("-"):
                self._option(token.lstrip("-"), origin)
            elif not DESCRIPTOR.fullmatch(token):
                raise _NoProblemError(
                    f"{one_line(token, 40)!r} is not a problem; a line is a benchdnn descriptor such as {EXAMPLE}, a "
                    f"command such as {miopen.EXAMPLE}, a line of a log or a table (docs/selection.md), or a # comment"
                )
            elif self._driver not in ("", "deconv"):
                self._leave_out("problems of another benchdnn driver", f"--{self._driver} {token}")
            else:
                self._descriptor(token)

    def _option(self, option: str, origin: str) -> None:
        name = option.partition("=")[0].lower()
        holds = name in ("mb", "dir")
        if holds:
            self.settings.unread = name
        self._set(option, origin)
        if holds and self.settings.unread == name:
            self.settings.unread = ""

    def _set(self, option: str, origin: str) -> None:
        name, equals, value = option.partition("=")
        name, values = name.lower(), [one for one in value.split(",") if one]
        match name:
            case "conv":
                self._driver = ""
            case "reset":
                self.settings = _Settings()
            case "mb":
                if not values or not all(one.isdecimal() and len(one) <= MOST_DIGITS for one in values):
                    raise ConvbenchError(f"--{option}: --mb takes batch sizes, such as --mb=2 (0 keeps the line's own)")
                self.settings.batches = [int(one) for one in values]
            case "dir":
                directions = [one.upper() for one in values]
                for one in directions:
                    if one not in DIRECTIONS:
                        raise unknown("--dir", one, DIRECTIONS)
                self.settings.directions = directions
            case "dt" | "cfg":
                self.settings.dtypes = [one_dtype(one) for one in values] or [""]
            case "batch":
                self._batch(value, origin)
            case _ if name in _DRIVERS and not equals:
                self._driver = name
            case _ if name in _TOLD:
                if value.strip(",").lower() not in ("", "any", "strict", "false", "undef"):
                    self._leave_out(f"--{name} ({_TOLD[name]})", f"--{option}")
            case _ if name not in _KNOBS and not re.fullmatch("v[0-9]+", name):
                known = {"mb", "dir", "dt", "cfg", "batch", "reset", *_KNOBS, *_TOLD}
                error = ConvbenchError if name else _NoProblemError
                raise error(f"{unknown('benchdnn option', name, known)}; delete it if it does not change what runs")

    def _batch(self, name: str, origin: str) -> None:
        path = Path(origin).parent / name
        if str(path) in self._within:
            raise ConvbenchError(f"--batch={name} includes itself: {' -> '.join(self._within)}")
        self._files += 1
        if self._files > MOST_FILES:
            raise _TooManyError(
                f"{self._place}: --batch={name} includes more than {MOST_FILES:,} files; name the ones you need"
            )
        place = self._place
        self.read(read_text(path, f"--batch={name}"), str(path))
        self._place = place

    def _descriptor(self, token: str) -> None:
        sizes, name, count = take_apart(token)
        if self.settings.unread:
            self._leave_out(f"problems below a --{self.settings.unread} that cannot be read", token, LEFT_OUT)
            return
        if given(sizes, "d"):
            self._leave_out(THREE_D, token)
            return
        transposed = self._driver == "deconv"
        kinds: list[tuple[str | None, str | None]] = [("dgrad" if transposed else None, None)]
        if self.settings.directions:
            kinds = [*dict.fromkeys(DIRECTIONS[one] for one in self.settings.directions)]
            if transposed:
                kinds = [*dict.fromkeys((TURNED[pass_], "none") for pass_, _ in kinds if pass_)]
        if transposed and "FWD_B" in self.settings.directions:
            self._leave_out("biases of transposed convolutions", "--dir=FWD_B")
        if "BWD_WB" in self.settings.directions:
            self._leave_out("gradients of a bias", "--dir=BWD_WB")
        for batch in self.settings.batches:
            # Its default is 2.
            spec = descriptor_spec({**sizes, "mb": batch or sizes.get("mb", 2)}, transposed=transposed)
            if isinstance(spec, str):
                self._leave_out("problems with inconsistent sizes", f"{spec} in {token}")
                return
            label = f"{name} n={batch}" if name and len(self.settings.batches) > 1 else name
            for dtype in self.settings.dtypes:
                if dtype and dtype not in DTYPES:
                    self._leave_out(OTHER_DTYPES, f"{dtype} for {token}")
                else:
                    for pass_, epilogue in kinds:
                        after = epilogue if pass_ == "fprop" else None
                        self._add(
                            label or str(spec), spec, count=count, dtype=DTYPES.get(dtype), pass_=pass_, epilogue=after
                        )


def read_text(path: Path, what: str, *, log: bool = False) -> str:
    """A text file as it is, less the mark that a spreadsheet may put in front.

    Args:
        path, what: the file, and what it is for.
        log: a byte that is no UTF-8 only costs its line, and UTF-16 is read, which PowerShell writes.
    """
    try:
        data = read_bytes(path, MOST_NBYTES)
        if not log:
            return data.decode("utf-8-sig")
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return data.decode("utf-16")
        if data.count(0) * 20 > len(data):
            raise ValueError("it is not a text file")
        return data.decode("utf-8-sig", errors="replace")
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, or a name with a NUL in it
        raise ConvbenchError(f"cannot read {what}: {cause(error)}; --suite takes a name or a file") from None


def _is_rule(line: str) -> bool:
    return not line.strip(" |:+=-")


def _token_lines(text: str) -> Iterator[tuple[int, str, list[str]]]:
    """Line numbers, lines and words; the words are without comments, a backslash at the end continues the line."""
    kept: list[str] = []
    lines: list[str] = []
    number = 0
    for number, line in enumerate(text.splitlines(), start=1):
        tokens = line.split()
        cut = next((place for place, token in enumerate(tokens) if token.startswith("#")), len(tokens))
        kept += tokens[:cut]
        lines.append(line)
        if kept and kept[-1].endswith("\\"):
            kept[-1:] = [rest] if (rest := kept[-1][:-1]) else []
            lines[-1] = line.rstrip()[:-1]
            continue
        yield number, " ".join(lines), _joined(kept)
        kept, lines = [], []
    if kept:
        yield number, " ".join(lines), _joined(kept)


def _joined(tokens: Sequence[str]) -> list[str]:
    """An option's list may be broken after a comma."""
    joined: list[str] = []
    for token in tokens:
        if joined and joined[-1].startswith("--") and joined[-1].endswith(","):
            joined[-1] += token
        else:
            joined.append(token)
    return joined
