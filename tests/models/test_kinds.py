"""Is a model the same whichever way it is kept: traced, scripted, frozen, exported, halved, in a file?"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from convbench import ConvbenchError
from convbench.models.costs import measure
from convbench.models.forward import in_channels_last
from convbench.models.inputs import parse_inputs
from convbench.models.load import find_model
from convbench.models.source import ModelSource

X = (2, 3, 12, 12)
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit")  # people keep such models all the same


class Net(nn.Module):
    def __init__(self, channels: int = 3, filters: int = 8) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, filters, 3, padding=1)
        self.depthwise = nn.Conv2d(filters, filters, 3, stride=2, groups=filters)
        self.norm, self.head = nn.BatchNorm2d(filters), nn.Linear(filters, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.norm(self.depthwise(self.first(x).relu())).mean((2, 3)))
        return y


def of_torch(model: nn.Module, x: Tensor) -> int:
    """Multiply-adds of the convolutions by torch's own counter, of a plain run."""
    with FlopCounterMode(display=False) as flops, torch.no_grad():
        model(x)
    counts = flops.get_flop_counts()["Global"]
    return sum(int(count) for op, count in counts.items() if "conv" in str(op)) // 2


WANTED = 2 * 144 * 8 * 27 + 2 * 25 * 8 * 9


def measured(make: Callable[[], object], *, given: str | None = "2x3x12x12", **options: object):  # type: ignore[no-untyped-def]
    source = ModelSource(name="own", origin="tests", make=make)
    return measure(source, None if given is None else parse_inputs(given), timed=False, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def net() -> Net:
    return Net().eval()


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (lambda net: net, ["first", "depthwise"]),
        (lambda net: torch.jit.trace(net, torch.zeros(X)), ["first", "depthwise"]),
        (torch.jit.script, ["first", "depthwise"]),
        (lambda net: torch.jit.freeze(torch.jit.script(net)), ["conv2d", "conv2d#2"]),
        (lambda net: torch.jit.freeze(torch.jit.trace(net, torch.zeros(X))), ["conv2d", "conv2d#2"]),
    ],
    ids=["plain", "traced", "scripted", "frozen script", "frozen trace"],
)
def test_every_kind_has_the_convolutions_that_torch_counts(
    kind: Callable[[nn.Module], nn.Module], names: list[str], net: Net
) -> None:
    kept = kind(net)
    costs = measured(lambda: kept)
    assert of_torch(net, torch.zeros(X)) == WANTED == costs.macs == costs.census.torch_macs
    assert [call.name for call in costs.census.calls] == names
    assert costs.census.uncounted == ()
    assert all(not one.is_meta for one in net.parameters())


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("make", [torch.jit.script, lambda net: torch.jit.trace(net, torch.zeros(X))])
def test_torchscript_in_a_file_has_the_same(
    make: Callable[[nn.Module], torch.jit.ScriptModule], frozen: bool, net: Net, tmp_path: Path
) -> None:
    kept = torch.jit.freeze(make(net)) if frozen else make(net)
    torch.jit.save(kept, tmp_path / "net.pt")
    costs = measure(find_model(str(tmp_path / "net.pt")), parse_inputs("2x3x12x12"), timed=False)
    assert costs.macs == WANTED == costs.census.torch_macs


def test_a_traced_module_brings_the_input_that_it_was_traced_on(net: Net) -> None:
    traced = torch.jit.trace(net, torch.zeros(1, 3, 9, 7))
    assert [one.shape for one in measured(lambda: traced, given=None).inputs] == [(1, 3, 9, 7)]


def test_what_torchscript_computes_past_the_dispatcher_is_told_and_not_counted(net: Net) -> None:
    inlined = torch.jit.optimize_for_inference(torch.jit.script(net))
    found = measured(lambda: inlined).census
    assert len(found.calls) + len(found.uncounted) >= 2
    assert all(op.startswith("prim::") for op, _ in found.uncounted)


@pytest.mark.program
def test_an_exported_program_its_module_and_its_file_are_the_model(net: Net, tmp_path: Path) -> None:
    program = torch.export.export(net, (torch.zeros(X),))
    path = tmp_path / "net.pt2"
    torch.export.save(program, path)
    for source in (
        ModelSource(name="own", origin="", make=lambda: program),
        ModelSource(name="own", origin="", make=program.module),
        find_model(str(path)),
    ):
        given = parse_inputs("2x3x12x12") if source.make == program.module else None
        costs = measure(source, given, timed=False)
        assert (costs.macs, costs.census.torch_macs) == (WANTED, WANTED)
        assert [call.name for call in costs.census.calls] == ["first", "depthwise"]
        assert [one.shape for one in costs.inputs] == [X]
    assert "can run code" in find_model(str(path)).risk


