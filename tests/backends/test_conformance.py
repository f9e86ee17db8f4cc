"""One suite for every backend found: whatever is there must be right, and say why when it is not for a case."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from convbench import Backend, Case, ConvSpec, Problem, Skipped, Verified, discover
from convbench.call.bind import conditions
from convbench.case import DTYPES, LAYOUTS, cases
from convbench.suites import load_suite
from convbench.verify.exam import prepare_exam
from convbench.verify.sweep import verify
from convbench.verify.trial import examine
from tests.conftest import make_case
from tests.strategies import specs

# The oldest rows of the suite, each on axes that are asked for here; the others run on those drawn for them.
AWKWARD, DRAWN = load_suite("awkward")[:40], load_suite("awkward")[40::40]
REQUIRED = ("torch", "cudnn", "onednn", "naive-loops", "unfold-einsum", "unfold-matmul")
BACKENDS = discover()[0]
ON_CPU = [backend for backend in BACKENDS if "cpu" in backend.devices]
# What does one kind of problem only, such as depthwise, has laws in tests/kernels.
ANY_KIND = ("n1c4h9w9k4r3s2_st2_dl2", "n1c4h9w9k4r1s1", "n1c4h9w9k4r3s3_g2", "n1c4h9w9k4r3s3_g4")
GENERAL = [backend for backend in ON_CPU if all(backend.why_not(make_case(shape)) is None for shape in ANY_KIND)]
KINDS = [("dgrad", "none"), ("wgrad", "none"), ("fprop", "bias"), ("fprop", "bias_relu")]
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]

# Loops in Python; the same patches as unfold-matmul; what it chooses has tests of its own.
HALF = ("naive-loops", "unfold-einsum", "auto")

AXES = [(dtype, layout) for dtype in DTYPES for layout in LAYOUTS[:3]]

every_backend = pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
every_general_backend = pytest.mark.parametrize("backend", GENERAL, ids=lambda backend: backend.name)
every_cpu_backend = pytest.mark.parametrize("backend", ON_CPU, ids=lambda backend: backend.name)


def awkward(backend: Backend, turn: int, turns: int) -> Sequence[Problem]:
    """The rows of the suite for torch, and a share of them in each turn for the others: each row has several turns."""
    if backend.name == "torch":
        return AWKWARD
    turns *= 2 if backend.name in HALF else 1
    return AWKWARD[turn % turns :: turns]


def test_the_required_backends_are_found() -> None:
    assert {backend.name for backend in BACKENDS} >= set(REQUIRED)
    assert BACKENDS[0].name == "torch"


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("layout", LAYOUTS[:3])
@pytest.mark.parametrize("dtype", DTYPES)
@every_backend
def test_every_awkward_shape_is_right(backend: Backend, dtype: str, layout: str, device: str) -> None:
    problems = awkward(backend, AXES.index((dtype, layout)), 3)
    rows = [Case(problem=problem, dtype=dtype, layout=layout, device=device) for problem in problems]
    for result in verify(rows, [backend]):
        match result.outcome:
            case Verified():
                assert result.backend == backend.name
            case Skipped(reason):
                assert backend.why_not(result.case) == reason
            case other:
                pytest.fail(f"{result.case.flags()}: {other}")


@every_cpu_backend
def test_the_rows_of_the_covering_array_are_right_on_their_own_axes(backend: Backend) -> None:
    rows = DRAWN[::3] if backend.name == "naive-loops" else DRAWN
    found = [result.outcome for result in verify(cases(rows), [backend])]
    assert [one for one in found if not isinstance(one, Verified | Skipped)] == []
    assert any(isinstance(one, Verified) for one in found) or "cuda" in backend.devices or backend not in GENERAL


@pytest.mark.long
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("turn", [0, 1])
@pytest.mark.parametrize("kind", KINDS, ids=" ".join)
@every_backend
def test_every_pass_and_epilogue_is_right(backend: Backend, kind: tuple[str, str], turn: int, device: str) -> None:
    """Every awkward shape, dtypes and layouts by turns; `convbench verify --pass dgrad,wgrad` takes all of them."""
    for number, problem in enumerate(awkward(backend, turn, 2), start=5 * turn + KINDS.index(kind)):
        case = Case(
            problem=problem, dtype=DTYPES[number % 4], layout=LAYOUTS[number % 5], device=device,
            pass_=kind[0], epilogue=kind[1],
        )  # fmt: skip
        (result,) = verify([case], [backend])
        match result.outcome:
            case Verified():
                assert backend.why_not(case) is None
            case Skipped(reason):
                assert backend.why_not(case) == reason
            case other:
                pytest.fail(f"{case.flags()}: {other}")


def test_every_required_backend_has_all_passes() -> None:
    for backend in discover(names=REQUIRED)[0]:
        assert backend.dgrad is not None, backend.name
        assert backend.wgrad is not None, backend.name


@every_cpu_backend
@given(
    spec=specs(),
    kind=st.sampled_from([("fprop", "none"), *KINDS]),
    dtype=st.sampled_from(DTYPES),
    layout=st.sampled_from(LAYOUTS),
    seed=st.integers(0, 999),
)
@settings(max_examples=25)
def test_any_problem_is_right(
    backend: Backend, spec: ConvSpec, kind: tuple[str, str], dtype: str, layout: str, seed: int
) -> None:
    case = Case(
        problem=Problem(suite="test", name=str(spec), spec=spec),
        dtype=dtype, layout=layout, seed=seed, pass_=kind[0], epilogue=kind[1],
    )  # fmt: skip
    if backend.why_not(case) is None:
        outcome = examine(backend, prepare_exam(case))
        assert isinstance(outcome, Verified), outcome


def integers(shape: tuple[int, ...], seed: int) -> Tensor:
    """Small whole numbers: every law below then holds exactly, in any order of summation."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-4, 5, shape, generator=generator).float()


