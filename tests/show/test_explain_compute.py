"""The page's own arithmetic against torch and the walk: sizes, patches, outputs, gradients, costs, quiz answers."""

import re
from dataclasses import asdict, replace
from fractions import Fraction
from functools import cache
from itertools import product
from math import ceil, log2, prod
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from convbench import ConvSpec
from convbench.errors import ConvbenchError
from convbench.explain.algorithms.catalogue import choose, follow
from convbench.explain.algorithms.trace import Trace
from convbench.explain.backward import backward
from convbench.explain.backward import gradient as backward_gradient
from convbench.explain.steps import Walk
from convbench.explain.walk import choose_cell, small_integers, walk
from convbench.show.explain_page import trace_of
from convbench.verify.oracle import count_terms
from tests.show.page_engine import Page
from tests.strategies import specs

NOTE = "n1c1h4w4k1r2s2"
SHAPES = [
    NOTE,
    "n2c4h7w9k6r3s2_st2x1_pd1x0_dl1x2_g2",
    "n1c1h8w8k1r2s2_st3",  # rows that no output reads
    "n1c1h16w16k1r3s3_pd1",
    "n2c3h5w6k4r3s3_pd1",
    "n1c2h9w9k2r1s5_pd0x2_g2",
    "n1c3h6w5k2r5s4",
    "n3c6h5w5k6r3s3_pd1_g6",  # depthwise
    "n1c2h3w3k2r1s1_pd2",  # outputs without any product
    "n1c1h1w7k3r1s3_st1x2_pd0x3",
    "n1c2h2w3k2r5s4_pd2x1",  # the kernel is larger than x
    "n1c1h2w2k1r2s2_st1x3_pd5x4_dl3x2",  # more padding than x has rows
    "n2c5h4w3k3r1s1",
    "n1c2h7w6k4r2s3_dl3x2_g2",
    "n1c1h4w4k1r2s2_pd0x1x0x1",  # padding that keeps the size
    "n2c4h7w6k4r3s2_st2x1_pd1x2x3x0_dl1x2_g2",
    "n1c2h1w5k1r4s3_st1x2_pd0x3x2x0",  # y reads only padding at its end, and x has one row
]
MODES = ("zeros", "reflect", "replicate", "circular")
# As the page names them, and as the catalogue does.
NAMES = {
    "loops": "loops",
    "unfold": "unfold-matmul",
    "implicit": "implicit-gemm",
    "shift": "shift-and-add",
    "toeplitz": "toeplitz",
    "winograd": "winograd",
    "fft": "fft",
}
COMPUTE = "(shape, parts, options) => convbench.compute({ ...convbench.parse(shape), ...parts }, options)"


@pytest.fixture(scope="module")
def page() -> Page:
    return Page()


@cache
def walked(shape: str, seed: int = 0) -> Walk:
    spec = ConvSpec.parse(shape)
    return walk(*small_integers(spec, seed), spec, choose_cell(spec))


def flat(tensor: Tensor) -> list[float]:
    found: list[float] = tensor.flatten().tolist()
    return found


# Any setting, against torch alone.


@st.composite
def problems(draw: st.DrawFn) -> tuple[ConvSpec, str, int]:
    """A problem, how it is padded, and the seed of its numbers."""
    spec = draw(specs(largest=5, least_batch=1, any_padding=True))
    if draw(st.booleans()):
        spec = replace(spec, stride=(1, 1), dilation=(1, 1))  # as Winograd needs it
    pads = list(zip(map(max, spec.padding, spec.end), (spec.h, spec.w), strict=True))
    legal = {"reflect": all(pad < size for pad, size in pads), "circular": all(pad <= size for pad, size in pads)}
    mode = draw(st.sampled_from([mode for mode in MODES if legal.get(mode, True)]))
    return spec, mode, draw(st.just(0) | st.integers(1, 2**32 - 1))


