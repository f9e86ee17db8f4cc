"""Which problems do lines of benchdnn and MIOpenDriver describe?

benchdnn is oneDNN's benchmark: its files hold descriptors (`mb1ic64ih56oc64oh56kh3ph1n"name"`) and
options that stay in force for the lines below them. MIOpenDriver is MIOpen's: its command lines
are what an application logs with MIOPEN_ENABLE_LOGGING_CMD=1. Letters and defaults are those of
oneDNN's tests/benchdnn/conv/conv_aux.cpp and of MIOpen's driver/conv_driver.hpp.

A transposed convolution is the dgrad of a problem. What a line asks for and convbench does not
have (3-D, int8) is left out and told; what cannot be read at all is an error with its place.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from convbench.case import Problem
from convbench.dtypes import DTYPE
from convbench.errors import ConvbenchError, cause, unknown
from convbench.files import read_bytes
from convbench.spec import ConvSpec, Pair

# What a direction computes: (pass, epilogue).
DIRECTIONS = {
    "FWD_B": ("fprop", "bias"),
    "FWD_D": ("fprop", "none"),
    "FWD_I": ("fprop", "none"),
    "BWD_D": ("dgrad", "none"),
    "BWD_W": ("wgrad", "none"),
    "BWD_WB": ("wgrad", "bias"),
}
# What the passes of a transposed convolution are of the forward problem that it is the dgrad of.
_TURNED = {"fprop": "dgrad", "dgrad": "fprop", "wgrad": "wgrad"}
FORW_BITS = {1: "fprop", 2: "dgrad", 4: "wgrad"}
MOST_NBYTES = 64 * 2**20  # of a file; benchdnn's own inputs, all together, are 2 MB
MOST_FILES = 1000  # that --batch lines lead to: ten files that name each other ten times are ten billion
MOST_DIGITS = 9

DTYPES = {one.benchdnn: name for name, one in DTYPE.items() if one.benchdnn}

_SIZES = "g mb ic id ih iw oc od oh ow kd kh kw sd sh sw pd ph pw dd dh dw".split()
_SIZE = re.compile(rf"({'|'.join(_SIZES)})([0-9]{{1,9}})")
_NAME = r'n(?:"[^"]*"|[^",\s]*)(?:\*[0-9]+)?'
_DESCRIPTOR = re.compile(rf"(?=\S*ic[0-9])(?:_|(?:{'|'.join(_SIZES)})[0-9]+)+(?:{_NAME})?", re.ASCII)
_BENCHDNN_EXAMPLE = 'mb1ic64ih56oc64oh56kh3ph1n"name"'

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

_MIOPEN_EXAMPLE = "MIOpenDriver conv -n 1 -c 64 -H 56 -W 56 -k 64 -y 3 -x 3 -p 1 -q 1"
_MIOPEN_DTYPES = {"conv": None, **{one.miopen: name for name, one in DTYPE.items() if one.miopen}}
_MIOPEN_OTHER_DTYPES = ("convint8", "convfp8", "convbfp8")
# Flag, long names, default.
_MIOPEN_SIZES = {
    "n": ("batchsize", 100),
    "c": ("in_channels", 3),
    "H": ("in_h", 32),
    "W": ("in_w", 32),
    "k": ("out_channels", 32),
    "y": ("fil_h", 3),
    "x": ("fil_w", 3),
    "p": ("pad_h", 0),
    "q": ("pad_w", 0),
    "u": ("conv_stride_h conv_stride_0", 1),
    "v": ("conv_stride_w conv_stride_1", 1),
    "l": ("dilation_h", 1),
    "j": ("dilation_w", 1),
    "g": ("group_count", 1),
    "F": ("forw", 0),
    "_": ("spatial_dim", 2),
    "Y": ("trans_output_pad_h", 0),
    "X": ("trans_output_pad_w", 0),
}
_MIOPEN_WORDS = {
    "m": ("mode", "conv"),
    "z": ("pad_mode", "default"),
    "I": ("in_layout", "NCHW"),
    "O": ("out_layout", "NCHW"),
    "f": ("fil_layout", "NCHW"),
    "Z": ("tensor_vect", "0"),
    "r": ("pad_val", "0"),
    "b": ("bias", "0"),
    "U": ("in_cast_type", "-1"),
    "T": ("out_cast_type", "-1"),
    "R": ("wei_cast_type", "-1"),
}
_MIOPEN_TOLD = {
    "I": "a memory layout; use --layout",
    "O": "a memory layout; use --layout",
    "f": "a memory layout; use --layout",
    "Z": "vectorised tensors",
    "r": "padding that is not zero",
    "U": "a cast",
    "T": "a cast",
    "R": "a cast",
}
# What says how to run, search, check or print, or belongs to 3-D and transposed problems alone.
_MIOPEN_KNOBS = {
    "i": "iter",
    "V": "verify",
    "C": "verification_cache",
    "t": "time",
    "w": "wall",
    "s": "search",
    "P": "printconv",
    "o": "dump_output",
    "d": "in_data",
    "e": "weights",
    "a": "in_bias",
    "D": "dout_data",
    "S": "solution",
    "G": "gpualloc",
    "L": "vector_length",
    "!": "in_d",
    "@": "fil_d",
    "#": "conv_stride_d",
    "$": "pad_d",
    "^": "dilation_d",
    "%": "trans_output_pad_d",
}
_MIOPEN_SHORT = {
    **{name: flag for flag, (names, _) in {**_MIOPEN_SIZES, **_MIOPEN_WORDS}.items() for name in names.split()},
    **{name: flag for flag, name in _MIOPEN_KNOBS.items()},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """An unsupported request of a line.

    Attributes:
        place: the file and the line.
        kind: text shared by all lines of the kind.
        detail: the text of this line.
    """

    place: str
    kind: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignProblems:
    """The problems of a suite, and what its lines request beyond them."""

    problems: tuple[Problem, ...]
    left_out: tuple[LeftOut, ...] = ()


def is_foreign(text: str) -> bool:
    """Whether a text holds a benchdnn descriptor or an MIOpenDriver command."""
    return any(_is_miopen(token) or _DESCRIPTOR.fullmatch(token) for token in text.split())


def read_foreign(text: str, *, suite: str, origin: str, numbered: bool = True) -> ForeignProblems:
    """The problems that the lines of a text name, in order.

    A command that occurs several times in a log is one problem with that count.

    Args:
        text: the lines.
        suite: the suite the problems belong to.
        origin: the file, beside which `--batch=FILE` is looked for, or the option.
        numbered: whether locations have line numbers.

    Raises:
        ConvbenchError: a line that cannot be read, with its place.
    """
    reader = _Reader(suite=suite, numbered=numbered)
    reader.read(text, origin)
    return ForeignProblems(problems=tuple(reader.problems.values()), left_out=tuple(reader.left_out))


class _PlacedError(ConvbenchError):
    """Its message already has the file and line."""


@dataclass(slots=True, kw_only=True)
class _Settings:
    """benchdnn options that stay in force until replaced or reset."""

    batches: Sequence[int] = (0,)  # 0: what the descriptor says
    dtypes: Sequence[str] = ("",)
    directions: Sequence[str] = ()


@dataclass(slots=True, kw_only=True)
class _Reader:
    suite: str
    numbered: bool
    settings: _Settings = field(default_factory=_Settings)
    problems: dict[Problem, Problem] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    _driver: str = ""  # of benchdnn: "" is conv
    _within: list[str] = field(default_factory=list)
    _files: int = 0
    _place: str = ""

    def read(self, text: str, origin: str) -> None:
        self._within.append(origin)
        for number, tokens in _token_lines(text):
            self._place = f"{origin}, line {number}" if self.numbered or len(self._within) > 1 else origin
            try:
                self._line(tokens, origin)
            except _PlacedError:  # in a file that this line names
                raise
            except ConvbenchError as error:
                raise _PlacedError(f"{self._place}: {error}") from None
        self._within.pop()

    def _line(self, tokens: Sequence[str], origin: str) -> None:
        start = next((place for place, token in enumerate(tokens) if _is_miopen(token)), None)
        if start is not None:
            self._miopen(tokens[start + 1 :])
        elif tokens[0].startswith("MIOpen"):
            self._leave_out("log lines without a command", " ".join(tokens))
        else:
            self._benchdnn(tokens, origin)

    def _leave_out(self, kind: str, detail: str) -> None:
        self.left_out.append(LeftOut(place=self._place, kind=kind, detail=detail))

    def _add(
        self,
        name: str,
        spec: ConvSpec,
        *,
        count: int = 1,
        dtype: str | None = None,
        pass_: str | None = None,
        epilogue: str | None = None,
        again: bool = False,
    ) -> None:
        """Add a problem; an existing one is kept, or counted once more with `again`."""
        key = Problem(suite=self.suite, name=name, spec=spec, dtype=dtype, pass_=pass_, epilogue=epilogue)
        known = self.problems.get(key)
        if known is None:
            self.problems[key] = replace(key, count=count, source=self._place)
        elif again:
            self.problems[key] = replace(known, count=known.count + 1)

    def _benchdnn(self, tokens: Sequence[str], origin: str) -> None:
        outside = self._driver
        for token in tokens:
            if token.rpartition("/")[2] in ("benchdnn", "__REPRO:"):
                continue
            if token.startswith("-"):
                self._option(token.lstrip("-"), origin)
            elif not _DESCRIPTOR.fullmatch(token):
                raise ConvbenchError(
                    f"{token!r} is not a problem; a line is a benchdnn descriptor such as {_BENCHDNN_EXAMPLE}, a "
                    f"command "
                    f"such as {_MIOPEN_EXAMPLE}, or a # comment; filter a log with 'grep MIOpenDriver'"
                )
            elif self._driver not in ("", "deconv"):
                self._leave_out("problems of another benchdnn driver", f"--{self._driver} {token}")
            else:
                self._descriptor(token)
        self._driver = outside

    def _option(self, option: str, origin: str) -> None:
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
                self.settings.dtypes = [_dtype(one) for one in values] or [""]
            case "batch":
                self._batch(value, origin)
            case _ if name in _DRIVERS and not equals:
                self._driver = name
            case _ if name in _TOLD:
                if value.strip(",").lower() not in ("", "any", "strict", "false", "undef"):
                    self._leave_out(f"--{name} ({_TOLD[name]})", f"--{option}")
            case _ if name not in _KNOBS and not re.fullmatch("v[0-9]+", name):
                known = {"mb", "dir", "dt", "cfg", "batch", "reset", *_KNOBS, *_TOLD}
                raise ConvbenchError(
                    f"{unknown('benchdnn option', name, known)}; delete it if it does not change what runs"
                )

    def _batch(self, name: str, origin: str) -> None:
        path = Path(origin).parent / name
        if str(path) in self._within:
            raise ConvbenchError(f"--batch={name} includes itself: {' -> '.join(self._within)}")
        self._files += 1
        if self._files > MOST_FILES:
            raise ConvbenchError(f"--batch={name} includes more than {MOST_FILES:,} files; name the ones you need")
        place = self._place
        self.read(read_text(path, f"--batch={name}"), str(path))
        self._place = place

    def _descriptor(self, token: str) -> None:
        sizes, name, count = _take_apart(token)
        if _given(sizes, "d"):
            self._leave_out("3-D problems", token)
            return
        transposed = self._driver == "deconv"
        kinds: list[tuple[str | None, str | None]] = [("dgrad" if transposed else None, None)]
        if self.settings.directions:
            kinds = [*dict.fromkeys(DIRECTIONS[one] for one in self.settings.directions)]
            if transposed:
                kinds = [*dict.fromkeys((_TURNED[pass_], "none") for pass_, _ in kinds if pass_)]
        if transposed and "FWD_B" in self.settings.directions:
            self._leave_out("biases of transposed convolutions", "--dir=FWD_B")
        if "BWD_WB" in self.settings.directions:
            self._leave_out("gradients of a bias", "--dir=BWD_WB")
        for batch in self.settings.batches:
            # Its default is 2.
            spec = _descriptor_spec({**sizes, "mb": batch or sizes.get("mb", 2)}, transposed=transposed)
            if isinstance(spec, str):
                self._leave_out("problems with inconsistent sizes", f"{spec} in {token}")
                return
            label = f"{name} n={batch}" if name and len(self.settings.batches) > 1 else name
            for dtype in self.settings.dtypes:
                if dtype and dtype not in DTYPES:
                    self._leave_out("data types that convbench does not support", f"{dtype} for {token}")
                else:
                    for pass_, epilogue in kinds:
                        after = epilogue if pass_ == "fprop" else None
                        self._add(
                            label or str(spec), spec, count=count, dtype=DTYPES.get(dtype), pass_=pass_, epilogue=after
                        )

    def _miopen(self, tokens: Sequence[str]) -> None:
        driver = tokens[0] if tokens else ""
        if driver in _MIOPEN_OTHER_DTYPES:
            self._leave_out("data types that convbench does not support", driver)
            return
        if driver not in _MIOPEN_DTYPES:
            if not driver or driver.startswith("-"):
                raise ConvbenchError(f"MIOpenDriver is followed by {driver!r}; write a line such as {_MIOPEN_EXAMPLE}")
            self._leave_out("MIOpenDriver commands that are not a convolution", driver)
            return
        sizes, words = _miopen_flags(tokens[1:])
        if sizes["_"] == 3:
            self._leave_out("3-D problems", "--spatial_dim 3")
            return
        if sizes["_"] != 2:
            raise ConvbenchError(f"--spatial_dim {sizes['_']}: MIOpen has 2 and 3; omit it for 2")
        for flag, allowed in (("m", ("conv", "trans")), ("z", ("default", "same", "valid"))):
            if words[flag] not in allowed:
                raise unknown(_MIOPEN_WORDS[flag][0], words[flag], allowed)
        passes = [one for bit, one in FORW_BITS.items() if sizes["F"] & bit or sizes["F"] == 0]
        if not 0 <= sizes["F"] <= 7:
            raise ConvbenchError(
                f"-F {sizes['F']}: give a sum of 1 (forward), 2 (backward data) and 4 (backward weights), or 0 for all"
            )
        for flag, meaning in _MIOPEN_TOLD.items():
            name, default = _MIOPEN_WORDS[flag]
            if words[flag] != default:
                self._leave_out(f"--{name} ({meaning})", words[flag])
        if words["m"] == "trans" and words["b"] == "1":
            self._leave_out("biases of transposed convolutions", "--bias 1")
        spec = _miopen_spec(sizes, words["z"], transposed=words["m"] == "trans")
        for one in passes:
            pass_ = _TURNED[one] if words["m"] == "trans" else one
            self._add(
                str(spec),
                spec,
                dtype=_MIOPEN_DTYPES[driver],
                pass_=None if passes == ["fprop"] and pass_ == "fprop" else pass_,
                epilogue="bias" if words["b"] == "1" and one == pass_ == "fprop" else None,
                again=True,
            )


def read_text(path: Path, what: str) -> str:
    """A text file as it is, less the mark that a spreadsheet may put in front."""
    try:
        return read_bytes(path, MOST_NBYTES).decode("utf-8-sig")
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, or a name with a NUL in it
        raise ConvbenchError(f"cannot read {what}: {cause(error)}; --suite takes a name or a file") from None


def _is_miopen(token: str) -> bool:
    return token.rpartition("/")[2] == "MIOpenDriver"


def _token_lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """Line numbers and words; comments are removed, a backslash at the end continues the line."""
    kept: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        tokens = line.split()
        cut = next((place for place, token in enumerate(tokens) if token.startswith("#")), len(tokens))
        kept += tokens[:cut]
        if kept and kept[-1].endswith("\\"):
            kept[-1:] = [rest] if (rest := kept[-1][:-1]) else []
            continue
        if kept:
            yield number, _joined(kept)
        kept = []
    if kept:
        yield len(text.splitlines()), _joined(kept)


def _joined(tokens: Sequence[str]) -> list[str]:
    """An option's list may be broken after a comma."""
    joined: list[str] = []
    for token in tokens:
        if joined and joined[-1].startswith("--") and joined[-1].endswith(","):
            joined[-1] += token
        else:
            joined.append(token)
    return joined