def run(backend: Backend, x: Tensor, w: Tensor, spec: ConvSpec) -> Tensor:
    case = make_case(str(spec))
    assume(backend.why_not(case) is None)  # an empty batch, most often
    with conditions(case):
        weights = w if backend.prepare is None else backend.prepare(w, spec)
        y = backend.fn(x, weights, spec)
    assert isinstance(y, Tensor)
    return y


@every_general_backend
@given(spec=specs(), seed=st.integers(0, 999))
@settings(max_examples=20)
def test_linear_in_x_and_in_w(backend: Backend, spec: ConvSpec, seed: int) -> None:
    x, other = integers(spec.x_shape, seed), integers(spec.x_shape, seed + 1)
    w, second = integers(spec.w_shape, seed + 2), integers(spec.w_shape, seed + 3)
    y = run(backend, x, w, spec)
    assert torch.equal(run(backend, 2 * x - other, w, spec), 2 * y - run(backend, other, w, spec))
    assert torch.equal(run(backend, x, w + 3 * second, spec), y + 3 * run(backend, x, second, spec))


@every_general_backend
@given(spec=specs(least_batch=1), seed=st.integers(0, 999), data=st.data())
@settings(max_examples=20)
def test_a_one_hot_kernel_cuts_a_slice(backend: Backend, spec: ConvSpec, seed: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(0, spec.k - 1))
    c = data.draw(st.integers(0, spec.c_per_group - 1))
    r, s = data.draw(st.integers(0, spec.r - 1)), data.draw(st.integers(0, spec.s - 1))
    x, w = integers(spec.x_shape, seed), torch.zeros(spec.w_shape)
    w[k, c, r, s] = 1
    y = run(backend, x, w, spec)
    (pad_h, pad_w), (top, left) = spec.padding, (r * spec.dilation[0], s * spec.dilation[1])
    padded = torch.nn.functional.pad(x, (pad_w, pad_w, pad_h, pad_h))
    channel = k // spec.k_per_group * spec.c_per_group + c
    rows = slice(top, top + (spec.p - 1) * spec.stride[0] + 1, spec.stride[0])
    columns = slice(left, left + (spec.q - 1) * spec.stride[1] + 1, spec.stride[1])
    assert torch.equal(y[:, k], padded[:, channel, rows, columns])
    assert not y[:, torch.arange(spec.k) != k].any()


@every_general_backend
@given(seed=st.integers(0, 999), step=st.tuples(st.integers(1, 3), st.integers(1, 3)))
@settings(max_examples=10)
def test_shifting_the_image_by_a_stride_shifts_the_output(backend: Backend, seed: int, step: tuple[int, int]) -> None:
    spec = ConvSpec(n=2, c=2, h=12, w=13, k=3, r=3, s=2, stride=step, dilation=(2, 1))
    x, w = integers(spec.x_shape, seed), integers(spec.w_shape, seed + 1)
    y = run(backend, x, w, spec)
    shifted = run(backend, torch.roll(x, (-step[0], -step[1]), (2, 3)), w, spec)
    # The last row and column of the shifted image see what was rolled around.
    assert torch.equal(shifted[:, :, : spec.p - 1, : spec.q - 1], y[:, :, 1:, 1:])


@every_general_backend
@given(spec=specs(), seed=st.integers(0, 999))
@settings(max_examples=20)
def test_groups_are_blocks(backend: Backend, spec: ConvSpec, seed: int) -> None:
    x, w = integers(spec.x_shape, seed), integers(spec.w_shape, seed + 1)
    dense = ConvSpec(
        **{name: getattr(spec, name) for name in "nchwkrs"},
        stride=spec.stride,
        padding=spec.padding,
        dilation=spec.dilation,
    )
    blocks = torch.zeros(dense.w_shape)
    for k in range(spec.k):
        first = k // spec.k_per_group * spec.c_per_group
        blocks[k, first : first + spec.c_per_group] = w[k]
    assert torch.equal(run(backend, x, w, spec), run(backend, x, blocks, dense))


@every_general_backend
@given(spec=specs(), seed=st.integers(0, 999))
@settings(max_examples=15)
def test_the_gradients_are_adjoint_to_the_convolution(backend: Backend, spec: ConvSpec, seed: int) -> None:
    x, w, dy = (integers(shape, seed) for shape in (spec.x_shape, spec.w_shape, spec.y_shape))
    inner = (run(backend, x, w, spec) * dy).sum()
    for kind, other, against in (("dgrad", w, x), ("wgrad", x, w)):
        case = make_case(str(spec), pass_=kind)
        if backend.why_not(case) is None:
            with conditions(case):
                assert (backend.bind(case, [dy, other])() * against).sum() == inner


@every_backend
def test_a_reason_is_words(backend: Backend) -> None:
    for device, dtype in (("cpu", "fp64"), ("cuda", "fp64"), ("cpu", "fp16"), ("cuda", "bf16")):
        if device == "cuda" and "cuda" in backend.devices:
            continue  # needs the device to answer
        reason = backend.why_not(make_case("n1c4h8w8k4r3s3", device=device, dtype=dtype))
        assert reason is None or len(reason.split()) > 3


def test_loops_refuse_what_would_take_long_and_say_how_long() -> None:
    (loops,) = (backend for backend in BACKENDS if backend.name == "naive-loops")
    large = make_case("n1c64h56w56k64r3s3_pd1")
    reason = loops.why_not(large)
    assert reason is not None
    assert "115,605,504 multiply-adds" in reason
    assert "--force" in reason
    assert loops.why_not(large, force=True) is None
