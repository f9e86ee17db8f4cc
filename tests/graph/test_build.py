"""A graph gives what its model gives, or says in words why it does not run."""

import copy
import gc
import pickle
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_leaves

from convbench.errors import ConvbenchError
from convbench.graph.build import OwnGraph, UnsupportedModel, build
from convbench.models.accuracy import allowed, relative_error
from tests.graph.nets import NETS, UNet, built, make, quiet


def exact(model: nn.Module, *inputs: Tensor) -> list[Any]:
    return tree_leaves(copy.deepcopy(model).double()(*(one.double() for one in inputs)))


def worst_error(ours: Any, truth: list[Any]) -> float:
    pairs = zip(tree_leaves(ours), truth, strict=True)
    return max(relative_error(a, b) for a, b in pairs if isinstance(a, Tensor))


@pytest.fixture(scope="module")
def graphs() -> dict[tuple[str, str], tuple[nn.Module, Tensor, OwnGraph]]:
    found = {}
    for accuracy in ("strict", "standard"):
        for name in NETS:
            model, x = make(name)
            found[name, accuracy] = model, x, built(model, x, accuracy=accuracy)
    return found


@pytest.mark.parametrize("name", NETS)
def test_outputs_are_within_their_accuracy_for_inputs_of_all_magnitudes(
    name: str, graphs: dict[tuple[str, str], tuple[nn.Module, Tensor, OwnGraph]]
) -> None:
    for accuracy in ("strict", "standard"):
        model, x, graph = graphs[name, accuracy]
        for magnitude in (1e-3, 1.0, 1e3):
            truth = exact(model, magnitude * x)
            error, of_torch = (worst_error(one(magnitude * x), truth) for one in (graph, model))
            assert error <= allowed(accuracy, of_torch)


@pytest.mark.parametrize("name", NETS)
def test_structure_and_types_are_those_of_the_model(
    name: str, graphs: dict[tuple[str, str], tuple[nn.Module, Tensor, OwnGraph]]
) -> None:
    model, x, graph = graphs[name, "standard"]
    (ours, structure), (theirs, wanted) = tree_flatten(graph(x)), tree_flatten(model(x))
    assert structure == wanted
    for a, b in zip(ours, theirs, strict=True):
        assert type(a) is type(b)
        assert not isinstance(a, Tensor) or (a.shape, a.dtype, a.is_contiguous()) == (b.shape, b.dtype, True)


def test_batches_threads_and_inputs_that_are_not_contiguous() -> None:
    model, x = make("residual", batch=3)
    graph = built(model, x, threads=2)
    last = x.to(memory_format=torch.channels_last)
    for one in (x, last, torch.stack([x, x], -1)[..., 0]):
        assert worst_error(graph(one), exact(model, x)) < 2e-6


def test_results_belong_to_the_caller() -> None:
    model, x = make("mobile")
    graph = built(model, x)
    first = graph(x)
    kept = first.clone()
    graph(-x)
    assert torch.equal(first, kept)
    assert torch.equal(graph(x), kept)


def test_the_model_is_as_it_was() -> None:
    model, x = make("UNet")
    before = copy.deepcopy(model.state_dict())
    built(model, x)
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())


def load(model: nn.Module) -> None:
    model.load_state_dict({name: 2 * one for name, one in model.state_dict().items()})


def assign(model: nn.Module) -> None:
    model.load_state_dict({name: 2 * one for name, one in model.state_dict().items()}, assign=True)


def scale_a_norm(model: nn.Module) -> None:
    model.get_buffer("1.running_var").mul_(4)


@pytest.mark.parametrize("change", [load, assign, scale_a_norm])
def test_changed_weights_are_those_of_the_answer_and_this_is_told_once(change: Callable[[nn.Module], None]) -> None:
    model, x = make("residual")
    told: list[str] = []
    graph = build(model, (x,), threads=1, choices={}, tell=told.append)
    before = graph(x)
    assert not told
    change(model)
    wanted = model(x)
    assert relative_error(before, wanted) > 1e-2
    for _ in range(2):
        assert torch.equal(graph(x), wanted)
    assert told == [
        "the weights have changed since the graph was built; build it again: such calls run by the model itself"
    ]


def test_training_mode_is_left_to_the_model() -> None:
    model, x = make("residual", batch=2)
    told: list[str] = []
    graph = build(model, (x,), threads=1, choices={}, tell=told.append)
    model.train()
    torch.manual_seed(3)
    ours = graph(x)
    torch.manual_seed(3)
    assert torch.equal(ours, model(x))
    assert told == ["the model is in training mode, and the graph is of evaluation: such calls run by the model itself"]


