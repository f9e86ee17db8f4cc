"""What each pass does to the nodes; that outputs stay right is in test_build.py."""

import copy
from math import inf

import pytest
import torch
from torch import Tensor, nn

from convbench.graph.capture import capture
from convbench.graph.graph import Graph
from convbench.graph.lower import Layout
from convbench.graph.program import Program
from convbench.graph.simplify import simplify
from convbench.graph.translate import translate
from convbench.graph.tune import tune
from convbench.jit.target import host
from convbench.kernels.blocked.geometry import Blocked, Planes
from convbench.models.accuracy import relative_error
from tests.graph.nets import make


def graph_of(model: nn.Module, *shapes: tuple[int, ...]) -> tuple[Graph, list[Tensor]]:
    inputs = [torch.randn(shape) for shape in shapes or [(1, 3, 8, 8)]]
    return simplify(translate(capture(model.eval(), inputs))), inputs


def words(graph: Graph) -> list[str]:
    return [node.operation.words for node in graph.nodes]


class Called(nn.Module):
    """A function of torch as a model, with what it needs as parts."""

    def __init__(self, function: object, **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, *inputs: Tensor) -> object:
        return self.function(self, *inputs)  # type: ignore[operator]  # a part may be any module, a function any object


def test_norm_sum_and_activation_join_the_convolutions() -> None:
    model, x = make("residual")
    graph = simplify(translate(capture(model, [x])))
    assert words(graph) == [
        "conv 7x7 3->16 stride 2 relu",
        "max pool 3x3 stride 2",
        "conv 3x3 16->16 relu",
        "conv 3x3 16->16 + residual relu",
        "conv 1x1 16->24 stride 2",
        "conv 3x3 16->24 stride 2 relu",
        "conv 3x3 24->24 + residual relu",
        "global average pool",
        "flatten",
        "linear 24->10",
    ]


def test_folded_weights_are_as_exact_as_float64() -> None:
    model, x = make("residual")
    graph = simplify(translate(capture(model, [x])))
    truth = model.double()(x.double())
    assert relative_error(graph.run([x], exact=True), truth) < 1e-13


def test_nothing_is_joined_to_what_is_read_elsewhere() -> None:
    conv = nn.Conv2d(3, 3, 1)
    graph, _ = graph_of(Called(lambda m, x: (m.conv(x).relu() + (y := m.conv(x)), y), conv=conv))
    assert words(graph) == ["conv 1x1 3->3 relu", "conv 1x1 3->3", "add"]
    graph, _ = graph_of(Called(lambda m, x: torch.add(m.conv(x), x, alpha=2), conv=conv))
    assert words(graph) == ["conv 1x1 3->3", "torch aten.add.Tensor"]
    graph, _ = graph_of(Called(lambda m, x: (y := m.conv(x)) + y, conv=conv))
    assert words(graph) == ["conv 1x1 3->3", "add"]


@pytest.mark.parametrize(
    ("function", "wanted"),
    [
        (lambda _, x: nn.functional.hardtanh(x, 0, 6), "relu6"),
        (lambda _, x: x.clamp(min=0), "relu"),
        (lambda _, x: x.clamp(-1, 1), "torch aten.clamp.default"),
        (lambda _, x: nn.functional.gelu(x), "gelu"),
        (lambda _, x: nn.functional.gelu(x, approximate="tanh"), "torch aten.gelu.default"),
        (lambda _, x: x.mean([-1, 2]), "global average pool"),
        (lambda _, x: x.mean(1), "torch aten.mean.dim"),
        (lambda _, x: x * x.mean((2, 3), keepdim=True), "scale channels"),
        (lambda _, x: x * x, "multiply"),
        (lambda _, x: x * 2, "scale and shift"),
        (lambda _, x: 1 + x, "scale and shift"),
        (lambda _, x: x * torch.arange(3.0).view(3, 1, 1), "scale and shift"),
        (lambda _, x: x * torch.arange(8.0), "torch aten.mul.Tensor"),
        (lambda _, x: torch.cat([x, x], 1), "concatenate channels"),
        (lambda _, x: torch.cat([x, x], 2), "torch aten.cat.default"),
        (lambda _, x: nn.functional.avg_pool2d(x, 3, 1, 1), "average pool 3x3 stride 1"),
        (lambda _, x: nn.functional.adaptive_avg_pool2d(x, 2), "average pool 4x4 stride 4"),
        (lambda _, x: nn.functional.adaptive_avg_pool2d(x, 3), "torch aten.adaptive_avg_pool2d.default"),
        (lambda _, x: nn.functional.max_pool2d(x, 3, 2, 1, ceil_mode=True), "max pool 3x3 stride 2"),
        (lambda _, x: nn.functional.interpolate(x, scale_factor=2), "upsample x2 nearest"),
        (lambda _, x: nn.functional.interpolate(x, scale_factor=1.5), "torch aten.upsample_nearest2d.vec"),
        (
            lambda _, x: nn.functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True),
            "upsample x2 bilinear",
        ),
    ],
)
def test_operators_are_known_or_stay_with_torch(function: object, wanted: str) -> None:
    model = Called(function)
    graph, (x,) = graph_of(model)
    assert words(graph)[-1] == wanted
    program = Program(graph, 1)
    program.load({})
    torch.testing.assert_close(program.run([x]), model(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(3, 5, 3, padding="same", dilation=2),
        nn.Conv2d(3, 5, (2, 4), padding="same"),
        nn.Conv2d(3, 6, (3, 1), (1, 2), (0, 3), groups=3),
        nn.Conv2d(3, 3, 5, 2, 2, groups=3, bias=False),
        nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
    ],
    ids=str,
)
def test_convolutions_of_all_kinds(conv: nn.Conv2d) -> None:
    graph, (x,) = graph_of(conv, (2, 3, 9, 11))
    program = Program(graph, 1)
    program.load({})
    assert program.lowered
    torch.testing.assert_close(program.run([x]), conv(x).detach(), rtol=1e-5, atol=1e-5)