def by_torch(spec: ConvSpec, mode: str, seed: int, gradient: str) -> dict[str, Tensor]:
    """What the page should compute."""
    x, w = small_integers(spec, seed)
    x.requires_grad_()
    w.requires_grad_()
    top, bottom, left, right = spec.sides
    pads = (left, right, top, bottom)

    def pad(image: Tensor) -> Tensor:
        return F.pad(image, pads) if mode == "zeros" else F.pad(image, pads, mode=mode)

    y = F.conv2d(pad(x), w, None, spec.stride, 0, spec.dilation, spec.groups)
    size = (spec.r, spec.s)
    patches = F.unfold(pad(x), size, spec.dilation, 0, spec.stride)
    ones = gradient == "ones" or (str(spec), mode, seed) == (NOTE, "zeros", 0)
    g = backward_gradient(padded_before(spec), seed, ones=ones)
    dx, dw = torch.autograd.grad(y, (x, w), g)
    one = torch.ones((1, 1, spec.h, spec.w), dtype=torch.float64, requires_grad=True)
    (overlaps,) = torch.autograd.grad(F.unfold(pad(one), size, spec.dilation, 0, spec.stride).sum(), one)
    # Each pixel alone through a kernel of ones: how many taps of an output read it.
    basis = torch.eye(spec.h * spec.w, dtype=torch.float64).reshape(-1, 1, spec.h, spec.w)
    reads = F.conv2d(pad(basis), torch.ones((1, 1, *size), dtype=torch.float64), None, spec.stride, 0, spec.dilation)
    tensors = {"x": x, "w": w, "y": y, "patches": patches, "dx": dx, "dw": dw, "overlaps": overlaps, "reads": reads}
    return {name: tensor.detach() for name, tensor in tensors.items()}


def padded_before(spec: ConvSpec) -> ConvSpec:
    """The same convolution over x with all its padding."""
    height, width = spec.padded
    return replace(spec, h=height, w=width, padding=(0, 0), padding_end=None)


SETTINGS: dict[str, Any] = {
    "setting": problems(),
    "gradient": st.sampled_from(("ones", "terminal")),
    "m": st.sampled_from((None, 2, 3)),
    "place": st.tuples(*[st.integers(0, 10**6)] * 6),
}


@settings(max_examples=15)  # an engine without a compiler takes a third of a second for each
@given(**SETTINGS)
def test_the_page_computes_what_torch_computes(page: Page, **setting: Any) -> None:
    compare_with_torch(page, **setting)


@pytest.mark.program
@settings(max_examples=100)
@given(**SETTINGS)
def test_the_page_computes_what_torch_computes_in_a_hundred_settings(page: Page, **setting: Any) -> None:
    compare_with_torch(page, **setting)


def compare_with_torch(
    page: Page, setting: tuple[ConvSpec, str, int], gradient: str, m: int | None, place: tuple[int, ...]
) -> None:
    spec, mode, seed = setting
    parts, options = {"mode": mode, "seed": seed}, {"gradient": gradient} | ({"m": m} if m else {})
    got = page.evaluate(COMPUTE, str(spec), parts, options)
    want = by_torch(spec, mode, seed, gradient)
    assert (got["p"], got["q"], got["macs"]) == (spec.p, spec.q, spec.macs)
    for name in ("x", "w", "y", "patches", "dx", "dw", "overlaps"):
        assert got[name] == flat(want[name]), name
    for name in NAMES:
        found = got["algorithms"][name]
        if "whyNot" in found:
            assert name == "winograd"
            plain = spec.stride == spec.dilation == (1, 1) and (spec.r, spec.s) != (1, 1)
            assert not plain, found["whyNot"]
        elif name == "fft":  # its roots of unity are no whole numbers
            largest = max(1.0, float(want["y"].abs().max()))
            assert max(abs(a - b) for a, b in zip(found["y"], flat(want["y"]), strict=True)) <= 1e-12 * largest
        else:
            assert found["y"] == flat(want["y"]), name
    check_counts(spec, mode, got["algorithms"], int((want["reads"] != 0).sum()) * spec.c_per_group * spec.k, m)
    check_places(page, spec, parts, want, place)