class Masked(nn.Module):
    """Its output has infinities, wherever the input is zero."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x == 0, torch.inf, self.conv(x))


def test_an_output_may_be_infinite_where_the_models_is() -> None:
    model, x = Masked().eval().requires_grad_(requires_grad=False), torch.randn(1, 3, 8, 8)
    x[..., 0] = 0
    graph = built(model, x)
    torch.testing.assert_close(graph(x), model(x))


class FlatInput(nn.Module):
    """A flattened input, read by a kernel and returned as well; its image may be read before, by another kernel."""

    def __init__(self, *, image_first: bool) -> None:
        super().__init__()
        self.image_first, self.linear, self.conv = image_first, nn.Linear(48, 5), nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x: Tensor) -> list[Tensor]:
        image = [self.conv(x)] if self.image_first else []
        flat = x.flatten(1)
        return [*image, self.linear(flat), flat]


@pytest.mark.parametrize("image_first", [False, True])
def test_a_flattened_input_may_be_returned(image_first: bool) -> None:
    model = FlatInput(image_first=image_first).eval().requires_grad_(requires_grad=False)
    x = torch.randn(2, 3, 4, 4)
    graph = built(model, x)
    torch.testing.assert_close(graph(x), model(x))
    assert torch.equal(graph(x)[-1], x.flatten(1))


def test_two_threads_that_call_at_once_get_their_own_answers() -> None:
    model, x = make("residual")
    graph = built(model, x, threads=2)
    inputs = [x, -x]
    wanted = [graph(one) for one in inputs]
    wrong: list[int] = []

    def caller(number: int) -> None:
        wrong.extend(number for _ in range(40) if not torch.equal(graph(inputs[number]), wanted[number]))

    callers = [threading.Thread(target=caller, args=(number,)) for number in range(2)]
    for one in callers:
        one.start()
    for one in callers:
        one.join()
    assert wrong == []


class Several(nn.Module):
    """Two inputs, one of them of integers, and a convolution that is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.table = nn.Conv2d(4, 4, 3, padding=1), nn.Embedding(5, 4)
        self.again = nn.Conv2d(4, 4, 3, padding=1)
        self.again.weight = self.conv.weight

    def forward(self, x: Tensor, words: Tensor) -> tuple[Tensor, Tensor, None]:
        y = self.again(self.conv(self.conv(x)).relu())
        return y + self.table(words)[:, :, None, None], x, None


def test_several_inputs_shared_layers_and_tied_weights() -> None:
    model = Several().eval().requires_grad_(requires_grad=False)
    x, words = torch.randn(2, 4, 8, 8), torch.tensor([0, 3])
    graph = built(model, x, words)
    y, same, nothing = graph(x, words)
    torch.testing.assert_close(y, model(x, words)[0])
    assert same is x
    assert nothing is None
    assert list(graph.choices) == ["conv", "conv#2", "conv#3", "table", "unsqueeze", "unsqueeze#2", "add"]


@torch.library.custom_op("convbench_tests::twice", mutates_args=())
def twice(x: Tensor) -> Tensor:
    return x * 2


@twice.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