class Permuted(nn.Module):
    """A block of ConvNeXt."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise, self.norm = nn.Conv2d(12, 12, 7, padding=3, groups=12), nn.LayerNorm(12, eps=1e-6)
        self.more, self.less = nn.Linear(12, 48), nn.Linear(48, 12)
        self.scale = nn.Parameter(torch.randn(12, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.less(nn.functional.gelu(self.more(y))).permute(0, 3, 1, 2)
        return x + self.scale * y  # type: ignore[no-any-return]  # of a module


def test_layers_on_the_last_axis_become_convolutions() -> None:
    model = Permuted()
    graph, (x,) = graph_of(model, (2, 12, 9, 9))
    assert words(graph) == [
        "conv 7x7 12->12 12 groups",
        "layer norm of channels",
        "conv 1x1 12->48 gelu",
        "conv 1x1 48->12 + residual",
    ]
    program = Program(graph, 1)
    program.load({})
    assert len(program.segments) == 1
    with torch.no_grad():
        assert relative_error(program.run([x]), model.double()(x.double())) < 5e-7


def test_a_permuted_image_that_is_read_elsewhere_is_still_made() -> None:
    linear = nn.Linear(3, 5)
    model = Called(lambda m, x: ((y := m.linear(x.permute(0, 2, 3, 1))), y.cumsum(1)), linear=linear)
    graph, (x,) = graph_of(model)
    assert words(graph) == ["conv 1x1 3->5", "torch aten.permute.default", "torch aten.cumsum.default"]
    program = Program(graph, 1)
    program.load({})
    for ours, theirs in zip(program.run([x]), model(x), strict=True):
        torch.testing.assert_close(ours, theirs)


def inverted() -> nn.Sequential:
    expand, depthwise = nn.Conv2d(12, 40, 1), nn.Conv2d(40, 40, 3, 1, 1, groups=40)
    return nn.Sequential(
        nn.Conv2d(3, 12, 1), expand, nn.ReLU6(), depthwise, nn.ReLU6(), nn.Conv2d(40, 12, 1), nn.ReLU()
    )  # fmt: skip


def test_inverted_residuals_are_done_by_one_kernel_or_apart() -> None:
    model = inverted()
    graph, (x,) = graph_of(model, (2, 3, 14, 14))
    program = Program(graph, 1)
    (name,) = program.groups
    assert name == "1 to 5"
    truth = copy.deepcopy(model).double()(x.double())
    for plan in program.groups[name].lowered.plans:
        program.load({name: plan.name})
        assert program.choices[name] == plan.name
        assert [one.name for one in program.loaded()] == (["0", "1", "3", "5"] if plan.name == "apart" else ["0", name])
        assert relative_error(program.run([x]), truth) < 5e-7
        assert max(program.errors([x]).values()) < 5e-7


def test_a_group_is_chosen_by_the_time_of_its_members(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convbench.graph.tune.DISTURBED", inf)  # no round is left out, however busy the machine is
    model, x = inverted().eval(), torch.randn(1, 3, 14, 14)
    program = Program(simplify(translate(capture(model, [x]))), 1)
    tuning = tune(program, [x])
    (name,) = program.groups
    assert tuning.seconds[name].keys() == {plan.name for plan in program.groups[name].lowered.plans}
    chosen = tuning.with_groups(program, tuning.choices(program))
    for node, seen in tuning.seconds.items():
        if node in chosen:
            assert seen[chosen[node]] <= min(seen.values()) / 0.99


def test_what_no_input_decides_is_computed_once() -> None:
    conv = torch.nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))
    graph, _ = graph_of(conv)
    assert words(graph) == ["conv 3x3 3->4"]


def test_halos_are_as_wide_as_readers_need_and_few_channels_stay_planes() -> None:
    model, x = make("residual")
    graph = simplify(translate(capture(model, [x])))
    layout = Layout(graph, host())
    by_name = {node.name: node for node in graph.nodes}
    assert layout[graph.inputs[0]] == Planes(1, 3, 32, 32, (3, 2, 3, 2))
    pool = layout[by_name["max_pool2d"].output]
    assert isinstance(pool, Blocked)
    assert pool.halo == (1, 1, 1, 1)
    assert layout.blocked(by_name["0"].output).flat
    assert layout.blocked(by_name["5.shortcut.0"].output).flat


def test_memory_is_used_again_and_halos_stay_zero() -> None:
    layers = [nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()) for _ in range(6)]
    graph, (x,) = graph_of(nn.Sequential(*layers), (1, 8, 16, 16))
    program = Program(graph, 1)
    program.load({})
    places = {program.place_of(node.output) for node in graph.nodes[:-1]}
    assert len(places) == 2
    first = program.run([x])
    program.run([x * 1e6])
    assert torch.equal(program.run([x]), first)


def test_segments_are_few() -> None:
    """What has a kernel runs before the next call of torch, even if the model calls it later."""

    def forward(m: nn.Module, x: Tensor) -> Tensor:
        a, b = m.one(x).cumsum(3), m.two(x)  # type: ignore[operator]  # a part may be any module, a function any object
        return a + b  # type: ignore[no-any-return]  # of a module

    graph, (x,) = graph_of(Called(forward, one=nn.Conv2d(3, 3, 1), two=nn.Conv2d(3, 3, 1)))
    program = Program(graph, 1)
    program.load({})
    assert len(program.segments) == 2
    torch.testing.assert_close(program.run([x]), graph.run([x]))