def check_counts(spec: ConvSpec, mode: str, found: dict[str, Any], nonzeros: int, m: int | None) -> None:
    """For every padding mode; with another than zeros x is padded before, and no tap lies on padding."""
    outputs, (height, width) = prod(spec.y_shape), spec.padded
    inner = spec if mode == "zeros" else padded_before(spec)
    terms = count_terms(inner)
    products, some = spec.n * spec.k * int(terms.sum()), spec.n * spec.k * int((terms > 0).sum())
    for name in ("unfold", "implicit"):
        assert found[name]["multiplications"] == spec.macs
        assert found[name]["additions"] == outputs * (spec.taps - 1)
    assert found["unfold"]["memory"] == spec.patch_matrix_nbytes("fp32")
    loops = found["loops"]
    assert (loops["multiplications"], loops["additions"]) == (products, products - some)
    each = spec.n * spec.k * inner.h * inner.w * spec.r * spec.s
    assert found["shift"]["multiplications"] == each * spec.c_per_group
    assert found["shift"]["additions"] == each * (spec.c_per_group - 1) + products // spec.c_per_group - some
    entries = prod(spec.y_shape[1:]) * prod(spec.x_shape[1:])
    assert found["toeplitz"]["memory"] == 4 * entries
    assert found["toeplitz"]["nonzeros"] == nonzeros
    assert found["toeplitz"]["multiplications"] == spec.n * nonzeros
    assert found["toeplitz"]["additions"] == spec.n * nonzeros - some
    points = 2 ** ceil(log2(height)) * 2 ** ceil(log2(width))
    assert found["fft"]["multiplications"] == 4 * points * spec.n * spec.k * spec.c_per_group
    if "whyNot" not in found["winograd"]:
        tiles = [1 if taps == 1 else min(m or max(2, 5 - taps), 7 - taps) for taps in (spec.r, spec.s)]
        points = (tiles[0] + spec.r - 1) * (tiles[1] + spec.s - 1)
        number = spec.n * ceil(spec.p / tiles[0]) * ceil(spec.q / tiles[1])
        assert found["winograd"]["multiplications"] == number * points * spec.k * spec.c_per_group


def check_places(
    page: Page, spec: ConvSpec, parts: dict[str, Any], want: dict[str, Tensor], place: tuple[int, ...]
) -> None:
    """One output with its products, and one pixel with its readers."""
    n, k, p, q, row, column = (i % size for i, size in zip(place, (*spec.y_shape, spec.h, spec.w), strict=True))
    terms, readers = page.evaluate(
        "(shape, parts, cell, row, column) => {"
        "const self = convbench.problem({ ...convbench.parse(shape), ...parts });"
        "return [convbench.terms(self, cell), convbench.readersOf(self, row, column)] }",
        str(spec),
        parts,
        {"n": n, "k": k, "p": p, "q": q},
        row,
        column,
    )
    first = k // spec.k_per_group * spec.c_per_group
    x = want["patches"][n].reshape(spec.c, -1, spec.p * spec.q)[first : first + spec.c_per_group, :, p * spec.q + q]
    mirrored = want["w"][k].flip(1, 2)
    assert [term["x"] for term in terms] == flat(x)
    assert [term["w"] for term in terms] == flat(want["w"][k])
    assert [term["mirrored"] for term in terms] == flat(mirrored)
    assert sum(term["product"] for term in terms) == want["y"][n, k, p, q]
    taps = [(c, r, s) for c in range(spec.c_per_group) for r in range(spec.r) for s in range(spec.s)]
    assert [(term["c"], term["r"], term["s"]) for term in terms] == taps
    assert [term["channel"] for term in terms] == [first + c for c, _, _ in taps]
    lines = [
        (
            p * spec.stride[0] - spec.padding[0] + r * spec.dilation[0],
            q * spec.stride[1] - spec.padding[1] + s * spec.dilation[1],
        )
        for _, r, s in taps
    ]
    assert [(term["row"], term["column"]) for term in terms] == lines
    assert [term["outside"] for term in terms] == [not (0 <= a < spec.h and 0 <= b < spec.w) for a, b in lines]
    reads = want["reads"][row * spec.w + column, 0]
    found = torch.zeros_like(reads)
    for one in readers:
        found[one["p"], one["q"]] += 1
    assert torch.equal(found, reads)
    assert len({tuple(one.values()) for one in readers}) == len(readers)