@pytest.mark.parametrize(("cast", "dtype"), [(nn.Module.half, "fp16"), (nn.Module.bfloat16, "bf16")])
def test_a_model_of_16_bits_gets_inputs_of_16_bits(cast: Callable[[nn.Module], nn.Module], dtype: str) -> None:
    costs = measured(lambda: cast(Net()))
    assert costs.macs == WANTED
    assert {call.shape.dtype for call in costs.census.calls} == {dtype}
    first = costs.census.calls[0].shape
    assert first.nbytes == 2 * (2 * 3 * 144 + 8 * 27 + 2 * 8 * 144)


def test_channels_last_is_the_layout_of_the_calls() -> None:
    costs = measured(lambda: Net().to(memory_format=torch.channels_last))
    assert [call.shape.layout for call in costs.census.calls] == ["nhwc", "nhwc"]
    assert {call.shape.layout for call in measured(Net).census.calls} == {"nchw"}


@pytest.mark.parametrize("sizes", [(2, 3, 4, 5), (4, 3, 1, 1), (4, 1, 3, 3), (1, 1, 1, 1), (1, 3, 1, 5)])
def test_channels_last_is_told_as_torch_tells_it(sizes: tuple[int, ...]) -> None:
    """Against the layout that torch gives the sum of a tensor and itself, which follows the same rule."""
    for one in (torch.zeros(sizes), torch.zeros(sizes).to(memory_format=torch.channels_last)):
        weight = torch.zeros(2, sizes[1], 1, 1)
        y = torch.nn.functional.conv2d(one, weight) if min(sizes[2:]) > 1 else None
        if y is not None:
            assert in_channels_last(y) == in_channels_last(one)
    assert not in_channels_last(torch.zeros(sizes))
    if sizes[1] > 1 and sizes[0] * sizes[2] * sizes[3] > 1:
        assert in_channels_last(torch.zeros(sizes).to(memory_format=torch.channels_last))


def test_a_training_step_takes_the_gradients_that_torch_takes() -> None:
    class Plain(nn.Sequential):
        def __init__(self) -> None:
            layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3, 2, 1), nn.ConvTranspose2d(6, 5, 2, 2)
            super().__init__(*layers)
            self[2].weight.requires_grad_(False)

    costs = measured(Plain, training=True)
    one, two, three = (call.shape.macs for call in costs.census.calls)
    assert costs.macs_by_pass == {"fprop": one + two + three, "dgrad": two + three, "wgrad": one + three}
    assert [(call.dgrad, call.wgrad) for call in costs.census.calls] == [(False, True), (True, False), (True, True)]
    model = Plain()
    with FlopCounterMode(display=False) as flops:
        model(torch.zeros(X)).sum().backward()
    counted = sum(count for op, count in flops.get_flop_counts()["Global"].items() if "conv" in str(op)) // 2
    assert sum(costs.macs_by_pass.values()) == counted
    assert costs.torch_agrees


def test_the_wgrad_of_groups_is_counted_by_its_own_products() -> None:
    """torch's counter takes a dense one; the number of products is that of the forward pass, by enumeration."""
    costs = measured(Net, training=True)
    first, depthwise = (call.shape for call in costs.census.calls)
    products = depthwise.y[0] * depthwise.y[1] * 1 * 9 * 5 * 5  # images, filters, channels of a group, taps, places
    assert costs.macs_by_pass == {
        "fprop": WANTED,
        "dgrad": products,
        "wgrad": first.macs + products,
    }
    assert costs.census.torch_gradient_macs == products + first.macs + 8 * products
    assert costs.torch_agrees


FILE = """
import torch
from torch import nn

class Model(nn.Module):
    def __init__(self, channels, filters):
        super().__init__()
        self.conv = nn.Conv2d(channels, filters, 3)
    def forward(self, x):
        return {"out": [self.conv(x)]}

def get_inputs():
    return [torch.rand(2, 5, 10, 10)]

def get_init_inputs():
    return [5, 7]

def halved():
    return Model(5, 7).half()

traced = torch.jit.trace(nn.Conv2d(3, 4, 3), torch.zeros(1, 3, 8, 8))
number = 7
"""


