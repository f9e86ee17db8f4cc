"""Is a fast model called like the model, and is the model itself called wherever the fast way would be wrong?"""

import os
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from convbench.errors import ConvbenchError
from convbench.optimize.fast import FastModel
from convbench.optimize.subject import as_inputs
from tests.optimize import nets


def fast_one(net: torch.nn.Module, x: Any, winner: str = "onnxruntime") -> FastModel:
    return FastModel(net, as_inputs(x), winner, lambda *_args, **_kwargs: "fast")


def test_what_fits_is_answered_fast() -> None:
    fast = fast_one(nets.Net().eval(), nets.image())
    assert fast(nets.image() + 1) == "fast"
    assert fast_one(nets.Two().eval(), {"x": nets.image(), "scale": torch.ones(())})(
        x=nets.image(), scale=torch.zeros(())
    ) == ("fast")
    assert fast_one(nets.Net().eval(), (nets.image(), 3))(nets.image(), 3) == "fast"


def train(net: nets.Net) -> None:
    net.train()


def change(net: nets.Net) -> None:
    with torch.no_grad():
        net.conv.weight.add_(1)


def load(net: nets.Net) -> None:
    net.load_state_dict(nets.Net().state_dict())


def assign(net: nets.Net) -> None:
    net.load_state_dict(nets.Net().state_dict(), assign=True)


def remove(net: nets.Net) -> None:
    net.conv.bias = None


def replace(net: nets.Net) -> None:
    net.conv = nets.Net().conv


def train_a_part(net: nets.Net) -> None:
    net.conv.train()


@pytest.mark.parametrize(
    ("first", "x", "words"),
    [
        (lambda _: None, lambda: nets.image(2), "the input has other shapes"),
        (lambda _: None, lambda: nets.image().requires_grad_(), "the input wants a gradient"),
        (train, nets.image, "it, or a module of it, is in training mode"),
        (train_a_part, nets.image, "it, or a module of it, is in training mode"),
        (change, nets.image, "its weights have changed since"),
        (load, nets.image, "its weights have changed since"),
        (assign, nets.image, "its weights have changed since"),
        (remove, nets.image, "its weights have changed since"),
        (replace, nets.image, "its weights have changed since"),
    ],
)
def test_what_does_not_fit_goes_to_the_model_and_is_said_once(
    first: Callable[[nets.Net], None], x: Callable[[], Tensor], words: str
) -> None:
    net = nets.Net().eval()
    fast = fast_one(net, nets.image())
    first(net)
    with pytest.warns(UserWarning, match=words):
        out = fast(x())
    torch.testing.assert_close(out, net(x()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fast(x())


def test_an_array_is_left_to_the_model_which_says_what_it_takes() -> None:
    net = nets.Net().eval()
    with pytest.warns(UserWarning, match="other shapes, dtypes or arguments"), pytest.raises(TypeError):
        fast_one(net, nets.image())(nets.image().numpy())


def test_autocast_is_left_to_the_model() -> None:
    net = nets.Net().eval()
    fast = fast_one(net, nets.image())
    with torch.autocast("cpu", torch.bfloat16), pytest.warns(UserWarning, match="autocast"):
        assert fast(nets.image()).dtype == torch.bfloat16
    assert fast(nets.image()) == "fast"


def test_gradients_reach_the_input() -> None:
    net, x = nets.Net().eval(), nets.image().requires_grad_()
    fast = fast_one(net, nets.image())
    with pytest.warns(UserWarning, match="gradient"):
        fast(x).sum().backward()
    assert x.grad is not None
    with torch.no_grad():
        assert fast(x) == "fast"


def test_where_eager_wins_the_model_itself_is_called_as_it_is() -> None:
    net = nets.Net()
    assert fast_one(net, nets.image(), "eager")(nets.image(3)).shape == (3, 4)


def test_a_forked_process_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = fast_one(nets.Net().eval(), nets.image())
    here = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: here + 1)
    with pytest.raises(ConvbenchError, match="made in another process"):
        fast(nets.image())


def test_the_model_and_its_weights_are_not_touched() -> None:
    net = nets.Tied().eval()
    before = {name: one.clone() for name, one in net.state_dict().items()}
    fast_one(net, torch.ones(1, 6))(torch.ones(1, 6))
    assert net.one.weight is net.other.weight
    assert all(torch.equal(one, net.state_dict()[name]) for name, one in before.items())