def _take_apart(token: str) -> tuple[dict[str, int], str, int]:
    """Sizes by their keys, the name, and how often it occurs (`n"name*3"` or `n"name"*3`)."""
    sizes: dict[str, int] = {}
    place = 0
    while place < len(token) and token[place] != "n":
        if token[place] == "_":
            place += 1
            continue
        match = _SIZE.match(token, place)
        if match is None:
            raise ConvbenchError(f"a size in {token!r} has more than 9 digits; write it like {_BENCHDNN_EXAMPLE}")
        if match[1] in sizes:
            raise ConvbenchError(f"{match[1]} occurs twice in {token!r}; write it like {_BENCHDNN_EXAMPLE}")
        sizes[match[1]] = int(match[2])
        place = match.end()
    name, star, count = token[place + 1 :].replace('"', "").rpartition("*")
    if not star or not count.isdecimal() or len(count) > MOST_DIGITS:
        return sizes, token[place + 1 :].replace('"', ""), 1
    return sizes, name, int(count)


def _given(sizes: Mapping[str, int], axis: str) -> bool:
    """Whether a descriptor sets anything for an axis; `sw1` and `pw0` alone do not."""
    return any(sizes.get(letter + axis, 0) for letter in "iokdp") or sizes.get("s" + axis, 1) != 1


