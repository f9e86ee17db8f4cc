"""Winograd compiled for this CPU: F(4x4, 3x3) and F(2x2, 5x5) with points 0, +-5/8, +-3/2, F(2x2, 3x3) with 0, +-1."""

from collections.abc import Callable
from functools import cache

from jaxtyping import Float
from torch import Tensor

from convbench.backend import backend
from convbench.backends._own import Own
from convbench.case import Case
from convbench.jit.target import host
from convbench.kernels.blocked.winograd import preferred_points
from convbench.kernels.plan import cannot_mirror
from convbench.kernels.through_blocks import ThroughBlocks, by_winograd, winograd_pays
from convbench.kernels.transforms import FOUR, TWO, Points, WinogradTransforms
from convbench.kernels.winograd import Winograd
from convbench.spec import ConvSpec


@cache
def points_for(spec: ConvSpec) -> Points:
    """On NCHW fewer products win; of tiny images the larger tile leaves lanes empty."""
    if spec.r == 5:
        return FOUR
    if winograd_pays(spec, host()):
        return preferred_points(spec.n, spec.p, spec.q)

    def products(points: Points) -> int:
        transforms, lanes = WinogradTransforms.of(points, spec.r), host().lanes
        tiles = spec.n * -(-spec.p // transforms.step) * -(-spec.q // transforms.step)
        return int(transforms.tile**2 * -(-tiles // lanes))

    return min(FOUR, TWO, key=products)


@cache
def planner(spec: ConvSpec) -> Callable[[ConvSpec, int], Winograd | ThroughBlocks]:
    """The points and the way are chosen for the whole problem: its weight is transformed for them."""
    points, blocks = points_for(spec), winograd_pays(spec, host())

    @cache
    def plan(part: ConvSpec, threads: int) -> Winograd | ThroughBlocks:
        if blocks:
            return ThroughBlocks(part, by_winograd(points), host(), threads)
        return Winograd(part, points, host(), threads)

    return plan


OWN = Own(planner)


def refuse(case: Case) -> str | None:
    spec = case.spec
    if (spec.r, spec.s) not in ((3, 3), (5, 5)):
        return f"Winograd is compiled for 3x3 and 5x5 kernels, and this one is {spec.r}x{spec.s}"
    if spec.groups != 1:
        return "Winograd is compiled for a single group; for more use grouped or depthwise"
    if spec.stride != (1, 1) or spec.dilation != (1, 1):
        return "Winograd needs stride 1 and dilation 1; the backend direct does the others"
    return cannot_mirror(case)


def actual_flops(spec: ConvSpec) -> int:
    """Products of all tiles and the transforms of x and y, two for each entry of their matrices that is not zero."""
    transforms = WinogradTransforms.of(points_for(spec), spec.r)
    t, m = transforms.tile, transforms.step
    entries, back = (sum(map(bool, sum(matrix, ()))) for matrix in (transforms.inputs, transforms.outputs))
    tiles = spec.n * -(-spec.p // m) * -(-spec.q // m)
    return 2 * tiles * (t * t * spec.c * spec.k + 2 * t * entries * spec.c + (t + m) * back * spec.k)


@backend(
    devices={"cpu"},
    dtypes={"fp32"},
    family="winograd",
    points=tuple(map(float, FOUR)),
    source="Lavin and Gray 2016, compiled by convbench",
    prepare=OWN.pack,
    fused=OWN.fused,
    dgrad=OWN.dgrad,
    refuse=refuse,
    actual_flops=actual_flops,
    any_padding=True,
)
def winograd(x: Float[Tensor, "n c h w"], packed: Tensor, spec: ConvSpec) -> Float[Tensor, "n k p q"]:
    return OWN.fprop(x, packed, spec)
