"""All that is no convolution: packing, linear layers, pools, elementwise operations, concatenation, upsampling."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from convbench.jit.target import host
from convbench.jit.team import run
from convbench.kernels.blocked import elementwise, inverted, joining, linear, norm, packing, pooling, transposed
from convbench.kernels.blocked.geometry import NO_HALO, Blocked, Planes, Sides
from convbench.kernels.blocked.plan import Activation, Places
from convbench.kernels.blocked.problems import BlockedLinear
from tests.kernels.blocked.running import (
    ACTIVATIONS,
    U,
    backwards,
    check,
    check_zeros,
    direct_error,
    in_memory,
    outputs,
    same,
)

HALO: Sides = (1, 2, 0, 3)
LANES = host().lanes


def random(*size: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(sum(size)))


def blocked(x: Tensor, halo: Sides = NO_HALO) -> Blocked:
    n, c, h, w = x.shape
    return Blocked(n, c, h, w, LANES, halo)


def results(room: Any, problem: Any, x: Tensor, *others: tuple[str, Tensor], packed: bool = True) -> list[Tensor]:
    """y of each candidate, by one thread and two, in order and backwards."""
    source = in_memory(problem.x, x) if packed else x
    found = []
    for threads, at_end in ((1, True), (2, False)):
        for plan in room.candidates(problem, host(), threads, "strict"):
            memory = outputs(plan, problem.y, source, *others, threads=threads, at_end=at_end)
            again = outputs(plan, problem.y, source, *others, threads=threads, start=backwards)
            assert same(memory, again)
            check_zeros(problem.y, memory.nan_to_num(1.0))
            found.append(problem.y.read(memory))
    return found


@pytest.mark.parametrize(
    "size", [(1, 3, 5, 7), (2, 2 * LANES + 3, 3, 2 * LANES), (1, LANES, 7, LANES + 1), (3, 5, 1, 1)]
)
@pytest.mark.parametrize("kind", ["blocked", "planes"])
def test_packing_is_what_torch_makes_of_it_and_unpacking_undoes_it(size: tuple[int, ...], kind: str) -> None:
    x = random(*size)
    shape = blocked(x, HALO) if kind == "blocked" else Planes(x.shape[0], x.shape[1], x.shape[2], x.shape[3], HALO)
    plain = Planes(*x.shape)
    for threads, at_end in ((1, True), (2, False)):
        [pack] = packing.candidates(packing.Pack(shape), host(), threads)
        memory = outputs(pack, shape, x.flatten(), threads=threads, at_end=at_end)
        assert torch.equal(memory, in_memory(shape, x))
        [unpack] = packing.candidates(packing.Unpack(shape), host(), threads)
        back = outputs(unpack, plain, memory, threads=threads, at_end=at_end)
        assert torch.equal(back.view(x.shape), x)


@pytest.mark.parametrize(
    ("size", "k", "activation", "residual"),
    [
        ((1, 520, 1, 1), 100, "none", False),
        ((2, 20, 3, 3), 100, "relu", False),
        ((7, 20, 1, 1), 13, "sigmoid", True),
        ((1, 30, 2, 2), 4, "relu6", True),
        ((13, 64, 1, 1), 70, "silu", False),
    ],
)
def test_linear_layers(size: tuple[int, ...], k: int, activation: Activation, residual: bool) -> None:
    x, w, bias = random(*size), random(k, size[1] * size[2] * size[3]), random(k)
    y = Blocked(size[0], k, 1, 1, LANES)
    beside = random(size[0], k, 1, 1) if residual else torch.zeros(size[0], k, 1, 1)
    problem = BlockedLinear(blocked(x), y, activation, y if residual else None)
    truth, magnitude = (
        F.linear(change(x.double().flatten(1)), change(w.double()), change(bias.double())).view(y.n, k, 1, 1)
        + change(beside.double())
        for change in (lambda t: t, torch.abs)
    )
    others = [("residual", in_memory(y, beside))] if residual else []
    for threads, at_end in ((1, True), (2, False)):
        for plan in linear.candidates(problem, host(), threads):
            operands = [("weights", plan.pack(w, bias)), *others]
            memory = outputs(plan, y, in_memory(problem.x, x), *operands, threads=threads, at_end=at_end)
            check_zeros(y, memory)
            check(y.read(memory), truth, direct_error(magnitude, w.shape[1]), activation)


POOLS = [
    ((1, 20, 9, 12), (3, 3), (2, 2), (1, 1), False),
    ((2, 5, 7, 8), (2, 2), (2, 2), (0, 0), True),
    ((1, 8, 11, 10), (3, 3), (1, 3), (1, 1), False),
    ((1, 8, 6, 6), (5, 5), (1, 1), (2, 2), False),
    ((1, 3, 2, 2), (3, 3), (1, 1), (1, 1), False),
]


@pytest.mark.parametrize(("size", "kernel", "stride", "padding", "ceil"), POOLS)
def test_max_pools_of_negative_numbers_and_nan(
    size: tuple[int, ...], kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int], ceil: bool
) -> None:
    x = random(*size) - 3
    x[0, 0, 1, 1] = torch.nan
    x[0, 1] = -torch.inf
    dilations = [(1, 1), (2, 1)] if min(size[2:]) > 8 else [(1, 1)]
    for dilation in dilations:
        truth = F.max_pool2d(x, kernel, stride, padding, dilation, ceil)
        problem = pooling.BlockedMaxPool(blocked(x), blocked(truth, HALO), kernel, stride, padding, dilation)
        for y in results(pooling, problem, x):
            assert same(y, truth)


@pytest.mark.parametrize("include", [False, True])
@pytest.mark.parametrize(("size", "kernel", "stride", "padding", "ceil"), POOLS)
def test_average_pools(
    size: tuple[int, ...],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    ceil: bool,
    include: bool,
) -> None:
    x = random(*size)

    def pool(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, kernel, stride, padding, ceil, include)

    truth = pool(x.double())
    problem = pooling.BlockedAveragePool(blocked(x, HALO), blocked(truth, HALO), kernel, stride, padding, include)
    for y in results(pooling, problem, x):
        check(y, truth, (kernel[0] * kernel[1] + 4) * U * pool(x.double().abs()))


@pytest.mark.parametrize("size", [(2, 20, 13, 7), (1, 5, 1, 1), (1, 16, 7, 9)])
def test_the_mean_of_a_channel(size: tuple[int, ...]) -> None:
    x = random(*size)
    problem = pooling.GlobalAveragePool(blocked(x, HALO), Blocked(size[0], size[1], 1, 1, LANES))
    for y in results(pooling, problem, x):
        check(y, x.double().mean((2, 3), True), 16 * U * x.double().abs().mean((2, 3), True))


@pytest.mark.parametrize("halos", [(NO_HALO, NO_HALO, NO_HALO), (HALO, (2, 1, 1, 1), (0, 1, 1, 0))])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_elementwise_operations(activation: Activation, halos: tuple[Sides, Sides, Sides]) -> None:
    x, other, scale = 3 * random(2, LANES + 3, 3, 7), random(2, LANES + 3, 3, 7), random(2, LANES + 3, 1, 1)
    gx, second, gy = (blocked(x, halo) for halo in halos)
    pair = ("second", in_memory(second, other))
    for problem, truth, operands in (
        (elementwise.Elementwise("add", gx, gy, second, activation), x.double() + other, [pair]),
        (elementwise.Elementwise("multiply", gx, gy, second, activation), x.double() * other, [pair]),
        (elementwise.Elementwise("activate", gx, gy, None, activation), x.double(), []),
        (
            elementwise.Elementwise("scale", gx, gy, blocked(scale), activation),
            x.double() * scale,
            [("second", in_memory(blocked(scale), scale))],
        ),
    ):
        for y in results(elementwise, problem, x, *operands):
            check(y, truth, U * truth.abs(), activation)


def test_one_scale_for_all_images_and_a_result_in_place() -> None:
    x, scale = random(3, 5, 2, 4), random(1, 5, 1, 1)
    problem = elementwise.Elementwise("scale", blocked(x), blocked(x), blocked(scale))
    for y in results(elementwise, problem, x, ("second", in_memory(blocked(scale), scale))):
        assert torch.equal(y, x * scale)


@pytest.mark.parametrize("parts", [[16, 8], [5, 20, 3], [8, 7, 40], [3, 3], [1, 2, 30]])
@pytest.mark.parametrize("start", ["forwards", "backwards"])
def test_concatenation_in_any_order(parts: list[int], start: str) -> None:
    """Also into memory that another value has left: spare channels become zeros."""
    xs = [random(2, c, 3, 5) for c in parts]
    joined = torch.cat(xs, 1)
    y = blocked(joined, HALO)
    memory = torch.zeros(y.size)
    y.inside(memory).fill_(7.0)
    firsts = [sum(parts[:number]) for number in range(len(parts))]
    order = list(zip(xs, firsts, strict=True))
    for x, first in order if start == "forwards" else order[::-1]:
        source = in_memory(blocked(x, HALO), x)
        [plan] = joining.candidates(joining.Copy(blocked(x, HALO), y, first), host(), 2)
        run(plan.steps(Places(source.data_ptr(), memory.data_ptr())), 2)
    assert torch.equal(memory, in_memory(y, joined))


@pytest.mark.parametrize("first", [0, 3, LANES])
def test_a_part_of_a_concatenation_reads_and_writes_no_byte_beyond(first: int) -> None:
    x = random(2, 2 * LANES - 1, 3, 5)
    y = Blocked(2, first + x.shape[1], 3, 5, LANES)
    [plan] = joining.candidates(joining.Copy(blocked(x), y, first), host(), 1)
    for at_end in (True, False):
        memory = outputs(plan, y, in_memory(blocked(x), x), at_end=at_end)
        assert torch.equal(y.read(memory)[:, first:], x)


@pytest.mark.parametrize("size", [(10, 14), (13, 15), (5, 7), (3, 2), (1, 1)])
@pytest.mark.parametrize(("mode", "align"), [("nearest", False), ("bilinear", False), ("bilinear", True)])
def test_upsampling(mode: joining.Mode, align: bool, size: tuple[int, int]) -> None:
    x = random(2, LANES + 3, 5, 7)

    def resize(x: Tensor) -> Tensor:
        return F.interpolate(x, size, mode=mode, align_corners=align if mode == "bilinear" else None)

    truth = resize(x.double())
    problem = joining.BlockedUpsample(blocked(x, HALO), blocked(truth, HALO), mode, align)
    for y in results(joining, problem, x):
        check(y, truth, (0 if mode == "nearest" else 8) * U * resize(x.double().abs()))


@pytest.mark.parametrize("size", [(2, 2 * LANES + 3, 3, 7), (1, 5, 2, 2), (1, 4 * LANES, 1, 9)])
def test_layer_norm_over_channels(size: tuple[int, ...]) -> None:
    x, w, bias = 3 * random(*size) + 5, random(size[1]), random(size[1])
    problem = norm.BlockedLayerNorm(blocked(x, HALO), blocked(x, (0, 1, 1, 1)))
    truth = F.layer_norm(x.double().permute(0, 2, 3, 1), (size[1],), w.double(), bias.double(), problem.eps)
    [plan] = norm.candidates(problem, host(), 1)
    for y in results(norm, problem, x, ("weights", plan.pack(w, bias))):
        size_of_terms = (1 + 8 / x.double().std(1, keepdim=True)) * 4 * w.abs().max() + bias.abs().max()
        check(y, truth.permute(0, 3, 1, 2), 8 * U * size_of_terms)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "more"),
    [
        ((2, 2), (2, 2), (0, 0), 0),
        ((3, 3), (2, 2), (1, 1), 1),
        ((4, 4), (2, 2), (1, 1), 0),
        ((3, 2), (1, 2), (0, 0), 0),
    ],
)
def test_transposed_convolution(
    kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int], more: int
) -> None:
    x, w, bias = random(2, LANES + 3, 5, 7), random(LANES + 3, 2 * LANES, *kernel), random(2 * LANES)

    def convolve(x: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        return F.conv_transpose2d(x.double(), w.double(), bias.double(), stride, padding, more)

    truth, magnitude = convolve(x, w, bias), convolve(x.abs(), w.abs(), bias.abs())
    problem = transposed.TransposedConvolution(blocked(x), blocked(truth, HALO), kernel, stride, padding, "relu")
    problem = replace(problem, x=blocked(x, problem.halo))
    for threads, at_end in ((1, True), (2, False)):
        for plan in transposed.candidates(problem, host(), threads):
            operands = [("weights", plan.pack(w, bias))]
            memory = outputs(plan, problem.y, in_memory(problem.x, x), *operands, threads=threads, at_end=at_end)
            check_zeros(problem.y, memory)
            check(problem.y.read(memory), truth, direct_error(magnitude, w[:, 0].numel()), "relu")


@pytest.mark.parametrize(
    ("size", "middle", "out", "kernel", "stride", "expand", "residual", "activation"),
    [
        ((2, 12, 9, 13), 3 * LANES + 2, 12, 3, 1, True, True, "none"),
        ((1, 5, 10, 14), 4 * LANES, LANES + 4, 5, 2, True, False, "relu6"),
        ((2, 2 * LANES, 11, 7), 2 * LANES, LANES, 3, 1, False, False, "none"),
        ((1, 3, 8, 8), 5, 2 * LANES, 3, 2, True, False, "silu"),
    ],
)
def test_inverted_residuals_in_one_pass(
    size: tuple[int, ...],
    middle: int,
    out: int,
    kernel: int,
    stride: int,
    expand: bool,
    residual: bool,
    activation: Activation,
) -> None:
    x, pad = random(*size), kernel // 2
    weights = [
        (random(middle, size[1], 1, 1) / size[1] ** 0.5, random(middle)),
        (random(middle, 1, kernel, kernel) / kernel, random(middle) + 1),
        (random(out, middle, 1, 1), random(out)),
    ][0 if expand else 1 :]

    def layers(change: Any, act: Any) -> Tensor:
        t = change(x.double())
        (w1, b1), (w2, b2), (w3, b3) = [
            (change(w.double()), change(b.double())) for w, b in [weights[0], *weights][-3:]
        ]
        if expand:
            t = act(F.conv2d(t, w1, b1))
        t = act(F.conv2d(t, w2, b2, stride, pad, 1, middle))
        t = F.conv2d(t, w3, b3)
        return t + change(x.double()) if residual else t

    truth, magnitude = layers(lambda t: t, ACTIVATIONS["relu6"]), layers(torch.abs, lambda t: t)
    y = blocked(truth, HALO)
    problem = inverted.InvertedResidual(
        blocked(x), y, middle, (kernel, kernel), (stride, stride), (pad, pad), expand,
        activation=activation, residual=blocked(x, (0, 0, 1, 0)) if residual else None,
    )  # fmt: skip
    problem = replace(problem, x=blocked(x, problem.halo))
    others = [("residual", in_memory(problem.residual, x))] if problem.residual else []
    for threads, at_end in ((1, True), (2, False)):
        plans = inverted.candidates(problem, host(), threads)
        assert len(plans) >= 2
        for plan in plans:
            operands = [("weights", plan.pack_all(*weights)), *others]
            memory = outputs(plan, y, in_memory(problem.x, x), *operands, threads=threads, at_end=at_end)
            check_zeros(y, memory)
            check(y.read(memory), truth, 16 * U * magnitude, activation)