def _descriptor_spec(sizes: dict[str, int], *, transposed: bool = False) -> ConvSpec | str:
    """The problem, or what its output sizes say against any; of a transposed one the problem whose dgrad it is."""
    if _given(sizes, "w") and not _given(sizes, "h"):  # 1-D: a single row
        sizes = sizes | dict.fromkeys(("ih", "oh", "kh", "sh"), 1) | dict.fromkeys(("ph", "dh"), 0)
    if not _given(sizes, "w"):  # square: benchdnn takes either all of w or none
        sizes = sizes | {letter + "w": sizes[letter + "h"] for letter in "iokspd" if letter + "h" in sizes}
    for needed in ("ic", "oc", "ih", "kh", "iw", "kw"):
        if not sizes.get(needed):
            hint = " (give all keys for w, or none for a square)" if needed.endswith("w") else ""
            raise ConvbenchError(f"{needed} is missing{hint}; write it like {_BENCHDNN_EXAMPLE}")
    if transposed:
        sizes = sizes | {"ic": sizes["oc"], "oc": sizes["ic"]}
        for axis in "hw":
            image = (sizes[f"i{axis}"] - 1) * sizes.get(f"s{axis}", 1) + _extent(sizes, axis)
            made = sizes.get(f"o{axis}", image - 2 * sizes.get(f"p{axis}", 0))
            sizes = sizes | {f"i{axis}": made, f"o{axis}": sizes[f"i{axis}"]}
    (top, bottom), (left, right) = (_padding(sizes, axis) for axis in "hw")
    if min(top, bottom, left, right) < 0:
        return "an output that leaves rows or columns of the input unread"
    return ConvSpec(
        n=sizes["mb"],
        c=sizes["ic"],
        h=sizes["ih"],
        w=sizes["iw"],
        k=sizes["oc"],
        r=sizes["kh"],
        s=sizes["kw"],
        stride=(sizes.get("sh", 1), sizes.get("sw", 1)),
        padding=(top, bottom, left, right),
        dilation=(sizes.get("dh", 0) + 1, sizes.get("dw", 0) + 1),  # its dense kernel has dilation 0
        groups=sizes.get("g", 1),
    )


