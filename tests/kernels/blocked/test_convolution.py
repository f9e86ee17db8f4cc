"""Convolutions on blocks are right: any geometry, between forbidden pages, by several threads, within their bounds."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from convbench import ConvSpec
from convbench.jit.target import Target, host
from convbench.kernels.blocked import convolution, depthwise
from convbench.kernels.blocked.geometry import Blocked, Planes, Sides
from convbench.kernels.blocked.plan import Accuracy, Activation, BlockedPlan
from convbench.kernels.blocked.problems import Convolution, Depthwise
from convbench.kernels.blocked.winograd import BlockedWinograd
from convbench.kernels.transforms import Points, WinogradTransforms
from tests.kernels.blocked.running import U, backwards, check, check_zeros, direct_error, in_memory, outputs


class Trial:
    """A convolution with its operands, its truth in float64 and the size of its sums."""

    def __init__(
        self, shape: str, activation: Activation = "none", *, planes: bool = False, residual: bool = False,
        halo: tuple[int, int, int, int] = (0, 0, 0, 0), more: int = 0, target: Target | None = None,
    ) -> None:  # fmt: skip
        spec, self.target = ConvSpec.parse(shape), target or host()
        lanes = self.target.lanes
        generator = torch.Generator().manual_seed(0)

        def random(*size: int) -> Tensor:
            return torch.randn(size, generator=generator)

        x, w, bias = random(*spec.x_shape), random(*spec.w_shape), random(spec.k)
        beside = random(*spec.y_shape) if residual else torch.zeros(spec.y_shape)
        self.y = Blocked(spec.n, spec.k, spec.p, spec.q, lanes, halo)
        top, _, left, _ = spec.sides
        geometry = Planes(*spec.x_shape) if planes else Blocked(*spec.x_shape, lanes)
        options = (spec.r, spec.s), spec.stride, (top, left), spec.dilation
        second = self.y.with_halo((1, 0, 0, 2) if any(halo) else (0, 0, 0, 0)) if residual else None

        def wider(halo: Sides) -> Sides:
            top, bottom, left, right = (side + more for side in halo)
            return top, bottom, left, right

        self.problem: Convolution | Depthwise
        if spec.groups == spec.c == spec.k and isinstance(geometry, Blocked):
            own = Depthwise(geometry, self.y, *options, activation=activation, residual=second)
            self.problem = replace(own, x=geometry.with_halo(wider(own.halo)))
        else:
            dense = Convolution(
                geometry, self.y, *options, groups=spec.groups, activation=activation, residual=second
            )  # fmt: skip
            self.problem = replace(dense, x=geometry.with_halo(wider(dense.halo)))
        self.w, self.bias, self.activation = w, bias, activation
        self.x = in_memory(self.problem.x, x)
        self.others = [("residual", in_memory(second, beside))] if second else []
        self.terms = spec.taps
        sides = (spec.sides[2], spec.sides[3], spec.sides[0], spec.sides[1])
        padded = F.pad(x.double(), sides)

        def convolve(x: Tensor, w: Tensor, bias: Tensor) -> Tensor:
            return F.conv2d(x, w.double(), bias.double(), spec.stride, 0, spec.dilation, spec.groups)

        self.truth = convolve(padded, w, bias) + beside
        self.magnitude = convolve(padded.abs(), w.abs(), bias.abs()) + beside.abs()
        self.padded = padded
        self.errors: dict[Points, Tensor] = {}

    def candidates(self, threads: int, accuracy: Accuracy = "standard") -> list[BlockedPlan]:
        if isinstance(self.problem, Depthwise):
            return depthwise.candidates(self.problem, self.target, threads, accuracy)
        return convolution.candidates(self.problem, self.target, threads, accuracy)

    def error(self, plan: BlockedPlan) -> Tensor:
        if isinstance(plan, BlockedWinograd):
            if plan.points not in self.errors:
                transforms = WinogradTransforms.of(plan.points, 3)
                self.errors[plan.points] = winograd_error(self.padded, self.w.double(), transforms, self.magnitude)
            return self.errors[plan.points]
        return direct_error(self.magnitude, self.terms)

    def run(self, plan: BlockedPlan, **options: object) -> Tensor:
        packed = plan.pack(self.w, self.bias)
        return outputs(plan, self.y, self.x, ("weights", packed), *self.others, **options)  # type: ignore[arg-type]

    def check(self, plan: BlockedPlan, **options: object) -> Tensor:
        memory = self.run(plan, **options)
        check_zeros(self.y, memory)
        check(self.y.read(memory), self.truth, self.error(plan), self.activation)
        return memory


def winograd_error(padded: Tensor, w: Tensor, transforms: WinogradTransforms, magnitude: Tensor) -> Tensor:
    """16 u of the sizes on the way: |A^T| (sum over c of |G||w||G^T| * |B^T||d||B|) |A|, and of the output."""
    inputs, weights, back = (
        torch.tensor([[abs(float(one)) for one in row] for row in matrix], dtype=torch.float64)
        for matrix in (transforms.inputs, transforms.weights, transforms.outputs)
    )
    t, m = transforms.tile, transforms.step
    p, q = padded.shape[2] - 2, padded.shape[3] - 2
    wide = F.pad(padded.abs(), (0, -q % m, 0, -p % m))
    d = wide.unfold(2, t, m).unfold(3, t, m)
    v = torch.einsum("ia,ncxyab,jb->ncxyij", inputs, d, inputs)
    u = torch.einsum("ia,kcab,jb->kcij", weights, w.abs(), weights)
    product = torch.einsum("kcij,ncxyij->nkxyij", u, v)
    tiles = torch.einsum("ai,nkxyij,bj->nkxayb", back, product, back)
    return 16 * U * (tiles.flatten(4, 5).flatten(2, 3)[:, :, :p, :q] + magnitude)


TRIALS = {
    "1x1": lambda: Trial("n2c20h5w7k16r1s1", "relu"),
    "1x1, one pixel more, spare filters": lambda: Trial("n1c70h13w1k27r1s1", residual=True),
    "1x1, halo of y": lambda: Trial("n1c16h6w11k40r1s1", "relu6", halo=(1, 1, 1, 1), residual=True),
    "1x1, long sums": lambda: Trial("n1c1030h3w4k16r1s1", "silu", residual=True),
    "1x1, stride 2": lambda: Trial("n2c24h9w13k24r1s1_st2", more=1),
    "3x3, stride 2": lambda: Trial("n1c20h12w15k27r3s3_st2_pd1", "relu", residual=True, halo=(0, 1, 0, 1)),
    "3x5, unequal padding": lambda: Trial("n2c9h9w16k16r3s5_pd2x0x1x3", "sigmoid"),
    "dilated": lambda: Trial("n1c16h14w11k30r3s3_st1x2_pd2_dl2x1", "hardsigmoid", more=1),
    "stem": lambda: Trial("n2c3h20w23k18r7s7_st2_pd3", "relu", planes=True, halo=(1, 1, 1, 1)),
    "grey": lambda: Trial("n1c1h9w12k8r5s5", planes=True),
    "groups of 4": lambda: Trial("n1c24h7w9k24r3s3_pd1_g6", "relu"),
    "groups of 16 by 20": lambda: Trial("n2c48h6w7k60r3s3_pd1_g3"),
    "groups, planes": lambda: Trial("n1c4h6w7k6r3s3_g2", planes=True),
    "winograd": lambda: Trial("n1c16h8w8k16r3s3_pd1"),
    "winograd, tails": lambda: Trial("n1c70h9w13k27r3s3_pd1", "relu", residual=True, halo=(1, 1, 1, 1)),
    "winograd, unequal padding, rows in pieces": lambda: Trial("n2c9h11w270k8r3s3_pd1x0x0x1", "silu", more=1),
    "winograd, many tiles": lambda: Trial("n2c8h30w30k24r3s3_pd1"),
    "depthwise": lambda: Trial("n2c20h9w13k20r3s3_pd1_g20", "relu6", residual=True, halo=(1, 0, 0, 1)),
    "depthwise, stride 2": lambda: Trial("n1c16h9w13k16r5s3_st2_pd2x1_g16", "sigmoid"),
    "depthwise, dilated": lambda: Trial("n1c5h17w23k5r3s3_st1x2_pd2x3_dl2x3_g5", "hardswish", more=1),
    "depthwise, wide": lambda: Trial("n1c9h12w20k9r9s9_pd4_g9", "silu"),
    "depthwise 7x7": lambda: Trial("n1c9h12w20k9r7s7_pd3_g9"),
}


@pytest.mark.parametrize("name", TRIALS)
def test_every_candidate_is_within_its_bound(name: str) -> None:
    trial = TRIALS[name]()
    for threads, at_end in ((1, True), (2, False)):
        for plan in trial.candidates(threads):
            trial.check(plan, threads=threads, at_end=at_end)


@pytest.mark.parametrize("name", TRIALS)
def test_pieces_may_run_in_any_order(name: str) -> None:
    trial = TRIALS[name]()
    for plan in trial.candidates(2):
        assert torch.equal(trial.run(plan, start=backwards, threads=2), trial.run(plan))


@pytest.mark.parametrize("name", TRIALS)
def test_names_of_candidates_tell_them_apart(name: str) -> None:
    """A plan is kept by its name."""
    trial = TRIALS[name]()
    for threads in (1, 2, 16):
        names = [plan.name for plan in trial.candidates(threads)]
        assert len(names) == len(set(names))


def test_what_the_rule_prefers_comes_first_though_another_rule_finds_it_too() -> None:
    lanes = host().lanes
    x, y = Blocked(2, 256, 7, 7, lanes, (2, 2, 2, 2)), Blocked(2, 16, 7, 7, lanes)
    plans = convolution.candidates(Convolution(x, y, (5, 5), padding=(2, 2)), host(), threads=1)
    assert plans[0].name == "direct, 7 rows x 1 blocks"


@settings(max_examples=25)
@given(st.data())
def test_any_geometry_is_right(data: st.DataObject) -> None:
    """Sizes are arguments, so all of these have few forms."""
    whole = st.integers

    def draw(low: int, high: int) -> int:
        return data.draw(whole(low, high))

    r, s, down, across = draw(1, 4), draw(1, 4), draw(1, 3), draw(1, 2)
    padding = [
        data.draw(whole(0, (taps - 1) * apart)) for taps, apart in ((r, down), (r, down), (s, across), (s, across))
    ]
    h, w = (
        draw(max(1, (r - 1) * down + 1 - sum(padding[:2])), 14),
        draw(max(1, (s - 1) * across + 1 - sum(padding[2:])), 12),
    )
    shape = f"n{draw(1, 2)}c{draw(1, 40)}h{h}w{w}k{draw(1, 2) * 16}r{r}s{s}_dl{down}x{across}"
    trial = Trial(f"{shape}_pd{'x'.join(map(str, padding))}", more=draw(0, 1))
    threads = draw(1, 2)
    for plan in trial.candidates(threads)[:2]:
        trial.check(plan, threads=threads, at_end=data.draw(st.booleans()))


@pytest.mark.parametrize(("lanes", "rows"), [(4, 3), pytest.param(16, 14, marks=pytest.mark.program)])
@pytest.mark.parametrize("name", ["1x1, halo of y", "stem", "winograd, tails", "depthwise", "groups of 4"])
def test_vectors_of_another_width_give_the_same(
    name: str, lanes: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = replace(host(), lanes=lanes, rows=rows)
    monkeypatch.setitem(globals(), "host", lambda: other)
    trial = TRIALS[name]()
    trial.check(trial.candidates(1)[0])


def test_strict_accuracy_leaves_out_f4() -> None:
    trial = TRIALS["winograd, many tiles"]()
    accuracies: tuple[Accuracy, Accuracy] = ("strict", "standard")
    strict, standard = ([plan.name for plan in trial.candidates(1, one)] for one in accuracies)
    assert any(name.startswith("F4") for name in standard)
    assert strict == [name for name in standard if not name.startswith("F4")]
    assert any(name.startswith("F2") for name in strict)


def test_strict_candidates_are_within_the_bound_of_a_direct_sum() -> None:
    trial = TRIALS["winograd, tails"]()
    for plan in trial.candidates(1, "strict"):
        out = trial.y.read(trial.run(plan))
        check(out, trial.truth, (trial.terms + 3) * U * trial.magnitude, trial.activation)


@pytest.mark.parametrize("name", ["winograd, unequal padding, rows in pieces", "groups of 16 by 20", "1x1"])
def test_an_image_has_no_influence_on_another(name: str) -> None:
    """What follows the rows of an image in memory is no operand of it: not even NaN leaks out of the next one."""
    trial = TRIALS[name]()
    half = trial.y.image
    for plan in trial.candidates(1):
        clean = trial.run(plan)
        before = trial.x
        trial.x = torch.cat([before[: trial.problem.x.image], torch.full((trial.problem.x.image,), 1e38)])
        assert torch.equal(trial.run(plan)[:half], clean[:half])
        trial.x = before
