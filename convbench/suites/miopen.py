"""Which problem does an MIOpenDriver command describe, and where is the command in a line?

Command lines are what an application logs with MIOPEN_ENABLE_LOGGING_CMD=1. Letters and defaults are those of MIOpen's
driver/conv_driver.hpp.
"""

import re
from collections.abc import Iterator, Mapping, Sequence

from convbench.dtypes import DTYPE
from convbench.errors import ConvbenchError, unknown
from convbench.spec import ConvSpec
from convbench.suites.descriptors import MOST_DIGITS, TURNED
from convbench.suites.found import IGNORED, OTHER_DTYPES, THREE_D, FoundProblem, NotTaken

FORW_BITS = {1: "fprop", 2: "dgrad", 4: "wgrad"}
EXAMPLE = "MIOpenDriver conv -n 1 -c 64 -H 56 -W 56 -k 64 -y 3 -x 3 -p 1 -q 1"
_DTYPES = {"conv": None, **{one.miopen: name for name, one in DTYPE.items() if one.miopen}}
_OTHER_DTYPES = ("convint8", "convfp8", "convbfp8")
# Flag, long names, default.
_SIZES = {
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
_WORDS = {
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
_TOLD = {
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
_KNOBS = {
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
# Rarer ones of the same kind; the letters of some differ from release to release.
_RARE_KNOBS = frozenset(["gpubuffer_check", "use_hip_graph", "random_seed", "warmup"])
_RARE_SHORT = {"~": "gpubuffer_check"}
_SHORT = {
    **{name: flag for flag, (names, _) in {**_SIZES, **_WORDS}.items() for name in names.split()},
    **{name: flag for flag, name in _KNOBS.items()},
}
_PROGRAM = re.compile(r"MIOpenDriver(?:\.exe)?(?=['\"`\s,]|$)", re.IGNORECASE)
_WORD = re.compile(r"""'([^']*)'|"([^"]*)\"""")
_QUOTES = "\"'`"


def holds_command(text: str) -> bool:
    """Whether a text names the program."""
    return bool(_PROGRAM.search(text))


def find_commands(text: str) -> Iterator[list[str]]:
    """The words after each MIOpenDriver in a line: bare, in quotes, or as a Python list of strings."""
    found = [*_PROGRAM.finditer(text)]
    for place, match in enumerate(found):
        before = text[found[place - 1].end() if place else 0 : match.start()]
        after = text[match.end() : found[place + 1].start() if place + 1 < len(found) else len(text)]
        if after[:1] in ("'", '"') and after[1:].lstrip().startswith(","):  # ['./bin/MIOpenDriver', 'conv', '-n', '1']
            yield [one or other for one, other in _WORD.findall(after[1:].partition("]")[0])]
            continue
        quote = next((one for one in _QUOTES if before.count(one) % 2), None)
        if after[:1] and after[:1] in _QUOTES:  # the program alone is quoted
            after = after[1:]
        elif quote is not None:
            after = after.partition(quote)[0]
        yield list(_until_the_shell(after.split()))


def _until_the_shell(words: Sequence[str]) -> Iterator[str]:
    """The words of the command, without what the shell or a sentence adds."""
    for word in words:
        if re.match(r"[0-9]*[<>]|&|[|]", word):
            return
        yield from [bare] if (bare := word.rstrip(";")) else []
        if word.endswith(";"):
            return


def read_command(words: Sequence[str]) -> Iterator[FoundProblem | NotTaken]:
    """What a command runs, one problem for each pass.

    Raises:
        ConvbenchError: it cannot be read.
    """
    driver = words[0] if words else ""
    if driver in _OTHER_DTYPES:
        yield NotTaken(kind=OTHER_DTYPES, detail=driver)
        return
    if driver not in _DTYPES:
        if not driver or driver.startswith("-"):
            raise ConvbenchError(f"MIOpenDriver is followed by {driver!r}; write a line such as {EXAMPLE}")
        yield NotTaken(kind="MIOpenDriver commands that are not a convolution", detail=driver)
        return
    sizes, texts, ignored = _flags(words[1:])
    for flag in ignored:
        yield NotTaken(kind="MIOpenDriver flags that change no problem", detail=flag, verb=IGNORED)
    if sizes["_"] == 3:
        yield NotTaken(kind=THREE_D, detail="--spatial_dim 3")
        return
    if sizes["_"] != 2:
        raise ConvbenchError(f"--spatial_dim {sizes['_']}: MIOpen has 2 and 3; omit it for 2")
    for flag, allowed in (("m", ("conv", "trans")), ("z", ("default", "same", "valid"))):
        if texts[flag] not in allowed:
            raise unknown(_WORDS[flag][0], texts[flag], allowed)
    if not 0 <= sizes["F"] <= 7:
        raise ConvbenchError(
            f"-F {sizes['F']}: give a sum of 1 (forward), 2 (backward data) and 4 (backward weights), or 0 for all"
        )
    transposed, bias = texts["m"] == "trans", texts["b"] == "1"
    for flag, meaning in _TOLD.items():
        name, default = _WORDS[flag]
        if texts[flag] != default:
            yield NotTaken(kind=f"--{name} ({meaning})", detail=texts[flag])
    if transposed and bias:
        yield NotTaken(kind="biases of transposed convolutions", detail="--bias 1")
    spec = _spec(sizes, texts["z"], transposed=transposed)
    passes = [one for bit, one in FORW_BITS.items() if sizes["F"] & bit or sizes["F"] == 0]
    for one in passes:
        pass_ = TURNED[one] if transposed else one
        yield FoundProblem(
            spec=spec,
            dtype=_DTYPES[driver],
            pass_=None if passes == ["fprop"] and pass_ == "fprop" else pass_,
            epilogue="bias" if bias and one == pass_ == "fprop" else None,
        )


def _flags(tokens: Sequence[str]) -> tuple[dict[str, int], dict[str, str], list[str]]:
    """Sizes and words by their short flag, defaults filled in, and the rarer flags that change neither."""
    sizes = {flag: default for flag, (_, default) in _SIZES.items()}
    words = {flag: default for flag, (_, default) in _WORDS.items()}
    known = {*_SHORT.values()}
    ignored = []
    place = 0
    while place < len(tokens):
        token = tokens[place]
        name = token[2:] if token.startswith("--") else _RARE_SHORT.get(token[1:], "")
        flag = _SHORT.get(name, "") if token.startswith("--") else token[1:]
        rare = name in _RARE_KNOBS
        if not token.startswith("-") or (flag not in known and not rare):
            near = unknown("MIOpenDriver flag", token, [*(f"--{one}" for one in _SHORT)])
            raise ConvbenchError(f"{near}; write it like {EXAMPLE}")
        if place + 1 == len(tokens):
            raise ConvbenchError(f"{token} has no value; write it like {EXAMPLE}")
        value = tokens[place + 1]
        if rare:
            ignored.append(token)
        elif flag in sizes:
            if not value.isdecimal() or len(value) > MOST_DIGITS:
                raise ConvbenchError(f"{token} {value}: it takes an integer; write it like {EXAMPLE}")
            sizes[flag] = int(value)
        elif flag in words:
            words[flag] = value
        place += 2
    return sizes, words, ignored


def _spec(sizes: Mapping[str, int], pad_mode: str, *, transposed: bool) -> ConvSpec:
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
