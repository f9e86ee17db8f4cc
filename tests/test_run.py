"""The pipeline from a data set to its feature maps."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from convbench.backend import Backend, backend
from convbench.discovery import discover
from convbench.errors import ConvbenchError
from convbench.outcome import Failed, Skipped, Verified, Wrong
from convbench.run import Plan, keep_size, run

from .data.files import write_image

STAGES = ["data set", "transform", "split", "filters", "DataLoader", "oracle", "convolution", "check"]


def built_in(name: str) -> Backend:
    return discover((), [name])[0][0]


def made_of(fn: Any) -> Backend:
    return backend(family="direct", source="test")(fn)


def test_every_stage_has_its_sizes_and_its_time() -> None:
    done = run(Plan(), built_in("unfold-einsum"))
    assert [stage.name for stage in done.stages] == STAGES
    assert all(stage.time_s >= 0 for stage in done.stages)
    sizes = {stage.name: dict(stage.sizes) for stage in done.stages}
    assert sizes["data set"] == {"images": 1024, "classes": 8}
    assert sizes["split"] == {"train": 819, "validation": 205}
    assert sizes["filters"] == {"K": 8, "C": 1, "R": 3, "S": 3}
    assert sizes["DataLoader"] == {"N": 8, "C": 1, "H": 64, "W": 64}
    assert sizes["convolution"] == {"N": 8, "K": 8, "P": 64, "Q": 64}
    assert isinstance(done.outcome, Verified)
    assert str(done.case.spec) == "n8c1h64w64k8r3s3_pd1"


def test_identity_gives_the_batch_back() -> None:
    done = run(Plan(data="fake", filters="identity"), built_in("unfold-matmul"))
    assert done.x is not None
    assert done.y is not None
    assert torch.equal(done.x, done.y)


@pytest.mark.parametrize("name", ["torch", "unfold-einsum", "unfold-matmul", "naive-loops"])
@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp16", "fp64"])
def test_every_backend_is_right_in_every_dtype(name: str, dtype: str) -> None:
    plan = Plan(batch_size=2, image_size=(9, 12), stride=(2, 1), dilation=(1, 2), filters="random", dtype=dtype)
    done = run(plan, built_in(name))
    assert isinstance(done.outcome, Verified), done.outcome
    assert done.y is not None
    assert tuple(done.y.shape) == (2, 8, 5, 12)


def test_the_seed_decides_the_batch() -> None:
    batches = [run(Plan(seed=seed, batch_size=3), built_in("torch")).x for seed in (0, 0, 1)]
    assert isinstance(batches[0], Tensor)
    assert isinstance(batches[1], Tensor)
    assert isinstance(batches[2], Tensor)
    assert torch.equal(batches[0], batches[1])
    assert not torch.equal(batches[0], batches[2])


def test_a_batch_larger_than_the_data_set_is_all_of_it(tmp_path: Path) -> None:
    for i in range(3):
        write_image(tmp_path / f"{i}.png")
    done = run(Plan(data=f"folder:{tmp_path}", split=1.0, batch_size=10**30), built_in("torch"))
    assert done.x is not None
    assert tuple(done.x.shape) == (3, 3, 16, 20)


def test_a_folder_whose_first_image_is_an_odd_one_asks_for_one_size(tmp_path: Path) -> None:
    write_image(tmp_path / "0.png", (30, 30))
    for i in range(1, 9):
        write_image(tmp_path / f"{i}.png", (20, 20))
    with pytest.raises(ConvbenchError, match="--image-size 224"):
        run(Plan(data=f"folder:{tmp_path}", batch_size=2, split=0.5), built_in("torch"))


@pytest.mark.parametrize("dilation", [(1, 1), (2, 3)])
@pytest.mark.parametrize("size", [1, 3, 5, 7])
def test_the_default_padding_keeps_the_size(size: int, dilation: tuple[int, int]) -> None:
    weights = keep_size(size, size, dilation)
    assert [2 * pad for pad in weights] == [step * (size - 1) for step in dilation]


def test_padding_is_a_pair_four_sides_or_what_keeps_the_size_of_an_even_kernel(tmp_path: Path) -> None:
    path = tmp_path / "even.pt"
    torch.save(torch.ones(2, 1, 2, 4), path)
    plan = Plan(image_size=(20, 30), weights=path, batch_size=1)
    for chosen, sides, y in (
        (plan, (0, 0, 1, 1), (19, 29)),
        (replace(plan, padding="same"), (0, 1, 1, 2), (20, 30)),
        (replace(plan, padding=(0, 2, 3, 0)), (0, 2, 3, 0), (21, 30)),
    ):
        done = run(chosen, built_in("torch"))
        assert isinstance(done.outcome, Verified)
        assert (done.case.spec.sides, (done.case.spec.p, done.case.spec.q)) == (sides, y)
    assert done.stages[-2].what.endswith("stride 1, padding 0x2x3x0, dilation 1")


def test_a_kernel_larger_than_the_image_is_refused() -> None:
    with pytest.raises(ConvbenchError, match="larger than the padded input"):
        run(Plan(image_size=(5, 5), filters="blur", padding=(0, 0)), built_in("torch"))


def test_a_refusal_keeps_the_stages_before_it_and_loads_nothing() -> None:
    done = run(Plan(), built_in("naive-loops"))
    assert isinstance(done.outcome, Skipped)
    assert "--force" in done.outcome.reason
    assert done.x is None
    assert [stage.name for stage in done.stages] == STAGES[:4]


def test_what_cannot_fit_into_memory_is_refused_before_it_is_made() -> None:
    done = run(Plan(image_size=(99, 99), filters="random", padding=(999_999, 999_999)), built_in("torch"))
    assert isinstance(done.outcome, Skipped)
    assert "GiB" in done.outcome.reason


def test_weights_beyond_the_dtype_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save(torch.full((1, 1, 3, 3), 1e6), path)
    with pytest.raises(ConvbenchError, match=r"9 of 9 weights .* are too large for fp16; try --dtype fp32"):
        run(Plan(weights=path, dtype="fp16"), built_in("torch"))


def test_weights_that_are_nan_are_told_as_such(tmp_path: Path) -> None:
    path, w = tmp_path / "a.pt", torch.ones(2, 1, 3, 3)
    w[1, 0, :2] = float("nan")
    torch.save(w, path)
    with pytest.raises(ConvbenchError, match=r"the weights \(tensor of a.pt\) are NaN or infinite in 6 of 18 numbers"):
        run(Plan(weights=path), built_in("torch"))


def test_a_wrong_answer_is_wrong_and_still_there_to_be_seen() -> None:
    def doubled(x: Tensor, w: Tensor, spec: Any) -> Tensor:
        return 2 * torch.nn.functional.conv2d(x, w, padding=spec.padding)

    done = run(Plan(), made_of(doubled))
    assert isinstance(done.outcome, Wrong)
    assert done.y is not None


@pytest.mark.parametrize("answer", [lambda x, w, spec: None, lambda x, w, spec: x[0], lambda x, w, spec: x[:, :, 1:]])
def test_an_answer_of_another_shape_is_wrong_and_not_shown(answer: Any) -> None:
    def odd(x: Tensor, w: Tensor, spec: Any) -> Any:
        return answer(x, w, spec)

    done = run(Plan(), made_of(odd))
    assert isinstance(done.outcome, Wrong)
    assert done.y is None


def test_changing_the_input_is_wrong() -> None:
    def rude(x: Tensor, w: Tensor, spec: Any) -> Tensor:
        y = torch.nn.functional.conv2d(x, w, padding=spec.padding)
        x.zero_()
        return y

    outcome = run(Plan(), made_of(rude)).outcome
    assert isinstance(outcome, Wrong)
    assert outcome.check.evidence == "it changed its input x"


def test_an_exception_is_a_failure_and_no_traceback() -> None:
    def broken(x: Tensor, w: Tensor, spec: Any) -> Tensor:
        raise KeyError("oh")

    done = run(Plan(), made_of(broken))
    assert isinstance(done.outcome, Failed)
    assert [stage.name for stage in done.stages] == STAGES[:6]


@pytest.mark.gpu
def test_a_gpu_runs_the_same_batch() -> None:
    done = run(Plan(device="cuda"), built_in("cudnn"))
    assert isinstance(done.outcome, Verified), done.outcome