def test_a_file_names_its_model_and_what_it_is_called_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.path", [*__import__("sys").path])
    path = tmp_path / "own.py"
    path.write_text(FILE)
    for name in ("", ":Model", ":halved"):
        costs = measure(find_model(f"{path}{name}"), timed=False)
        assert costs.macs == 2 * 64 * 7 * 5 * 9
        assert [one.shape for one in costs.inputs] == [(2, 5, 10, 10)]
    assert costs.census.calls[0].shape.dtype == "fp16"
    assert measure(find_model(f"{path}:Model"), parse_inputs("1x5x5x5"), timed=False).macs == 9 * 7 * 5 * 9
    for name, words in (
        (":nothing", "own.py has no nothing; .*did you mean 'Model'"),
        (":number", "is a int, not a model"),
    ):
        with pytest.raises(ConvbenchError, match=words):
            find_model(f"{path}{name}")
    with pytest.raises(ConvbenchError, match="there is no such file"):
        find_model(f"{tmp_path / 'none.py'}:Model")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("from torch import nn\nclass A(nn.Conv2d): ...\nclass B(nn.Conv2d): ...\n", "defines A, B: name a class"),
        ("x = 1\n", "defines no torch.nn.Module"),
        ("x = \n", "cannot be imported: SyntaxError"),
        ("raise SystemExit(0)\n", "cannot be imported: SystemExit: 0"),
    ],
)
def test_a_file_without_one_model_is_one_line(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "own.py"
    path.write_text(text)
    with pytest.raises(ConvbenchError, match=words) as refused:
        find_model(str(path))
    assert "\n" not in str(refused.value)


def test_what_torch_saved_is_known_by_what_is_in_it(net: Net, tmp_path: Path) -> None:
    scripted, whole, weights = (tmp_path / name for name in ("scripted.pt", "whole.pth", "weights.pt"))
    torch.jit.save(torch.jit.script(net), scripted)
    torch.save({"epoch": 3, "model": net}, whole)
    torch.save(net.state_dict(), weights)
    for path in (scripted, whole):
        source = find_model(str(path))
        assert "can run code" in source.risk
        assert measure(source, parse_inputs("2x3x12x12"), timed=False).macs == WANTED
    with pytest.raises(ConvbenchError, match=r"holds weights \(\d+ entries\), not a model: name the class"):
        find_model(str(weights))
    for content, words in (
        (b"no archive", "not a file of PyTorch"),
        (b"", "not a file of PyTorch"),
        (scripted.read_bytes().replace(b"/data", b"/d\xffta"), "not a file of PyTorch"),
        (None, "no such file"),
    ):
        path = tmp_path / "other.pt"
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ConvbenchError, match=words):
            find_model(str(path))


def test_nothing_in_a_pickle_runs_before_its_model_is_built(tmp_path: Path) -> None:
    mark = tmp_path / "ran"

    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.touch, (mark,)

    torch.save({"model": Bomb()}, tmp_path / "bomb.pt")
    source = find_model(str(tmp_path / "bomb.pt"))
    assert not mark.exists()
    with pytest.raises(ConvbenchError, match=r"returns a dict, not a torch\.nn\.Module"):
        measure(source, timed=False)
    assert mark.exists()


def test_transformers_is_named_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (tmp_path / "config.json").write_text("{}")
    for name in ("transformers:ResNetConfig", str(tmp_path)):
        with pytest.raises(ConvbenchError, match="transformers is not installed; try 'pip install transformers'"):
            find_model(name)


STAND_IN = """
from torch import nn
class ResNetConfig:
    num_channels, image_size, architectures = 3, 12, None
class ResNet(nn.Module):
    config_class, main_input_name = ResNetConfig, "pixel_values"
    def __init__(self, config):
        super().__init__()
        self.conv = nn.Conv2d(config.num_channels, 4, 3)
    def forward(self, pixel_values): return self.conv(pixel_values)
class AutoModel:
    from_config = staticmethod(ResNet)
"""


def test_a_stand_in_of_transformers_is_asked_by_the_class_of_a_model_or_a_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the four names that are used; the real library is not there to be tested."""
    (tmp_path / "transformers.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "transformers", raising=False)
    for name in ("transformers:ResNetConfig", "transformers:ResNet"):
        costs = measure(find_model(name), timed=False)
        assert costs.macs == 100 * 4 * 27
        assert ",".join(map(str, costs.inputs)) == "pixel_values=1x3x12x12"
    with pytest.raises(ConvbenchError, match=r"has no attribute 'None_'.*as transformers:ResNetConfig"):
        find_model("transformers:None_")
    monkeypatch.delitem(__import__("sys").modules, "transformers", raising=False)