# The walk's own problems, against what it proved.


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_number_of_the_proved_trace_comes_out_again(page: Page, shape: str, seed: int) -> None:
    found = walked(shape, seed)
    assert found.holds
    trace = trace_of(found)
    numbers = [trace[name] for name in ("x", "w", "y_plane", "patches", "y", "folded", "sums", *("terms", "axes"))]
    many = sum(len(flatten(one)) for one in numbers)
    counts = [found.position, *found.gemm, found.macs, found.multiplications, found.additions, found.on_padding]
    counts += [found.x_nbytes, found.patches_nbytes]
    assert flatten(list(trace["counts"].values())) == counts
    checked = page.evaluate("(trace, seed) => convbench.check(trace, seed)", trace, seed)
    assert checked == {"equal": many + len(counts), "wrong": []}


def flatten(values: Any) -> list[float]:
    if not isinstance(values, list | tuple):
        return [values]
    return [one for value in values for one in flatten(value)]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("x", "x"),
        ("w", "w"),
        ("y", "y"),
        ("y_plane", "y of the filter"),
        ("patches", "patches"),
        ("folded", "folded"),
        ("sums", "sums"),
        ("terms", "terms"),
        ("axes", "axis 0"),
    ],
)
def test_one_number_that_differs_is_told(page: Page, name: str, told: str) -> None:
    trace = trace_of(walked(NOTE))
    spoilt = trace[name]
    while isinstance(spoilt[0], list):
        spoilt = spoilt[0]
    spoilt[-1] += 1
    (wrong,) = page.evaluate("(trace) => convbench.check(trace, 0).wrong", trace)
    assert wrong == f"{told}[{len(spoilt) - 1}] is {spoilt[-1] - 1}, {spoilt[-1]} was proved"


def test_each_count_that_differs_is_told(page: Page) -> None:
    for name in trace_of(walked(NOTE))["counts"]:
        trace = trace_of(walked(NOTE))
        trace["counts"][name] = [2, 2, 2] if name == "gemm" else trace["counts"][name] + 1
        (wrong,) = page.evaluate("(trace) => convbench.check(trace, 0).wrong", trace)
        assert wrong.startswith("counts["), name


@pytest.mark.parametrize("seed", [0, 2**32 - 1])
@pytest.mark.parametrize("shape", SHAPES)
def test_axes_and_both_gradients_are_those_of_the_terminal(page: Page, shape: str, seed: int) -> None:
    found = walked(shape, seed)
    want = backward(found, backward_gradient(found.spec, seed, ones=shape == NOTE and seed == 0))
    assert want.holds
    got = page.evaluate(
        "(shape, seed) => { const { spec } = convbench.problem({ ...convbench.parse(shape), seed }),"
        "self = convbench.problem(spec); const channels = convbench.dom.range([0, spec.c]);"
        "return { axes: spec.axes, dx: convbench.dom.range([0, spec.n]).flatMap((n) => channels.flatMap((c) =>"
        "Array.from(convbench.inputGradient(self, n, c, 'terminal')))), dw: convbench.dom.range([0, spec.k])"
        ".flatMap((k) => Array.from(convbench.filterGradient(self, k, 'terminal'))) } }",
        shape,
        seed,
    )
    assert got["dx"] == flat(want.dx)
    assert got["dw"] == flat(want.dw)
    for ours, axis in zip(got["axes"], found.axes, strict=True):
        assert ours["end"] == axis.padding_end
        for name in ("letters", "size", "padding", "dilation", "taps", "stride", "room", "rest", "positions", "unread"):
            value = getattr(axis, name)
            assert ours[name] == (list(value) if isinstance(value, tuple) else value), name
        assert ours["readers"] == flat(axis.readers)


