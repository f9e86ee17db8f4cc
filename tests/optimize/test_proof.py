"""Does the proof pass right outputs, and no others, in each accuracy class?"""

from typing import Any

import pytest
import torch
from torch import Tensor

from convbench.errors import ConvbenchError
from convbench.models.accuracy import ROUNDING, allowed, distance
from convbench.models.inputs import Inputs
from convbench.optimize.proof import MAGNITUDES, ExactOutput, Proof, prove
from convbench.optimize.subject import as_inputs, tensors_of
from tests.optimize import nets
from tests.optimize.test_subject import subject


def answers(proof: Proof, model: Any) -> list[list[Tensor]]:
    with torch.no_grad():
        return [tensors_of(one.inputs.call(model)) for one in proof.truths]


@pytest.mark.parametrize("net", [nets.Net, nets.Branching, nets.Dropping, nets.Custom])
def test_torch_itself_passes_the_strict_class_on_every_magnitude(net: Any) -> None:
    given = subject(net().eval())
    proof = prove(given, "strict")
    assert len(proof.truths) == 1 + len(MAGNITUDES)
    found = proof.judge(answers(proof, given.model))
    assert not found.wrong
    assert 0 < found.error == proof.eager_error < 1e-6


def test_several_inputs_and_a_dict_are_proved_each() -> None:
    given = subject(nets.Two().eval(), (nets.image(), torch.tensor(2.0)))
    proof = prove(given, "standard")
    assert not proof.judge(answers(proof, given.model)).wrong
    first = answers(proof, given.model)
    first[2][1] = first[2][1] * 1.00001
    assert "random input times 0.001" in proof.judge(first).wrong


@pytest.mark.parametrize(("off", "strict", "standard"), [(1e-7, True, True), (3e-6, False, True), (8e-6, False, False)])
def test_the_classes_differ_by_what_they_allow(off: float, strict: bool, standard: bool) -> None:
    """One input with a truth of its own, of which torch's error is 1e-7."""
    exact = torch.tensor([3.0, 4.0], dtype=torch.float64)
    for accuracy, right in (("strict", strict), ("standard", standard)):
        truth = ExactOutput(name="x", inputs=Inputs(), out=(exact,), eager=1e-7, allowed=allowed(accuracy, 1e-7))
        judged = Proof(accuracy=accuracy, truths=(truth,)).judge([[exact * (1 + off)]])
        assert judged.error == pytest.approx(off)
        assert bool(judged.wrong) is not right


def test_where_torch_is_worse_than_the_class_twice_its_error_is_allowed() -> None:
    assert allowed("standard", 1e-5) == 2e-5
    assert allowed("strict", 0.0) == ROUNDING  # an exact output: one rounding is no fault


def test_a_bf16_path_a_wrong_shape_and_nan_are_wrong() -> None:
    given = subject(nets.Net().eval())
    proof = prove(given, "standard")
    half = [[one.bfloat16().float() for one in each] for each in answers(proof, given.model)]
    found = proof.judge(half)
    assert 2**-12 < found.error < 2**-8
    assert found.wrong.startswith("error ")
    assert "another shape" in proof.judge([[one[:, :1] for one in each] for each in half]).wrong
    assert proof.judge([[one * float("nan") for one in each] for each in half]).wrong


def test_zeros_are_only_right_as_zeros() -> None:
    zero = torch.zeros(3, dtype=torch.float64)
    assert distance([zero], [zero]) == 0
    assert distance([zero + 1e-30], [zero]) == float("inf")


@pytest.mark.parametrize(
    ("net", "words"),
    [
        (nets.Random, "gives another output when called again"),
        (nets.Counting, "gives another output when called again"),
        (nets.Single, "does not run in float64"),
        (nets.Exploding, "returns NaN or infinity on this input"),
        (nets.OnlyHere, "cannot be copied"),
    ],
)
def test_what_cannot_be_proved_is_refused(net: Any, words: str) -> None:
    with pytest.raises(ConvbenchError) as caught:
        prove(subject(net().eval()), "standard")
    assert words in str(caught.value)


def test_an_input_on_which_torch_overflows_is_left_out_and_said() -> None:
    class Steep(nets.Net):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + x.exp().mean()

    proof = prove(subject(Steep().eval()), "standard")
    assert len(proof.truths) == len(MAGNITUDES)
    assert proof.left_out == ("random input times 1000: torch's own output is not finite",)


def test_tokens_stay_as_they_are() -> None:
    embed = torch.nn.Embedding(5, 3).eval()
    proof = prove(subject(embed, as_inputs(torch.tensor([[4, 1]]))), "strict")
    assert [one.inputs.args[0].tolist() for one in proof.truths] == [[[4, 1]]] * 4
    assert not proof.judge(answers(proof, embed)).wrong
