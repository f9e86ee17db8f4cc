"""Which models are refused before anything is raced, and what tells two models apart?"""

import copy
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from convbench.errors import ConvbenchError
from convbench.models.inputs import Inputs
from convbench.optimize.subject import ModelCall, as_inputs, identity, output_of, require_fit, signature
from tests.optimize import nets


def subject(model: nn.Module, x: Any = None) -> ModelCall:
    return ModelCall(name="net", model=model, inputs=as_inputs(nets.image() if x is None else x))


def hooked() -> nn.Module:
    net = nets.Net().eval()
    net.conv.register_forward_hook(lambda *_: None)
    return net


def half_on() -> nn.Module:
    net = nets.Net().eval()
    net.norm.train()
    return net


@pytest.mark.parametrize(
    ("net", "x", "words"),
    [
        (nets.Net, None, "is in training mode: call model.eval"),
        (half_on, None, "training mode in its module norm"),
        (hooked, None, "has hooks, in conv"),
        (lambda: nets.Net().eval().half(), None, "conv.weight is fp16, and only fp32 is supported"),
        (lambda: nets.Net().eval().double(), None, "conv.weight is fp64"),
        (lambda: nets.Net().eval(), nets.image().bfloat16(), "its input is bf16"),
        (lambda: nets.Net().eval().to("meta"), None, "conv.weight is on meta"),
        (lambda: nets.Net().eval(), (), "the model gets no tensor"),
        (lambda: nets.Net().eval(), (nets.image(), object()), "an input is a object"),
        (lambda: nets.Net().eval(), (nets.image().to_sparse(),), "its input is complex, sparse or quantized"),
    ],
)
def test_what_cannot_be_made_faster_is_refused_with_what_to_do(net: Any, x: Any, words: str) -> None:
    with pytest.raises(ConvbenchError) as caught:
        require_fit(subject(net(), x))
    assert words in str(caught.value)


def test_what_is_no_model_or_no_input_is_refused() -> None:
    with pytest.raises(ConvbenchError, match="the model is a str"):
        require_fit(ModelCall(name="net", model="resnet18", inputs=as_inputs(nets.image())))  # type: ignore[arg-type]  # that is tested
    with pytest.raises(ConvbenchError, match="x is a int"):
        as_inputs(3)


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (nets.Overwriting, "changes its own input"),
        (lambda: nn.Conv2d(5, 1, 1), "does not run on 1x3x12x12: RuntimeError"),
        (lambda: Returning(object()), "returns a object"),
        (lambda: Returning([1, None]), "returns no tensor"),
    ],
)
def test_what_does_not_run_or_cannot_be_compared_is_refused(net: Any, words: str) -> None:
    with pytest.raises(ConvbenchError) as caught:
        output_of(subject(net().eval()))
    assert words in str(caught.value)


class Returning(nn.Module):
    def __init__(self, what: Any) -> None:
        super().__init__()
        self.what = what

    def forward(self, _: Tensor) -> Any:
        return self.what


def test_an_output_is_put_together_from_its_tensors_as_the_model_does() -> None:
    given = subject(nets.Two().eval(), (nets.image(), torch.tensor(2.0)))
    whole, structure = given.call(), output_of(given)
    assert structure.tensors == 3
    again = structure.build([whole["y"], *whole["both"]])
    assert again.keys() == whole.keys()
    assert again["kind"] == "two"
    assert isinstance(again["both"], list)
    with pytest.raises(ValueError, match="returned 1 tensors, and the model 3"):
        structure.build([whole["y"]])


def test_the_inputs_of_a_call_are_compared_by_shape_dtype_and_structure_only() -> None:
    x = nets.image()
    one = signature((x,), {"scale": 2})
    assert one == signature((x + 1,), {"scale": 2})
    for other in (((x[:, :2],), {"scale": 2}), ((x.double(),), {"scale": 2}), ((x,), {"scale": 3}), ((x,), {})):
        assert one != signature(*other)


def test_equal_architectures_have_one_identity_whatever_their_weights() -> None:
    x = Inputs(args=(nets.image(),))
    own = identity(nets.Net().eval(), x)
    assert own == identity(nets.Net().eval(), Inputs(args=(nets.image() * 3,)))
    assert own == identity(copy.deepcopy(nets.Net()).eval(), x)


def test_the_same_code_has_one_identity_whatever_its_file_is_imported_as(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "net.py"
    file.write_text("from torch import nn\n\nclass Net(nn.Conv2d):\n    pass\n")
    own = set[str]()
    for name in ("net", "convbench_file_net"):
        spec = spec_from_file_location(name, file)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)  # where its source is looked for
        spec.loader.exec_module(module)
        own.add(identity(module.Net(3, 4, 3), Inputs(args=(nets.image(),))))
    assert len(own) == 1


@pytest.mark.parametrize("other", ["class", "stride", "eps", "width", "batch"])
def test_whatever_changes_the_computation_changes_the_identity(other: str) -> None:
    net, x = nets.Net().eval(), nets.image()
    own = identity(net, Inputs(args=(x,)))
    if other == "class":
        net = nets.Dropping().eval()
    elif other == "stride":
        net.conv.stride = (2, 2)
    elif other == "eps":
        net.norm.eps = 1e-3
    elif other == "width":
        net.head = nn.Linear(8, 5).eval()
    else:
        x = nets.image(2)
    assert identity(net, Inputs(args=(x,))) != own
