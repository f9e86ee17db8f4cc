"""Are the inputs of a model read, made and told as they were meant?"""

import pytest
import torch
from torch import Tensor, nn

from convbench import ConvbenchError
from convbench.models.forward import census
from convbench.models.inputs import GivenInput, Inputs, make_inputs, own_dtype, parse_inputs
from convbench.models.trouble import what_to_try


@pytest.mark.parametrize(
    ("text", "inputs"),
    [
        ("1x3x8x8", [GivenInput(shape=(1, 3, 8, 8))]),
        ("2X3X8X8,1x4:bool", [GivenInput(shape=(2, 3, 8, 8)), GivenInput(shape=(1, 4), dtype="bool")]),
        ("pixel_values=1x3x8x8:fp16", [GivenInput(shape=(1, 3, 8, 8), name="pixel_values", dtype="fp16")]),
        ("b.x=1x3:torch.bfloat16,ids=7:int64", [
            GivenInput(shape=(1, 3), name="b.x", dtype="bf16"),
            GivenInput(shape=(7,), name="ids", dtype="int64"),
        ]),
    ],
)  # fmt: skip
def test_an_input_has_sizes_and_where_it_needs_them_a_name_and_a_dtype(text: str, inputs: list[GivenInput]) -> None:
    assert list(parse_inputs(text)) == inputs
    assert list(parse_inputs(",".join(map(str, inputs)))) == inputs


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x=", "write it like 1x3x224x224"),
        ("x.=1x3", "write it like"),
        ("x=1x3,1x3", "without a name come first"),
        ("x=1x3,x=1x3", "x is given twice"),
        ("b=1x3,b.x=1x3", "b is given twice"),
        ("1x3:fp8", "choose from"),
        ("1x3:", "write it like"),
    ],
)
def test_what_is_no_input_is_one_line(text: str, words: str) -> None:
    with pytest.raises(ConvbenchError, match=words):
        parse_inputs(text)


def test_inputs_become_arguments_keywords_and_dicts_in_the_dtype_of_the_model() -> None:
    given = parse_inputs("1x3x4x4,mask=1x4:bool,batch.image=1x3x8x8:fp32,batch.text.ids=1x5:int64")
    made = make_inputs(given, "cpu", torch.float16)
    (x,) = made.args
    assert (x.shape, x.dtype) == ((1, 3, 4, 4), torch.float16)
    assert made.kwargs["mask"].dtype == torch.bool
    assert made.kwargs["batch"]["image"].dtype == torch.float32
    assert made.kwargs["batch"]["text"]["ids"].tolist() == [[1, 1, 1, 1, 1]]
    assert made.first is x
    assert ",".join(map(str, made.given(torch.float16))) == (
        "1x3x4x4,mask=1x4:bool,batch.image=1x3x8x8:fp32,batch.text.ids=1x5:int64"
    )


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.conv = nn.Embedding(9, 4), nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, image: Tensor, input_ids: Tensor, scale: float = 1.0) -> dict[str, list[Tensor]]:
        return {"out": [scale * self.conv(image) + self.words(input_ids).mean(1)[:, :, None, None]]}


class OfDict(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        y: Tensor = self.conv(batch["image"]) * batch["scale"]
        return y


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_tokens_keywords_and_dicts_reach_the_model(device: str) -> None:
    for model, text in (
        (TwoInputs(), "input_ids=1x7:int64,image=1x3x8x8"),
        (TwoInputs(), "1x3x8x8,1x7:int64"),
        (OfDict(), "batch.image=1x3x10x10,batch.scale=1"),
    ):
        moved = model.to(device)
        found = census(moved, make_inputs(parse_inputs(text), device, own_dtype(moved)))
        assert found.macs == 8 * 8 * 4 * 3 * 9
        assert found.calls[0].field is not None


@pytest.mark.parametrize(
    ("model", "text", "words"),
    [
        (TwoInputs(), "1x3x8x8", "it takes image, input_ids: name them, such as --input image=1x3x224x224,"),
        (TwoInputs(), "1x3x8x8,1x7:fp32", "--input input_ids=1x16:int64"),
        (TwoInputs().half(), "1x3x8x8:fp32,1x7:int64", "its weights are fp16; try --input 1x3x8x8:fp16"),
        (TwoInputs(), "1x5x8x8,1x7:int64", "try the input size that the model is built for"),
        (OfDict(), "1x3x8x8", "if it takes a dict, name its entries, such as --input batch.image=1x3x224x224"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(6, 2)), "1x3x9x9", "try the input size"),
    ],
    ids=["missing", "tokens", "dtype", "channels", "dict", "linear"],
)  # fmt: skip
def test_an_error_says_its_true_cause(model: nn.Module, text: str, words: str) -> None:
    inputs = make_inputs(parse_inputs(text), "cpu", torch.float32)
    with pytest.raises(Exception) as raised:  # noqa: PT011  # torch has many kinds
        inputs.call(model)
    assert words in what_to_try(raised.value, model, inputs)


def test_nothing_is_advised_of_an_error_that_is_the_models_own() -> None:
    assert what_to_try(RuntimeError("the disk is full"), OfDict(), Inputs()) == ""
