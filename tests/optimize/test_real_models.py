"""Is our own graph of real models as exact as it promises, on inputs of all magnitudes?"""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from convbench.graph.build import build
from convbench.optimize.proof import prove
from convbench.optimize.subject import tensors_of
from tests.graph.nets import UNet, quiet, ready
from tests.optimize.test_subject import subject

pytestmark = [pytest.mark.program, pytest.mark.needs("torchvision"), pytest.mark.needs("llvmlite")]


def resnet18() -> nn.Module:
    from torchvision.models import resnet18

    net: nn.Module = resnet18(weights=None)
    return net


def mobilenet_v2() -> nn.Module:
    from torchvision.models import mobilenet_v2

    net: nn.Module = mobilenet_v2(weights=None)
    return net


@pytest.mark.parametrize("batch", [1, 8])
@pytest.mark.parametrize("make", [resnet18, mobilenet_v2, UNet])
def test_outputs_are_within_both_accuracy_classes(make: Callable[[], nn.Module], batch: int) -> None:
    torch.manual_seed(batch)
    model = ready(make())
    x = torch.randn(batch, 3, 64, 64)
    strict = prove(subject(model, x), "strict", magnitudes=torch.logspace(-3, 3, 10).tolist())
    assert len(strict.truths) == 11
    for proof in (strict, strict.judged_by("standard")):
        graph = build(model, (x,), threads=1, accuracy=proof.accuracy, tune_s=0, tell=quiet)
        assert proof.judge([tensors_of(one.inputs.call(graph)) for one in proof.truths]).wrong == ""
