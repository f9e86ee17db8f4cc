"""Weights from files that are good, broken, or hostile."""

import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from convbench.data.weights import load_filters
from convbench.errors import ConvbenchError

FIRST = torch.arange(4 * 3 * 2 * 2, dtype=torch.float32).reshape(4, 3, 2, 2)
STATE = OrderedDict([("bias", torch.ones(4)), ("conv1.weight", FIRST), ("conv2.weight", -FIRST)])


def test_safetensors_give_their_first_4d_tensor_or_the_one_named(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(STATE, path)
    filters = load_filters(path, 3)
    assert torch.equal(filters.w, FIRST)
    assert filters.names[1] == "conv1[1]"
    assert filters.origin == "conv1.weight of a.safetensors"
    assert torch.equal(load_filters(path, 3, "conv2.weight").w, -FIRST)


@pytest.mark.parametrize(
    "content",
    [STATE, {"epoch": 3, "state_dict": STATE}, FIRST, {"model": {"weight": torch.nn.Parameter(FIRST)}}],
    ids=["state dict", "checkpoint", "bare tensor", "parameter"],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_torch_files_are_read_as_people_save_them(tmp_path: Path, content: object, zipped: bool) -> None:
    path = tmp_path / "a.pt"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    filters = load_filters(path, 3)
    assert torch.equal(filters.w, FIRST)
    assert not filters.w.requires_grad


def test_groups_follow_from_the_channels(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save(torch.randn(6, 1, 3, 3), path)
    assert load_filters(path, 3).groups == 3
    assert load_filters(path, 1).groups == 1


@pytest.mark.parametrize(("shape", "channels"), [((4, 3, 3, 3), 1), ((4, 2, 3, 3), 3), ((4, 1, 3, 3), 3)])
def test_a_misfit_says_both_sizes_and_the_rule(tmp_path: Path, shape: tuple[int, ...], channels: int) -> None:
    path = tmp_path / "a.pt"
    torch.save(torch.randn(shape), path)
    with pytest.raises(ConvbenchError, match=rf"C={channels}: C must be a multiple") as raised:
        load_filters(path, channels)
    assert str(shape) in str(raised.value)


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_a_file_without_a_4d_tensor_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    state = {"fc.weight": torch.ones(2, 3)}
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    with pytest.raises(ConvbenchError, match="none of them 4-D"):
        load_filters(path, 3)


def test_a_name_that_is_not_there_lists_those_that_are(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(STATE, path)
    with pytest.raises(ConvbenchError, match=r"choose from conv1\.weight, conv2\.weight"):
        load_filters(path, 3, "bias")


@pytest.mark.filterwarnings("ignore:Validating sparse tensor invariants")
@pytest.mark.parametrize("w", [torch.ones(2, 1, 3, 3, dtype=torch.int64), torch.ones(2, 1, 3, 3).to_sparse()])
def test_whole_numbers_and_sparse_tensors_are_refused(tmp_path: Path, w: torch.Tensor) -> None:
    path = tmp_path / "a.pt"
    torch.save(w, path)
    with pytest.raises(ConvbenchError, match="floating-point and dense"):
        load_filters(path, 1)


def test_an_empty_tensor_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    torch.save(torch.ones(0, 1, 3, 3), path)
    with pytest.raises(ConvbenchError, match="it is empty"):
        load_filters(path, 1)


class _Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_code_is_refused_and_not_run(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "a.pt"
    torch.save({"w": FIRST, "evil": _Touch(tmp_path / "touched")}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ConvbenchError, match="pickled code") as raised:
        load_filters(path, 3)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "touched").exists()


def test_a_compressed_archive_is_refused_before_it_unpacks(tmp_path: Path) -> None:
    plain, packed = tmp_path / "a.pt", tmp_path / "b.pt"
    torch.save(FIRST, plain)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist():
            target.writestr(name, source.read(name))
    with pytest.raises(ConvbenchError, match="compressed archive"):
        load_filters(packed, 3)


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize("keep", [0, 1, 7, 8, 60, 0.5, 0.95])
def test_a_truncated_file_is_one_line(tmp_path: Path, suffix: str, keep: float) -> None:
    path = tmp_path / f"a.{suffix}"
    save_file(STATE, path) if suffix == "safetensors" else torch.save(STATE, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep if keep >= 1 else keep * len(content))])
    with pytest.raises(ConvbenchError, match=r"not a readable|is damaged") as raised:
        load_filters(path, 3)
    assert "\n" not in str(raised.value)


def test_a_header_that_promises_more_than_the_file_holds_is_refused(tmp_path: Path) -> None:
    header = b'{"w":{"dtype":"F32","shape":[100000,1000,30,30],"data_offsets":[0,360000000000]}}'
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ConvbenchError, match="not a readable safetensors file"):
        load_filters(path, 1000)


def test_a_missing_file_and_a_directory_are_one_line(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "a.pt"):
        with pytest.raises(ConvbenchError, match="no weights file at"):
            load_filters(path, 3)


@pytest.mark.parametrize(
    "tensor",
    [torch.zeros(1).expand(30_000_000, 1, 3, 3), torch.zeros(4, 1, 3, 3, device="meta")],
    ids=["stride 0", "meta"],
)
def test_a_tensor_that_claims_more_than_it_holds_is_refused(tmp_path: Path, tensor: torch.Tensor) -> None:
    path = tmp_path / "a.pt"
    torch.save({"w": tensor}, path)
    with pytest.raises(ConvbenchError, match="claims"):
        load_filters(path, 1)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ({"model": {"state_dict": STATE}}, "model.state_dict.conv1.weight"),
        ([torch.ones(3), torch.ones(2, 3, 1, 1)], "1"),
        ({"ema": [{"net": STATE}]}, "ema.0.net.conv1.weight"),
    ],
)
def test_weights_are_found_at_any_depth(tmp_path: Path, content: object, name: str) -> None:
    path = tmp_path / "a.pt"
    torch.save(content, path)
    assert load_filters(path, 3).origin == f"{name} of a.pt"


def test_the_weight_that_fits_is_taken_and_the_others_that_fit_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    weights = {"big": torch.ones(4, 64, 3, 3), "a": torch.ones(4, 3, 5, 5), "b": torch.ones(6, 1, 3, 3)}
    torch.save(weights | {"bias": torch.ones(4)}, path)
    filters = load_filters(path, 3)
    assert (filters.origin, filters.groups) == ("a of a.pt", 1)
    assert filters.remarks == (f"{path}: took a; --weights-name takes b",)
    assert not load_filters(path, 3, "b").remarks
    with pytest.raises(ConvbenchError, match=r"big in .* is \(K, C/G, R, S\) = \(4, 64, 3, 3\), the data has C=5"):
        load_filters(path, 5, "big")