@pytest.mark.parametrize("shape", [*SHAPES, "n2c8h12w11k10r2s2_pd1"])  # the last one takes larger tiles of the product
def test_every_algorithm_costs_what_it_costs_on_the_terminal(page: Page, shape: str) -> None:
    spec = ConvSpec.parse(shape)
    ways: list[tuple[str, str, int | None]] = [
        (ours, theirs, None) for ours, theirs in NAMES.items() if ours != "winograd"
    ]
    for m in (None, 2, 3):
        tiles = [1 if taps == 1 else min(m or max(2, 5 - taps), 7 - taps) for taps in (spec.r, spec.s)]
        ways.append(("winograd", f"winograd-{tiles[0]}x{tiles[1]}", m))
    traces = follow(walked(shape), [choose(theirs)[0] for _, theirs, _ in ways])
    compared = 0
    for (name, _, m), trace in zip(ways, traces, strict=True):
        ours = page.evaluate(
            "(shape, name, m) => { const spec = convbench.derive(convbench.parse(shape));"
            "return convbench.whyNot(name, spec) ?? convbench.ALGORITHMS[name].count(spec, m ? { m } : {}) }",
            shape,
            name,
            m,
        )
        if isinstance(ours, str):
            # A kernel of one tap alone is left out here and formed on the terminal.
            assert name == "winograd"
            assert (spec.r, spec.s) == (1, 1) or not isinstance(trace, Trace)
            continue
        assert isinstance(trace, Trace), (name, trace)
        none = {"multiplications": 0, "additions": 0}
        work = {"multiplications": ours["multiplications"], "additions": ours["additions"]}
        want = trace.counts
        for own, theirs in (
            (work, want.core),
            (ours.get("transforms", none), want.transform),
            (ours.get("weights", none), want.weights),
        ):
            assert own == asdict(theirs), name
        assert ours["memory"] == trace.extra_nbytes, name
        compared += 1
    assert compared >= len(NAMES) - 1


def matrix(trace: Trace, label: str) -> list[list[float]]:
    (found,) = (one for one in trace.matrices if one.label == label)
    numbers = found.numbers.tolist() if isinstance(found.numbers, Tensor) else found.numbers
    return [list(map(float, row)) for row in numbers]


@pytest.mark.parametrize("tile", [None, 2, 3])
@pytest.mark.parametrize(
    "shape", [NOTE, "n1c1h16w16k1r3s3_pd1", "n2c3h5w6k4r3s3_pd1", "n1c4h7w8k4r3s2_pd1x0_g2", "n1c2h9w9k2r1s5_pd0x2_g2"]
)
def test_a_tile_of_winograd_goes_through_the_same_numbers(page: Page, shape: str, tile: int | None) -> None:
    found = walked(shape)
    spec, cell = found.spec, found.cell
    got = page.evaluate(
        "(shape, m, { n, k, p, q }) => { const self = convbench.problem(convbench.parse(shape));"
        "const plan = convbench.winogradPlan(self.spec, m ?? undefined);"
        "const place = plan.axes.map((axis, i) => Math.floor([p, q][i] / axis.m));"
        "const numbers = (all) => all.map((row) => row.map((one) => one.map(String)));"
        "return { tile: convbench.winogradTile(self, n, k, plan, ...place), m: plan.axes.map((axis) => axis.m),"
        "count: [plan.rows, plan.columns], axes: plan.axes.map(({ at, g, bt }) => [at, g, bt].map(numbers)) } }",
        shape,
        tile,
        asdict(cell),
    )
    (trace,) = follow(found, choose(f"winograd-{got['m'][0]}x{got['m'][1]}"))
    assert isinstance(trace, Trace)
    assert trace.holds
    assert got["count"] == [ceil(spec.p / got["m"][0]), ceil(spec.q / got["m"][1])]
    same = spec.r == spec.s and got["m"][0] == got["m"][1]
    for side, matrices in zip(("", "") if same else (" down", " across"), got["axes"], strict=True):
        for name, numbers in zip(("A^T", "G", "B^T"), matrices, strict=True):
            (want,) = (one.numbers for one in trace.matrices if one.label == f"{name}{side}")
            assert [[Fraction(int(top), int(bottom)) for top, bottom in row] for row in numbers] == [
                list(row) for row in want
            ], name
    first = found.terms[0].channel
    channel, many = f"[{first}]" if spec.c > 1 else "", spec.c_per_group > 1
    one = got["tile"]

    def over_common(numbers: list[list[float]]) -> list[list[float]]:
        """B carries fractions, and the page takes their denominators out."""
        return [[number / one["common"] for number in row] for row in numbers]

    assert one["data"] == matrix(trace, f"d{channel}")
    assert one["u"] == matrix(trace, f"U{channel}")
    assert over_common(one["v"]) == matrix(trace, f"V{channel}")
    assert over_common(one["sum"]) == matrix(trace, "Σ U·V" if many else "U·V")
    assert one["outputs"] == matrix(trace, "Y")