def _padding(sizes: Mapping[str, int], axis: str) -> Pair:
    """In front as it is given, else half of what the output size asks for, else none; at the end what it leaves over.

    Equal where that gives the output size too, for a stride may leave columns unread.
    """
    extent = _extent(sizes, axis)
    size, stride, out = sizes[f"i{axis}"], sizes.get(f"s{axis}", 1), sizes.get(f"o{axis}", 0)
    both = (out - 1) * stride - size + extent
    front = sizes.get(f"p{axis}", int(both / 2) if out else 0)  # towards zero, as benchdnn
    if not out or (size + 2 * front - extent) // max(1, stride) + 1 == out:
        return (front, front)
    return (front, both - front)


def _extent(sizes: Mapping[str, int], axis: str) -> int:
    """Rows or columns that the dilated kernel spans."""
    return (sizes[f"k{axis}"] - 1) * (sizes.get(f"d{axis}", 0) + 1) + 1


def _dtype(config: str) -> str:
    """One name where source, weights and destination have one type; else the text as it is."""
    parts = config.lower().removesuffix("_wino").split(":")
    parts = re.findall("bf16", parts[0]) if re.fullmatch("(bf16){3}", parts[0]) else parts
    return parts[0] if len(set(parts)) == 1 else config


def _miopen_flags(tokens: Sequence[str]) -> tuple[dict[str, int], dict[str, str]]:
    """Sizes and words by their short flag, defaults filled in."""
    sizes = {flag: default for flag, (_, default) in _MIOPEN_SIZES.items()}
    words = {flag: default for flag, (_, default) in _MIOPEN_WORDS.items()}
    known = {*_MIOPEN_SHORT.values()}
    place = 0
    while place < len(tokens):
        token = tokens[place]
        flag = _MIOPEN_SHORT.get(token[2:], "") if token.startswith("--") else token[1:]
        if not token.startswith("-") or flag not in known:
            near = unknown("MIOpenDriver flag", token, [*(f"--{name}" for name in _MIOPEN_SHORT)])
            raise ConvbenchError(f"{near}; write it like {_MIOPEN_EXAMPLE}")
        if place + 1 == len(tokens):
            raise ConvbenchError(f"{token} has no value; write it like {_MIOPEN_EXAMPLE}")
        value = tokens[place + 1]
        if flag in sizes:
            if not value.isdecimal() or len(value) > MOST_DIGITS:
                raise ConvbenchError(f"{token} {value}: it takes an integer; write it like {_MIOPEN_EXAMPLE}")
            sizes[flag] = int(value)
        elif flag in words:
            words[flag] = value
        place += 2
    return sizes, words


