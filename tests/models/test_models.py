"""Is every convolution of a model found, once, with its numbers?"""

import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from convbench import ConvbenchError
from convbench.bench.noise import NoiseReading
from convbench.models.costs import gather, measure
from convbench.models.forward import Census, census
from convbench.models.inputs import GivenInput, Inputs, parse_inputs
from convbench.models.load import find_model
from convbench.models.source import ModelSource
from convbench.models.timing import Sample, time_passes
from convbench.ran.of_model import watch_what_ran
from convbench.spec import ConvSpec
from convbench.suites import load_suite
from convbench.verify.oracle import dgrad_float64


def census_of(model: nn.Module, *shape: int, device: str = "meta") -> Census:
    return census(model.to(device), Inputs(args=(torch.zeros(shape, device=device),)))


def costs_of(make: object, *shape: int, **options: object):  # type: ignore[no-untyped-def]
    source = ModelSource(name="own", origin="tests", make=make)  # type: ignore[arg-type]  # it makes what it is given
    return measure(source, [GivenInput(shape=shape)], **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "calls", "gmacs"),
    [
        ("resnet50", 53, 4.087),
        ("mobilenet_v2", 52, 0.2995),
        ("efficientnet_b0", 81, 0.3845),
        ("vgg16", 13, 15.347),
        ("convnext_tiny", 22, 0.29297),
    ],
)
def test_a_model_adds_up_to_its_published_work_and_to_the_shipped_suite(name: str, calls: int, gmacs: float) -> None:
    costs = measure(find_model(name), timed=False)
    assert len(costs.census.calls) == calls
    assert costs.macs / 1e9 == pytest.approx(gmacs, rel=2e-4)
    assert costs.census.torch_macs == costs.macs
    assert costs.macs == sum(problem.count * problem.spec.macs for problem in load_suite(name))
    assert not costs.others


@pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "resnet50",
        "resnext50_32x4d",
        "vgg16",
        "mobilenet_v2",
        "efficientnet_b0",
        "convnext_tiny",
        "googlenet",
    ],
)
def test_a_shipped_suite_is_what_its_model_runs(name: str) -> None:
    # The blocks of convnext run in channels_last behind their first one: a suite does not tell them apart.
    rows: dict[ConvSpec, tuple[str, int]] = {}
    for row in measure(find_model(name), timed=False).rows:
        first, count = rows.get(row.shape.spec, (row.name, 0))
        rows[row.shape.spec] = first, count + row.count
    assert rows == {problem.spec: (problem.name, problem.count) for problem in load_suite(name)}


def test_linear_layers_and_attention_are_counted_apart() -> None:
    resnet = measure(find_model("resnet50"), timed=False)
    assert resnet.other_macs == 2048 * 1000
    assert resnet.conv_share == pytest.approx(0.9995, abs=1e-4)
    vit = measure(find_model("vit_b_16"), timed=False)
    assert vit.macs == 115_605_504
    assert {op for op, _ in vit.census.other_macs} >= {"aten.addmm", "aten.bmm"}
    assert vit.conv_share is not None
    assert vit.conv_share < 0.01