class Custom(nn.Module):
    """An operator that nobody knows, between convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(twice(self.first(x)))  # type: ignore[no-any-return]  # of a module


def test_unknown_operators_run_by_torch_and_are_told_with_their_share() -> None:
    model, x, told = Custom().eval().requires_grad_(requires_grad=False), torch.randn(1, 3, 8, 8), list[str]()
    graph = build(model, (x,), threads=1, choices={}, tell=told.append)
    torch.testing.assert_close(graph(x), model(x))
    assert graph.choices["twice"] == "torch"
    assert 0 < graph.torch_share < 1
    (line,) = told
    assert "convbench_tests.twice" in line
    assert "% of the time" in line


class Changing(nn.Module):
    def __init__(self, what: str) -> None:
        super().__init__()
        self.what, self.conv = what, nn.Conv2d(3, 3, 3, padding=1)
        self.calls: Tensor
        self.register_buffer("calls", torch.zeros(1))
        self.count = 0

    def forward(self, x: Tensor) -> Any:
        y: Tensor = self.conv(x)
        match self.what:
            case "branch":
                return y if y.sum() > 0 else -y
            case "item":
                return y * y.max().item()
            case "nonzero":
                return y[y > 0]
            case "numpy":
                return torch.from_numpy(y.numpy() * 2)
            case "random":
                return y + torch.rand_like(y)
            case "dropout":
                return nn.functional.dropout(y)
            case "state":
                self.calls += 1
                return y + self.calls
            case "input":
                x += 1
                return self.conv(x)
            case "alias":
                rows = y[:, :1]
                rows += 1
                return y
            case "python":
                self.count += 1
                return y + self.count
            case "error":
                raise ValueError("not today")
        return y


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("branch", "depends on the numbers"),
        ("item", "depends on the numbers"),
        ("nonzero", "depends on the numbers"),
        ("numpy", "cannot be captured"),
        ("random", "random numbers"),
        ("dropout", "random numbers"),
        ("state", "its own state"),
        ("input", "into its input"),
        ("alias", "by another name"),
        ("python", "another output"),
        ("error", "not today"),
    ],
)
def test_what_has_no_fixed_graph_is_refused_in_one_line(what: str, words: str) -> None:
    with pytest.raises(UnsupportedModel, match=words) as caught:
        built(Changing(what).eval(), torch.randn(1, 3, 6, 6))
    assert "\n" not in str(caught.value)


def unusual() -> Iterator[tuple[str, nn.Module, Tensor, str]]:
    x = torch.randn(1, 3, 8, 8)
    model, _ = make("vgg")
    yield "training", copy.deepcopy(model).train(), x, "training mode"
    part = copy.deepcopy(model)
    part.get_submodule("9").train()
    yield "dropout in training", part, x, "training mode in its module 9"
    hooked = copy.deepcopy(model)
    hooked.get_submodule("0").register_forward_hook(lambda *_: None)
    yield "hook", hooked, x, "has hooks, in 0"
    yield "double", copy.deepcopy(model).double(), x.double(), "fp64, and only fp32"
    yield "half", copy.deepcopy(model).half(), x.half(), "fp16, and only fp32"
    yield "meta", copy.deepcopy(model).to("meta"), x, "meta"


@pytest.mark.parametrize(
    ("name", "model", "x", "words"), list(unusual()), ids=lambda one: one if isinstance(one, str) else ""
)
def test_models_in_another_state_are_refused_in_one_line(name: str, model: nn.Module, x: Tensor, words: str) -> None:
    with pytest.raises(UnsupportedModel, match=words) as caught:
        built(model, x)
    assert "\n" not in str(caught.value)


def test_arguments_that_are_not_allowed() -> None:
    model, x = make("vgg")
    with pytest.raises(ConvbenchError, match="choose from standard, strict"):
        build(model, (x,), threads=1, accuracy="exact")
    with pytest.raises(ConvbenchError, match="1 or more"):
        build(model, (x,), threads=0)


def test_other_calls_run_by_the_model_and_are_told_once() -> None:
    model, x = make("mobile")
    told: list[str] = []
    graph = build(model, (x,), threads=1, choices={}, tell=told.append)
    other = torch.randn(2, 3, 12, 12)
    for _ in range(2):
        assert torch.equal(graph(other), model(other))
    assert len(told) == 1
    assert "1x3x16x16" in told[0]
    with torch.autocast("cpu", torch.bfloat16):
        assert graph(x).dtype == torch.bfloat16
    assert "autocast" in told[1]
    wanting = x.clone().requires_grad_()
    graph(wanting).sum().backward()
    assert wanting.grad is not None
    assert "gradients" in told[2]
    with torch.no_grad():
        assert not graph(wanting).requires_grad
    model.requires_grad_()
    assert graph(x).requires_grad
    with torch.inference_mode():
        graph(x)
    assert len(told) == 3


def test_pickles_and_copies_are_refused_in_words() -> None:
    model, x = make("vgg")
    graph = built(model, x)
    for one in (pickle.dumps, copy.deepcopy):
        with pytest.raises(ConvbenchError, match="save its choices"):
            one(graph)


def test_calls_leave_nothing_behind() -> None:
    model, x = make("UNet")
    graph = built(model, x)
    graph(x)
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(300):
        graph(x)
    gc.collect()
    assert len(gc.get_objects()) - before < 50


def test_choices_make_the_same_graph_again_and_strange_ones_are_told() -> None:
    model, x = make("residual")
    tuned = build(model, (x,), threads=1, tune_s=0, tell=quiet)
    again = build(model, (x,), threads=1, choices=tuned.choices, tell=quiet)
    assert again.choices == tuned.choices
    assert torch.equal(again(x), tuned(x))
    told: list[str] = []
    built_with = build(model, (x,), threads=1, choices={"0": "by hand", "gone": "torch"}, tell=told.append)
    assert "by hand" in told[0]
    assert worst_error(built_with(x), exact(model, x)) < 2e-6


def test_layers_say_what_was_chosen_and_how_exact_it_is() -> None:
    model, x = make("UNet")
    graph = build(model, (x,), threads=1, tune_s=0, tell=quiet)
    layers = {one.name: one for one in graph.layers}
    first = layers["first.0"]
    assert first.operation == "conv 3x3 3->12 relu"
    assert first.default == first.chosen == graph.choices["first.0"]
    assert first.default_s == first.chosen_s > 0
    assert first.error is not None
    assert 0 < first.error < 1e-6
    assert layers["transposed"].operation == "transposed conv 2x2 16->12 stride 2"
    assert graph.workspace > sum(one.numel() * 4 for one in UNet().parameters())