def _miopen_spec(sizes: Mapping[str, int], pad_mode: str, *, transposed: bool) -> ConvSpec:
    padding = (sizes["p"], sizes["q"])
    dense = not transposed and ((sizes["l"], sizes["j"]) == (1, 1) or (sizes["y"], sizes["x"]) == (1, 1))
    if pad_mode == "valid" and dense:
        padding = (0, 0)
    elif pad_mode == "same" and dense:  # half of what "same" asks for, on both sides
        padding = (_same(sizes["H"], sizes["y"], sizes["u"]), _same(sizes["W"], sizes["x"], sizes["v"]))
    h, w, channels = sizes["H"], sizes["W"], (sizes["c"], sizes["k"])
    if transposed:  # the forward problem has what it makes for its input
        h = (h - 1) * sizes["u"] - 2 * padding[0] + sizes["l"] * (sizes["y"] - 1) + 1 + sizes["Y"]
        w = (w - 1) * sizes["v"] - 2 * padding[1] + sizes["j"] * (sizes["x"] - 1) + 1 + sizes["X"]
        channels = (sizes["k"], sizes["c"])
    return ConvSpec(
        n=sizes["n"],
        c=channels[0],
        h=h,
        w=w,
        k=channels[1],
        r=sizes["y"],
        s=sizes["x"],
        stride=(sizes["u"], sizes["v"]),
        padding=padding,
        dilation=(sizes["l"], sizes["j"]),
        groups=max(sizes["g"], 1),
    )


def _same(size: int, taps: int, stride: int) -> int:
    rest = size % stride if stride else 0
    return max(taps - (rest or stride), 0) // 2