def test_winograd_s_matrices_are_the_ones_of_the_textbook(page: Page) -> None:
    matrices = page.evaluate(
        "() => { const { g, bt, at } = convbench.winogradMatrices(3, 2);"
        "const number = ([top, bottom]) => Number(top) / Number(bottom);"
        "return [g, bt, at].map((all) => all.map((row) => row.map(number))) }"
    )
    assert matrices == [
        [[1, 0], [1, 1], [1, -1], [0, 1]],
        [[1, 0, -1, 0], [0, 0.5, 0.5, 0], [0, -0.5, 0.5, 0], [0, -1, 0, 1]],
        [[1, 1, 1, 0], [0, 1, -1, 0], [0, 1, 1, 1]],
    ]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_other_matrices_that_are_shown_hold_what_they_say(page: Page, shape: str) -> None:
    found = walked(shape)
    spec, cell = found.spec, found.cell
    got = page.evaluate(
        "(shape, n, k) => { const self = convbench.problem(convbench.parse(shape));"
        "return { rows: convbench.dom.range([0, self.spec.l]).map((l) => [...convbench.toeplitzRow(self, k, l)]),"
        "patches: Array.from(convbench.unfolded(self, n, self.group(k))), size: convbench.transformSize(self.spec),"
        "circular: Array.from(convbench.circular(self, n, k)) } }",
        shape,
        cell.n,
        cell.k,
    )
    assert got["patches"] == flat(found.own)
    toeplitz, fft = follow(found, choose("toeplitz,fft"))
    assert isinstance(toeplitz, Trace)
    assert isinstance(fft, Trace)
    first = found.terms[0].channel * spec.h * spec.w
    ours = torch.zeros((spec.p * spec.q, spec.c * spec.h * spec.w), dtype=torch.float64)
    for position, entries in enumerate(got["rows"]):
        for pixel, weight in entries:
            ours[position, first + pixel] = weight
    assert ours.tolist() == matrix(toeplitz, f"T, o={cell.k}")
    assert sum(map(len, got["rows"])) == int(count_terms(spec).sum())
    (circular,) = (one.numbers for one in fft.matrices if one.label == "IDFT(Z)")
    assert isinstance(circular, Tensor)
    assert got["size"] == list(circular.shape)
    difference = torch.tensor(got["circular"], dtype=torch.float64).reshape(circular.shape) - circular
    assert float(difference.abs().max()) <= 1e-12 * max(1.0, float(circular.abs().max()))


# What it takes, and what it asks.


@given(spec=specs(least_batch=1, any_padding=True))
def test_a_problem_is_read_written_and_sized_as_on_the_terminal(page: Page, spec: ConvSpec) -> None:
    got = page.evaluate(
        "(shape) => { const spec = convbench.derive(convbench.parse(shape)); return { ...spec,"
        "text: convbench.text(spec) } }",
        str(spec),
    )
    assert got["text"] == str(spec)
    sizes = {"cg": spec.c_per_group, "kg": spec.k_per_group, "taps": spec.taps, "l": spec.p * spec.q}
    sizes |= {"p": spec.p, "q": spec.q, "macs": spec.macs, "hp": spec.padded[0], "wp": spec.padded[1]}
    fields = asdict(spec) | {"end": spec.end}
    del fields["padding_end"]  # the page always has it, as `end`
    for name, value in (fields | sizes).items():
        assert got[name] == (list(value) if isinstance(value, tuple) else value), name