class Kinds(nn.Module):
    """One of each kind, as a module and as a function."""

    def __init__(self) -> None:
        super().__init__()
        self.plain = nn.Conv2d(3, 4, 3, stride=(2, 1), padding=(1, 0), dilation=(1, 2), bias=False)
        self.kernel = nn.Parameter(torch.randn(6, 2, 3, 3))
        self.up = nn.ConvTranspose2d(6, 4, 4, 2, 1, groups=2)
        self.line = nn.Conv1d(4, 5, 3, padding=1)
        self.block = nn.Conv3d(1, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(self.plain(x), self.kernel, None, 1, 1, 1, 2)
        x = self.up(x)
        y = self.line(x.flatten(2))
        z = self.block(x[:, None])
        last = F.conv2d(x, torch.ones(1, 4, 1, 1, device=x.device))
        return torch.cat([y.flatten(), z.flatten(), last.flatten()])


def test_every_kind_and_every_way_to_call_is_found_with_its_work() -> None:
    found = census_of(Kinds(), 2, 3, 8, 9)
    assert [(call.name, call.shape.kind, call.functional, call.bias) for call in found.calls] == [
        ("plain", "conv2d", False, False),
        ("kernel", "conv2d", True, False),
        ("up", "conv_transpose2d", False, True),
        ("line", "conv1d", False, True),
        ("block", "conv3d", False, True),
        ("conv2d", "conv2d", True, False),
    ]
    plain, kernel, up, line, block, last = (call.shape for call in found.calls)
    assert plain.spec == ConvSpec.parse("n2c3h8w9k4r3s3_st2x1_pd1x0_dl1x2")
    assert str(kernel) == "n2c4h4w5k6r3s3_pd1_g2"
    assert up.macs == 2 * 6 * 4 * 5 * (4 // 2) * 4 * 4  # each input gives K/G*R*S
    assert line.macs == 2 * 5 * 80 * 4 * 3
    assert block.macs == 2 * 2 * (2 * 6 * 8) * 27
    assert last.macs == 2 * 80 * 4
    assert found.macs == found.torch_macs
    assert [shape.why_no_spec for shape in (plain, up, line, block)] == [None, None, None, "conv3d"]
    assert (str(up), up.pass_) == ("n2c4h8w10k6r4s4_st2_pd1_g2", "dgrad")
    assert (str(line), line.pass_) == ("n2c4h1w80k5r1s3_pd0x1", "fprop")
    assert str(block) == "conv3d:n2c1i4x8x10k2f3"
    for shape in (plain, kernel, up, line, last):
        assert shape.spec.macs == shape.macs


class Padding(nn.Module):
    """Every way in which a model pads, and what looks like one and is none."""

    def forward(self, x: Tensor) -> Tensor:
        def w(*sizes: int) -> Tensor:
            return torch.ones(sizes, device=x.device)

        x = F.conv2d(x, w(4, 3, 4, 2), padding="same")
        x = F.conv2d(F.pad(x, (0, 1, 1, 2)), w(4, 4, 3, 3), stride=2, padding=(1, 0))
        x = F.conv2d(F.pad(F.pad(x, (0, 1)), (0, 0, 2, 0)), w(4, 4, 2, 2))
        x = F.conv1d(F.pad(x.flatten(2), (2, 0)), w(4, 4, 3)).view(1, 4, -1, 3)
        x = F.conv2d(F.pad(x, (0, 1), value=1.0), w(4, 4, 1, 2))
        x = F.conv2d(F.pad(x, (0, 1, -1, 0)), w(4, 4, 1, 2))
        x = F.conv2d(F.pad(x, (0, 1)).add_(1), w(4, 4, 1, 2))
        x = F.conv2d(F.pad(x, (0, 1, 0, 0), mode="replicate"), w(4, 4, 1, 2))
        return F.conv_transpose2d(F.pad(x, (0, 1)), w(4, 4, 1, 2))


def test_an_image_that_the_model_pads_with_zeros_is_told_with_its_padding() -> None:
    found = census_of(Padding(), 1, 3, 9, 7)
    assert [str(call.shape) for call in found.calls] == [
        "n1c3h9w7k4r4s2_pd1x2x0x1",
        "n1c4h9w7k4r3s3_st2_pd2x3x0x1",
        "n1c4h6w3k4r2s2_pd2x0x0x1",
        "n1c4h1w21k4r1s3_pd0x0x2x0",
        "n1c4h7w4k4r1s2",
        *["n1c4h6w4k4r1s2"] * 3,
        "n1c4h6w5k4r1s2",
    ]
    assert [call.padded for call in found.calls] == [True] * 4 + [False] * 5
    assert found.macs == found.torch_macs


def test_what_is_not_of_floating_point_numbers_is_counted_and_told() -> None:
    def of_integers(x: Tensor) -> Tensor:
        return F.conv2d(x.to(torch.int8), torch.ones(2, 3, 3, 3, dtype=torch.int8, device=x.device))

    def of_complex_numbers(x: Tensor) -> Tensor:
        w = torch.ones(2, 3, 3, 3, dtype=torch.complex64, device=x.device)
        return F.conv2d(x.to(torch.complex64), w)

    whole = census_of(Calls(of_integers), 1, 3, 8, 8)
    assert gather(whole.calls)[0].shape.why_no_spec == "conv2d of integers"
    assert whole.macs == 2 * 36 * 27
    assert (whole.complex_calls, census_of(Calls(of_complex_numbers), 1, 3, 8, 8).complex_calls) == (0, 1)


class Calls(nn.Module):
    def __init__(self, call: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.call = call

    def forward(self, x: Tensor) -> Tensor:
        return self.call(x)


@settings(max_examples=60)
@given(
    sizes=st.tuples(*[st.integers(1, 6)] * 2),
    kernel=st.tuples(*[st.integers(1, 4)] * 2),
    stride=st.tuples(*[st.integers(1, 3)] * 2),
    dilation=st.tuples(*[st.integers(1, 3)] * 2),
    groups=st.integers(1, 2),
    data=st.data(),
)
def test_a_transposed_convolution_is_the_dgrad_that_it_says(
    sizes: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    data: st.DataObject,
) -> None:
    extent = [apart * (taps - 1) + 1 for apart, taps in zip(dilation, kernel, strict=True)]
    whole = [(size - 1) * step + one for size, step, one in zip(sizes, stride, extent, strict=True)]
    padding = [data.draw(st.integers(0, min(2, (size - 1) // 2))) for size in whole]
    rest = [data.draw(st.integers(0, step - 1)) for step in stride]
    options = {"stride": stride, "padding": padding, "output_padding": rest, "dilation": dilation, "groups": groups}
    try:
        layer = nn.ConvTranspose2d(4, 6, kernel, bias=False, **options).double()  # type: ignore[arg-type]
        x = torch.randint(-4, 5, (2, 4, *sizes)).double()
        y = layer(x)
    except RuntimeError:  # torch wants the output padding below the dilation too, in some releases
        assume(False)
    (call,) = census(layer, Inputs(args=(x,))).calls
    spec = call.shape.spec
    assert spec.x_shape == y.shape
    assert spec.y_shape == x.shape
    assert torch.equal(dgrad_float64(x, layer.weight.detach(), spec), y)
    assert spec.macs == call.shape.macs


def test_what_cannot_be_a_problem_is_counted_and_told() -> None:
    costs = costs_of(Kinds, 2, 3, 8, 9, timed=False)
    assert costs.others == {"conv3d": 1}
    assert len(costs.problems) == 5
    assert costs.macs == sum(row.macs for row in costs.rows)


@pytest.mark.parametrize(
    "activation",
    [nn.ReLU, nn.ReLU6, nn.ELU, nn.SELU, nn.CELU, nn.Hardtanh, nn.Hardswish, nn.Hardsigmoid, nn.Mish, nn.SiLU],
    ids=lambda one: one.__name__,
)
def test_an_activation_in_place_is_followed(activation: type[nn.Module]) -> None:
    found = census_of(
        nn.Sequential(nn.Conv2d(1, 1, 3), activation(inplace=True), nn.Conv2d(1, 1, 3)), 1, 1, 9, 9, device="cpu"
    )
    assert found.unfollowed == ()
    assert found.calls[1].field is not None
    assert [(one.size, one.exact) for one in found.calls[1].field] == [(5, True)] * 2


class Cached(nn.Module):
    """Inference mode within forward(), where composite operators are not taken apart by themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))

    @torch.inference_mode()
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.body(x)
        return y


def test_inference_mode_and_direct_calls_of_forward_hide_nothing() -> None:
    class Direct(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.inner.forward(x)  # no hook runs

    assert [call.name for call in census_of(Cached(), 1, 3, 9, 9).calls] == ["body.0", "body.2"]
    assert [call.name for call in census_of(Direct(), 1, 3, 9, 9).calls] == ["inner"]


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*")
def test_a_scripted_model_is_looked_into() -> None:
    scripted = torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)))
    found = census_of(scripted, 1, 3, 9, 9, device="cpu")
    assert [(call.name, str(call.shape)) for call in found.calls] == [("0", "n1c3h9w9k4r3s3"), ("2", "n1c4h7w7k2r3s3")]


def test_a_convolution_of_another_kind_is_not_dropped_in_silence() -> None:
    from torchvision.ops import DeformConv2d

    class Deformed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.offset = nn.Conv2d(3, 18, 3)
            self.deformed = DeformConv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.deformed(x, self.offset(x))
            return y

    found = census_of(Deformed(), 1, 3, 9, 9)
    assert [call.name for call in found.calls] == ["offset"]
    assert found.uncounted == (("deform_conv2d", "deformed"),)


def test_a_model_is_left_as_it_was() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout()).train()
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
    census_of(model, 1, 3, 9, 9)
    assert model.training
    assert [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()] == hooks
    assert torch.backends.mha.get_fastpath_enabled()


def test_what_needs_numbers_runs_on_the_cpu_and_says_why() -> None:
    class Choosing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.one(x) if x.sum() < 1e9 else x

    costs = costs_of(Choosing, 1, 3, 8, 8, timed=False)
    assert costs.census.device == "cpu"
    assert costs.census.why_not_meta
    assert costs.macs == 36 * 4 * 27
    assert costs_of(Cached, 1, 3, 8, 8, timed=False).census.device == "meta"


def test_equal_convolutions_are_one_row_with_their_number_and_range_of_fields() -> None:
    rows = gather(census_of(nn.Sequential(*[nn.Conv2d(4, 4, 3, padding=1) for _ in range(3)]), 1, 4, 32, 32).calls)
    (row,) = rows
    assert (row.name, row.count) == ("0", 3)
    assert row.field is not None
    assert [extent.size for extent in row.field] == [3, 7]


TICK_S = 2.0**-10


class Clock:
    """Goes on by the same little at each look, so that every operator takes one tick."""

    def __init__(self) -> None:
        self.looks = itertools.count()

    def __call__(self) -> float:
        return next(self.looks) * TICK_S


class Quiet:
    """A machine on which nothing disturbs, or what it is told."""

    def __init__(self, *_: object, dirt: Callable[[int], str] = lambda _: "") -> None:
        self._dirt, self._looks = dirt, itertools.count()

    def __enter__(self) -> "Quiet":
        return self

    def __exit__(self, *_: object) -> None: ...
    def refresh(self) -> None: ...
    def read(self) -> NoiseReading:
        return NoiseReading(waited_s={}, switches=0, steal_s=0.0)

    def dirt(self, *_: object) -> str:
        return self._dirt(next(self._looks))


def test_shares_of_time_are_those_of_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convbench.models.costs.Meter", Quiet)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)).eval()
    passes = time_passes(model, Inputs(args=(torch.zeros(1, 3, 9, 9),)), clean=3, clock=Clock())
    assert len(passes) == 3
    for one in passes:
        assert one.samples == (
            Sample(((1, 3, 9, 9), (4, 3, 3, 3)), TICK_S),
            Sample(((1, 4, 7, 7), (4, 4, 3, 3)), TICK_S),
        )
        assert one.others == {"relu": TICK_S}
        assert one.operators_s == 3 * TICK_S
    costs = costs_of(lambda: model, 1, 3, 9, 9, clock=Clock())
    assert [row.time_share for row in costs.rows] == [0.5, 0.5]
    assert (costs.conv_time_share, costs.passes) == (pytest.approx(2 / 3), 7)


def test_a_model_too_large_for_the_memory_is_counted_and_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convbench.models.costs.free_nbytes", lambda device: 1000)
    costs = costs_of(Cached, 1, 3, 9, 9)
    assert costs.macs == 49 * 4 * 27 + 25 * 4 * 36
    assert "1,000 are free" in costs.unmeasured
    assert costs.conv_time_share is None


def test_a_pass_in_inference_mode_is_timed_by_the_convolution() -> None:
    (one,) = time_passes(Cached(), Inputs(args=(torch.zeros(1, 3, 9, 9),)), clean=1)
    assert [sample.of[1] for sample in one.samples] == [(4, 3, 3, 3), (4, 4, 3, 3)]


@pytest.mark.program
def test_what_torch_runs_is_seen_for_each_plain_convolution() -> None:
    layers = nn.Sequential(nn.Conv2d(1, 1, 2), nn.ConvTranspose2d(1, 64, 2), nn.Conv2d(64, 64, 3))
    costs = costs_of(lambda: layers, 1, 1, 20, 20, timed=False)
    assert [row.ran for row in costs.rows] == ["", "", ""]
    first, second, third = (row.ran for row in watch_what_ran(costs).rows)
    assert first == "Slow2d"
    assert second == ""
    assert third.startswith("oneDNN ")


@pytest.mark.parametrize(
    ("text", "shapes"),
    [("1x3x224x224", ((1, 3, 224, 224),)), ("2X3X8X8,1x4", ((2, 3, 8, 8), (1, 4)))],
)
def test_inputs_are_read(text: str, shapes: tuple[tuple[int, ...], ...]) -> None:
    assert tuple(one.shape for one in parse_inputs(text)) == shapes


@pytest.mark.parametrize("text", ["", "1x3x", "1,x", "0x3x8x8", "1x-3", "99999x99999x9", "1x3x²"])
def test_what_is_no_input_is_refused(text: str) -> None:
    with pytest.raises(ConvbenchError, match="--input"):
        parse_inputs(text)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("resnet5", "did you mean 'resnet50'"),
        ("no.such:factory", "No module named 'no'"),
        ("torchvision:resnet5", "did you mean 'resnet50'"),
        ("a b:c", "is not a module"),
        ("math:", "the name is not in it"),
        ("math:pi", "is a float"),
        ("math:nothing", "math has no nothing"),
    ],
)
def test_a_model_that_is_not_there_is_one_line(name: str, words: str) -> None:
    with pytest.raises(ConvbenchError, match=words) as refused:
        find_model(name)
    assert "\n" not in str(refused.value)
    assert "package.module:factory" in str(refused.value)


def test_a_factory_that_raises_or_exits_or_makes_something_else_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    (tmp_path / "own_nets.py").write_text(
        "import torch\nfrom torch import nn\n"
        "def leaves(): raise SystemExit(0)\n"
        "def words(): return 'a model'\n"
        "net = nn.Conv2d(3, 4, 3)\n"
        "class Net(nn.Conv2d):\n    def __init__(self): super().__init__(3, 4, 3)\n"
    )
    for name, words in (("leaves", "cannot be built: SystemExit: 0"), ("words", "returns a str")):
        with pytest.raises(ConvbenchError, match=words):
            measure(find_model(f"own_nets:{name}"), timed=False)
    for name in ("net", "Net"):
        costs = measure(find_model(f"own_nets:{name}"), parse_inputs("1x3x8x8"), timed=False)
        assert costs.macs == 36 * 4 * 27
    with pytest.raises(ConvbenchError, match="does not run on --input 1x5x8x8: RuntimeError"):
        measure(find_model("own_nets:net"), parse_inputs("1x5x8x8"), timed=False)


@pytest.mark.needs("timm")
def test_a_model_of_timm_is_built_without_a_download() -> None:
    source = find_model("timm:resnet18")
    assert source.input_shape == (3, 224, 224)
    costs = measure(source, timed=False)
    assert Counter({row.shape.spec: row.count for row in costs.rows}) == Counter(
        {problem.spec: problem.count for problem in load_suite("resnet18")}
    )


def test_no_model_downloads_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("it would download")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    costs = measure(
        find_model("fcn_resnet50"), parse_inputs("1x3x64x64"), timed=False
    )  # its backbone's usual weights are a file
    assert costs.census.device == "meta"
    assert costs.macs == costs.census.torch_macs
