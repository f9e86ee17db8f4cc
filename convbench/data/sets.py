"""Which image data sets can be asked for by name, and are they there?"""

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset
from torchvision.datasets import CIFAR10, MNIST, FakeData, FashionMNIST, ImageFolder

from convbench.data.images import SUFFIXES, is_image_name, open_image, open_rgb
from convbench.data.shapes import Shapes
from convbench.errors import ConvbenchError, unknown
from convbench.spec import Pair

NAMES = ("shapes", "mnist", "fashion-mnist", "cifar10", "fake")
PATHS = ("folder:PATH", "image:PATH")
# torchvision's class, and where under the root it keeps its files.
_TORCHVISION = {
    "mnist": (MNIST, "MNIST/raw"),
    "fashion-mnist": (FashionMNIST, "FashionMNIST/raw"),
    "cifar10": (CIFAR10, "cifar-10-batches-py"),
}

Transform = Callable[[Any], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSet:
    """A data set of (image, class number), with what is told of it.

    Attributes:
        name: as it was asked for.
        images: the torch data set; its transform is applied.
        origin: where the images come from.
        classes: names of the classes, by number; empty where there are none.
    """

    name: str
    images: Dataset[Any]
    origin: str
    classes: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.images)  # type: ignore[arg-type]  # torch's Dataset declares no length; these have one


class Files(Dataset[Any]):
    """Image files in a row, without classes."""

    def __init__(self, paths: Sequence[Path], loader: Callable[[Path], Any], transform: Transform) -> None:
        self.paths = paths
        self.loader = loader
        self.transform = transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.loader(self.paths[index])), 0


def load_set(
    name: str,
    transform: Transform,
    *,
    root: Path,
    download: bool = False,
    image_size: Pair | None = None,
    seed: int = 0,
) -> ImageSet:
    """The data set of that name, its images through `transform`.

    Args:
        name: one of NAMES, `folder:PATH` or `image:PATH`.
        transform: from a Pillow image to a tensor.
        root: where torchvision's data sets lie.
        download: fetch one that is not there.
        image_size: (H, W) for the sets that are made up here; the others leave it to `transform`.
        seed: of the sets that are made up here.

    Raises:
        ConvbenchError: unknown name, nothing there, or broken files.
    """
    kind, colon, path = name.partition(":")
    if colon and kind == "folder":
        return _folder(name, Path(path), transform)
    if colon and kind == "image":
        open_image(path)
        return ImageSet(name=name, images=Files([Path(path)], open_image, transform), origin=path)
    if name in _TORCHVISION:
        return _torchvision(name, transform, root, download=download)
    if name == "shapes":
        drawn = Shapes(image_size=image_size or (64, 64), seed=seed, transform=transform)
        return ImageSet(name=name, images=drawn, origin=f"shapes, drawn with seed {seed}", classes=drawn.classes)
    if name == "fake":
        noise = FakeData(size=256, image_size=(3, *(image_size or (32, 32))), transform=transform, random_offset=seed)
        return ImageSet(name=name, images=noise, origin=f"noise of torchvision's FakeData, seed {seed}")
    raise unknown("data set", name, [*NAMES, *PATHS])


def _torchvision(name: str, transform: Transform, root: Path, *, download: bool) -> ImageSet:
    make, folder = _TORCHVISION[name]
    place = root / folder
    try:
        with _quiet():
            images = make(root, train=True, transform=transform, download=download)
    except Exception as error:  # IDX files, pickles and the network fail in ways of their own
        line = " ".join(f"{type(error).__name__}: {error}".split())
        if download:
            raise ConvbenchError(
                f"{name} could not be downloaded to {place}: {line}; try --root with a directory that holds it"
            ) from None
        if not place.is_dir():
            raise ConvbenchError(f"no {name} at {place}; pass --download, or --root DIR that holds {folder}") from None
        raise ConvbenchError(
            f"{name} at {place} is incomplete or broken: {line}; pass --download, or another --root"
        ) from None
    if len(images.data) != len(images.targets) or len(images.data) == 0:
        raise ConvbenchError(
            f"{name} at {place} holds {len(images.data)} images and {len(images.targets)} labels; "
            f"remove it and pass --download, or another --root"
        )
    return ImageSet(name=name, images=images, origin=f"{name} in {place}", classes=images.classes)


@contextmanager
def _quiet() -> Iterator[None]:
    """Torchvision reports on stdout, which is the result's; and CIFAR-10's pickles predate numpy's newest wishes."""
    with warnings.catch_warnings(), redirect_stdout(sys.stderr):
        warnings.filterwarnings("ignore", message=r"dtype\(\): align should be passed")
        yield


def _folder(name: str, path: Path, transform: Transform) -> ImageSet:
    if not path.is_dir():
        raise ConvbenchError(f"no directory at {path}; folder:PATH takes a directory of images, image:PATH one file")
    flat = sorted(file for file in path.iterdir() if file.is_file() and is_image_name(file))
    if flat:
        return ImageSet(name=name, images=Files(flat, open_rgb, transform), origin=str(path))
    try:
        images = ImageFolder(
            str(path), transform=transform, loader=open_rgb, is_valid_file=is_image_name, allow_empty=True
        )
    except FileNotFoundError:  # not even a directory of a class
        images = ()
    if len(images) == 0:
        raise ConvbenchError(
            f"no images in {path}; put files in it or in one directory a class, named {' '.join(SUFFIXES)}"
        )
    return ImageSet(name=name, images=images, origin=str(path), classes=images.classes)
