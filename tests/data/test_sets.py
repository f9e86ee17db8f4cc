"""Data sets by name, their batches, and what stands in the way of them."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets.mnist
from PIL import Image, ImageOps
from torchvision.datasets import CIFAR10, ImageFolder
from torchvision.transforms import ToTensor

from convbench.data.batch import first_batch, make_loader, make_transform, split
from convbench.data.images import is_image_name
from convbench.data.sets import Files, ImageSet, load_set
from convbench.data.shapes import CLASSES, Shapes
from convbench.errors import ConvbenchError

from .files import write_cifar10, write_image, write_mnist


def load(name: str, root: Path = Path("nowhere"), *, size: tuple[int, int] | None = None, seed: int = 0) -> ImageSet:
    return load_set(name, make_transform(size), root=root, image_size=size, seed=seed)


def test_every_shape_is_drawn_bright_on_dark_with_smooth_edges() -> None:
    shapes = Shapes()
    for index in range(len(CLASSES)):
        image, label = shapes[index]
        pixels = np.asarray(image)
        assert pixels.shape == (64, 64)
        assert CLASSES[label] == CLASSES[index]
        ground, ink = np.quantile(pixels, 0.01), np.quantile(pixels, 0.99)
        assert ink - ground >= 70, CLASSES[index]
        assert len(np.unique(pixels)) > 8, "in-between grays make smooth edges"
        assert 0.02 < (pixels > (ground + ink) / 2).mean() < 0.6


def test_a_shape_follows_from_its_seed_and_index_alone() -> None:
    first, again, other = Shapes(seed=1), Shapes(seed=1), Shapes(seed=2)
    assert np.array_equal(first[5][0], again[5][0])
    assert not np.array_equal(first[5][0], other[5][0])
    assert not np.array_equal(first[5][0], first[5 + len(CLASSES)][0])


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (17, 5), (5000, 3)])
def test_shapes_have_the_size_that_was_asked_for(size: tuple[int, int]) -> None:
    image, _ = Shapes(image_size=size)[3]
    assert (image.height, image.width) == size


def test_shapes_end_where_their_size_says() -> None:
    with pytest.raises(IndexError):
        Shapes(size=4)[4]


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion-mnist", "FashionMNIST")])
def test_idx_files_in_torchvisions_place_are_read_without_a_download(tmp_path: Path, name: str, folder: str) -> None:
    write_mnist(tmp_path, folder=folder)
    images = load(name, tmp_path)
    x, label = images.images[3]
    assert (len(images), tuple(x.shape), len(images.classes), label) == (12, (1, 28, 28), 10, 3)
    assert 0 <= float(x.min()) < float(x.max()) <= 1


def test_idx_files_that_are_still_compressed_are_read(tmp_path: Path) -> None:
    write_mnist(tmp_path / "plain")
    raw = write_mnist(tmp_path / "packed", compressed=True)
    before = sorted(path.name for path in raw.iterdir())
    plain, packed = (load("mnist", tmp_path / name) for name in ("plain", "packed"))
    assert len(packed) == 12
    assert torch.equal(plain.images[3][0], packed.images[3][0])
    assert packed.code.endswith(f"# after gunzip {raw}/*.gz")
    assert sorted(path.name for path in raw.iterdir()) == before  # nothing is written beside them
    (raw / "train-labels-idx1-ubyte.gz").write_bytes(b"\x1f\x8bjunk")
    with pytest.raises(ConvbenchError, match="incomplete or damaged"):
        load("mnist", tmp_path / "packed")


def test_an_idx_file_of_another_kind_is_a_sentence(tmp_path: Path) -> None:
    raw = write_mnist(tmp_path)
    path = raw / "train-images-idx3-ubyte"
    path.write_bytes(b"<html>" + path.read_bytes()[6:])
    words = "train-images-idx3-ubyte begins with 3c 68 74 6d, where this IDX file has 00 00 08 03; add --download"
    with pytest.raises(ConvbenchError, match=words):
        load("mnist", tmp_path)


def test_compressed_idx_files_are_unpacked_by_download_after_their_checksum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = write_mnist(tmp_path, compressed=True)
    monkeypatch.setattr(
        torchvision.datasets.mnist.MNIST,
        "resources",
        [(path.name, torchvision.datasets.utils.calculate_md5(path)) for path in sorted(raw.glob("*.gz"))],
    )
    images = load_set("mnist", make_transform(None), root=tmp_path, download=True)
    assert len(images) == 12
    assert (raw / "train-images-idx3-ubyte").exists()


def test_cifar10_is_read_from_its_pickles_after_their_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar10(tmp_path, monkeypatch)
    images = load("cifar10", tmp_path)
    assert len(images) == 20
    assert tuple(images.images[0][0].shape) == (3, 32, 32)
    assert images.classes[3] == "class 3"


class _Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.path,))


def test_a_forged_cifar10_pickle_is_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_cifar10(tmp_path, monkeypatch)
    (folder / CIFAR10.train_list[0][0]).write_bytes(pickle.dumps({"data": _Touch(tmp_path / "touched")}))
    with pytest.raises(ConvbenchError, match="incomplete or damaged"):
        load("cifar10", tmp_path)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10"])
def test_a_missing_data_set_says_where_it_was_looked_for_and_what_to_try(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConvbenchError, match=rf"no {name} at {tmp_path}.*--download, or --root"):
        load(name, tmp_path)


def test_idx_files_that_promise_more_than_they_hold_are_refused(tmp_path: Path) -> None:
    raw = write_mnist(tmp_path)
    path = raw / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ConvbenchError, match="incomplete or damaged"):
        load("mnist", tmp_path)


def test_more_images_than_labels_are_refused(tmp_path: Path) -> None:
    raw = write_mnist(tmp_path)
    shutil.copy(write_mnist(tmp_path / "other", count=5) / "train-labels-idx1-ubyte", raw)
    with pytest.raises(ConvbenchError, match="12 images and 5 labels"):
        load("mnist", tmp_path)


def test_a_failed_download_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise OSError("network is\nunreachable")

    monkeypatch.setattr(torchvision.datasets.mnist, "download_and_extract_archive", no_network)
    with pytest.raises(ConvbenchError, match="could not be downloaded") as raised:
        load_set("mnist", make_transform(None), root=tmp_path, download=True)
    assert "\n" not in str(raised.value)


def test_fake_data_is_colour_of_the_size_asked_for() -> None:
    assert tuple(load("fake").images[0][0].shape) == (3, 32, 32)
    assert tuple(load("fake", size=(5, 7)).images[0][0].shape) == (3, 5, 7)
    assert not torch.equal(load("fake").images[0][0], load("fake", seed=300).images[0][0])


def test_one_file_is_a_data_set_of_one(tmp_path: Path) -> None:
    images = load(f"image:{write_image(tmp_path / 'a.png', mode='L')}")
    assert (len(images), tuple(images.images[0][0].shape)) == (1, (1, 16, 20))


def test_a_folder_is_flat_or_has_a_directory_a_class(tmp_path: Path) -> None:
    for name in ("cat/1.png", "cat/2.png", "dog/1.jpg", "dog/notes.txt"):
        path = tmp_path / "classes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".txt":
            path.write_text("no image")
        else:
            write_image(path)
    (tmp_path / "classes" / "empty").mkdir()
    write_image(tmp_path / "flat" / "b.png", mode="L")
    classes = load(f"folder:{tmp_path / 'classes'}")
    assert (len(classes), list(classes.classes)) == (3, ["cat", "dog", "empty"])
    flat = load(f"folder:{tmp_path / 'flat'}")
    assert (len(flat), tuple(flat.images[0][0].shape)) == (1, (3, 16, 20))


def test_a_folder_of_classes_is_read_as_torchvisions_imagefolder_reads_it(tmp_path: Path) -> None:
    for name in ("b/2.png", "b/10.png", "b/deeper/still/1.PNG", "a.b/x.jpg", "B/1.png", "b/deeper/0.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(tmp_path / name)
    (tmp_path / "empty" / "notes").mkdir(parents=True)
    (tmp_path / "empty" / "notes" / "a.txt").touch()
    ours = load(f"folder:{tmp_path}")
    theirs = ImageFolder(str(tmp_path), is_valid_file=is_image_name, allow_empty=True)
    assert isinstance(ours.images, Files)
    assert ours.images.files == theirs.samples
    assert ours.classes == theirs.classes


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [None, (9, 14), (16, 20)])
def test_the_transform_makes_the_numbers_of_torchvisions(tmp_path: Path, mode: str, size: tuple[int, int]) -> None:
    image = Image.open(write_image(tmp_path / "a.png", (20, 16), mode=mode))
    fitted = image if size is None else ImageOps.fit(image, size[::-1], method=Image.Resampling.BICUBIC)
    ours, theirs = make_transform(size)(image), ToTensor()(fitted)
    assert torch.equal(ours, theirs)
    assert (ours.dtype, ours.stride()) == (theirs.dtype, theirs.stride())


def test_folders_without_images_are_refused(tmp_path: Path) -> None:
    (tmp_path / "class").mkdir()
    for path in (tmp_path, tmp_path / "class"):
        with pytest.raises(ConvbenchError, match="no images in"):
            load(f"folder:{path}")
    with pytest.raises(ConvbenchError, match="no directory at"):
        load(f"folder:{tmp_path / 'nothing'}")


@pytest.mark.parametrize("name", ["shape", "folder", "imagenet", "zip:a.zip", ""])
def test_an_unknown_name_lists_the_known_ones(name: str) -> None:
    with pytest.raises(ConvbenchError, match=r"choose from .*folder:PATH.*mnist"):
        load(name)


def test_resizing_covers_the_size_and_squashes_nothing(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.png", (40, 20))
    x, _ = load(f"image:{path}", size=(10, 10)).images[0]
    assert tuple(x.shape) == (3, 10, 10)


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (100_000, 100_000)])
def test_impossible_image_sizes_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ConvbenchError, match="an image size of"):
        make_transform(size)


def test_the_split_follows_from_its_seed_and_loses_no_image() -> None:
    images = Shapes(size=50)
    train, validation = split(images, 50, 0.8, seed=3)
    assert (len(train), len(validation)) == (40, 10)
    assert sorted([*train.indices, *validation.indices]) == list(range(50))
    assert split(images, 50, 0.8, seed=3)[0].indices == train.indices
    assert split(images, 50, 0.8, seed=4)[0].indices != train.indices


def test_a_single_image_is_for_training() -> None:
    assert [len(part) for part in split(Shapes(size=1), 1, 0.2, seed=0)] == [1, 0]


@pytest.mark.parametrize("share", [0.0, -0.5, 1.5, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ConvbenchError, match="--split"):
        split(Shapes(size=5), 5, share, seed=0)


def test_workers_change_neither_the_order_nor_the_numbers() -> None:
    images = Shapes(size=20, image_size=(8, 8), transform=make_transform(None))
    batches = [
        first_batch(make_loader(images, batch_size=6, workers=workers, seed=seed))
        for workers, seed in ((0, 0), (1, 0), (0, 1))
    ]
    assert torch.equal(batches[0][0], batches[1][0])
    assert batches[0][1] == batches[1][1]
    assert not torch.equal(batches[0][0], batches[2][0])


@pytest.mark.parametrize("workers", [0, 1])
def test_images_of_different_sizes_ask_for_one_size(tmp_path: Path, workers: int) -> None:
    for side in (8, 9):
        write_image(tmp_path / f"{side}.png", (side, side))
    loader = make_loader(load(f"folder:{tmp_path}").images, batch_size=2, workers=workers, seed=0)
    with pytest.raises(ConvbenchError, match=r"^the images of one batch differ in size.*--image-size 224$"):
        first_batch(loader)


def test_too_many_workers_are_refused() -> None:
    with pytest.raises(ConvbenchError, match="--workers 100000"):
        make_loader(Shapes(), batch_size=1, workers=100_000, seed=0)


def test_hidden_files_and_folders_beside_images_are_left_out_and_told(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    write_image(tmp_path / "below" / "b.png")
    for hidden in ("._a.png", ".b.jpg"):
        (tmp_path / hidden).write_bytes(b"\0\x05\x16\x07")
    images = load(f"folder:{tmp_path}")
    assert [path for path, _ in images.images.files] == [str(tmp_path / "a.png")]  # type: ignore[attr-defined]
    assert images.remarks == (
        f"{tmp_path}: left out 2 hidden files, such as {tmp_path / '._a.png'}",
        f"{tmp_path}: left out 1 folder beside the images, such as below",
    )
    classes = tmp_path / "classes"
    for name in ("cat/1.png", "dog/2.png", "dog/.trash/3.png", ".cache/4.png"):
        write_image(classes / name)
    (classes / "cat" / "._1.png").write_bytes(b"\0")
    images = load(f"folder:{classes}")
    assert (images.classes, len(images)) == (["cat", "dog"], 2)
    assert images.remarks == (f"{classes}: left out 1 hidden file, such as {classes / 'cat' / '._1.png'}",)
    assert not images.code  # torchvision's ImageFolder would stumble over it


@pytest.mark.parametrize("suffix", [".gif", ".tif", ".png", ".webp"])
def test_a_file_of_several_images_says_that_the_first_is_used(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    frames = [Image.new("RGB", (8, 6), colour) for colour in ("red", "green", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    images = load(f"image:{path}")
    assert images.remarks == (f"{path} has 3 images, as frames or pages: the first is used",)
    x, _ = images.images[0]
    assert float(x[0].mean()) > 0.9 > 0.1 > float(x[2].mean())
    shutil.copy(path, tmp_path / f"b{suffix}")
    assert load(f"folder:{tmp_path}").remarks == (
        f"2 files have several images, such as {path}: the first of each is used",
    )
    assert not load(f"image:{write_image(tmp_path / 'one.png')}").remarks