@given(
    sizes=st.lists(st.integers(0, 6), min_size=7, max_size=7),
    pairs=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=4, max_size=4),
    groups=st.integers(0, 3),
)
def test_the_page_refuses_what_the_terminal_refuses(
    page: Page, sizes: list[int], pairs: list[tuple[int, int]], groups: int
) -> None:
    *others, end = pairs
    given = dict(zip("nchwkrs", sizes, strict=True)) | dict(zip(("stride", "padding", "dilation"), others, strict=True))
    try:
        ConvSpec(**given, padding_end=end, groups=groups)  # type: ignore[arg-type]  # the names are those of its fields
        refused = sizes[0] == 0  # an empty batch has nothing to show
    except ConvbenchError:
        refused = True
    said = page.evaluate("(spec) => convbench.complaint(spec)", given | {"end": end, "groups": groups, "mode": "zeros"})
    assert (said is not None) == refused, said


@pytest.mark.parametrize(
    "text",
    [
        "",
        "n1c1h4w4k1r2",
        "n1c1h4w4k1r2s2_xx3",
        "n1c1h4w4k1r2s2_g1x1",
        "n1c1h4w4k1r2s2_st1_st2",
        "n-1c1h4w4k1r2s2",
        *(f"n1c1h4w4k1r2s2_pd{sides}" for sides in ("", "1x2x3", "1x2x3x4x5", "1x", "x1", "1_pd0x1x0x1", "1 x2")),
        *(f"n1c1h4w4k1r2s2_{part}1x2x0x1" for part in ("st", "dl", "g")),
    ],
)
def test_what_is_no_problem_is_none_on_the_page_either(page: Page, text: str) -> None:
    with pytest.raises(ConvbenchError):
        ConvSpec.parse(text)
    told = "(text) => { try { convbench.parse(text); } catch (error) { return error.message; } return null; }"
    assert page.evaluate(told, text) is not None


@given(sides=st.lists(st.integers(0, 3), min_size=1, max_size=4))
def test_typed_padding_is_read_as_in_a_problem(page: Page, sides: list[int]) -> None:
    typed = "x".join(map(str, sides))
    got = page.evaluate(
        "(typed) => { try { const spec = convbench.readPadding(typed); return convbench.paddingText(spec); }"
        "catch (error) { return error.message; } }",
        f" {typed.upper()} ",
    )
    if len(sides) == 3:
        assert got.startswith(f"padding is “ {typed.upper()} ”: write 1, or 1x2")
    else:
        assert got == ConvSpec.parse(f"n1c1h4w4k1r1s1_pd{typed}").padding_text


def test_the_padding_that_torch_refuses_is_refused(page: Page) -> None:
    for mode, top, bottom in product(("reflect", "circular"), (0, 2, 3, 4), (0, 2, 3, 4)):
        said = page.evaluate(
            "(mode, sides) => convbench.complaint({ ...convbench.parse(`n1c1h3w9k1r1s1_pd${sides}x0x0`), mode })",
            mode,
            f"{top}x{bottom}",
        )
        try:
            F.pad(torch.ones(1, 1, 3, 9), (0, 0, top, bottom), mode=mode)
        except RuntimeError:
            assert said is not None, (mode, top, bottom)
        else:
            assert said is None, (mode, top, bottom)


def right_answer(question: dict[str, Any]) -> Any:
    """By torch."""
    spec, at = ConvSpec.parse(question["shape"]), question.get("at", ())
    x, w = small_integers(spec, question["seed"])
    x, w = x % 9 + 1, w.abs() if question["level"] == 1 else w
    top, bottom, left, right = spec.sides

    def pad(image: Tensor) -> Tensor:
        return F.pad(image, (left, right, top, bottom))

    y = F.conv2d(pad(x), w, None, spec.stride, 0, spec.dilation)
    patches = F.unfold(pad(x), (spec.r, spec.s), spec.dilation, 0, spec.stride)[0]
    match question["kind"]:
        case "size":
            return y.shape[2] if "is H_out," in question["prompt"] else y.shape[3]
        case "cell":
            return y[0, 0, at[0], at[1]].item()
        case "positions":
            return y[0, 0].numel()
        case "pixel":
            return x[0, 0, at[0] + at[2], at[1] + at[3]].item()
        case "entry":
            return patches[at[0], at[1]].item()
        case "rows":
            return len(patches)
        case "bytes":
            return patches.float().nbytes
        case "weights":
            return w.numel()
        case "macs":
            return spec.macs
        case "gradient":
            w.requires_grad_()
            F.conv2d(pad(x), w, None, spec.stride).sum().backward()
            assert w.grad is not None
            return w.grad[0, 0, at[0], at[1]].item()
        case kind:
            x.requires_grad_()
            ones = torch.ones((1, spec.c, spec.r, spec.s), dtype=torch.float64)
            sums = F.conv2d(pad(x), ones, None, spec.stride, 0, spec.dilation).flatten()
            reads = torch.stack([torch.autograd.grad(one, x, retain_graph=True)[0][0, 0] for one in sums])
            if kind == "unread":
                return int((reads.sum((0, 2)) == 0).sum())
            own = reads[:, at[0], at[1]].tolist()
            return {"overlap": sum(own), "readers": [i for i, one in enumerate(own) if one]}[kind]


def ask(page: Page, number: int, level: int, seed: int) -> Any:
    return page.evaluate(
        "(...which) => { const { spec, self, ...asked } = convbench.quiz.question(...which);"
        "return { ...asked, seed: spec.seed, x: Array.from(self.x), w: Array.from(self.w) } }",
        number,
        level,
        seed,
    )


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_the_quiz_knows_the_answers(page: Page, level: int) -> None:
    kinds = set()
    unequal = 0
    for number in range(24):
        question = ask(page, number, level, 1)
        kinds.add(question["kind"])
        unequal += any(ConvSpec.parse(question["shape"]).surplus)
        want = right_answer(question)
        assert question["answer"] == want, question
        wrong = [*want, 999] if isinstance(want, list) else want + 1
        grades = "(i, level, ...all) => all.map((one) => convbench.quiz.grade(convbench.quiz.question(i, level), one))"
        assert page.evaluate(grades, number, level, want, wrong) == [True, False]
    assert kinds == set(page.evaluate("(level) => convbench.quiz.levels[level]", level))
    assert (0 < unequal < 12) == (level == 2)  # padding that differs is met there, and is not the rule


def test_the_quiz_begins_plain_and_with_numbers_for_a_head(page: Page) -> None:
    for number in range(24):
        for level in (1, 2, 3, 4):
            question = ask(page, number, level, 1)
            spec = ConvSpec.parse(question["shape"])
            plain = spec.stride == spec.dilation == (1, 1) and spec.padding == (0, 0) and not any(spec.surplus)
            assert plain == (level == 1) or level > 2
            assert set(question["x"]) <= set(range(1, 10))
            assert set(question["w"]) <= ({1, 2, 3} if level == 1 else {-3, -2, -1, 1, 2, 3})
            assert spec.c * spec.k == 1 or level == 3


def test_the_quiz_explains_padding_in_a_word_and_grades_numbers_only(page: Page) -> None:
    cells = [one for number in range(40) if (one := ask(page, number, 2, 1))["kind"] == "cell"]
    assert not any("·0·" in one["why"] or one["why"].startswith("·") for one in cells)
    padded = [one["why"] for one in cells if "padding" in one["why"]]
    assert padded
    assert all(re.search(r"(^| )0·", why) and why.count("padding") == 1 for why in padded)
    grade = "(typed) => convbench.quiz.grade({ answer: -37 }, typed)"
    typed = {"-37": True, " −37 ": True, "37": False, "abc": None, "": None, "3 7": None, "1e1": None}  # noqa: RUF001
    assert {words: page.evaluate(grade, words) for words in typed} == typed
