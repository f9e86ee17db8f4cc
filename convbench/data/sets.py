"""Which image data sets can be asked for by name, and are they there?"""

import gzip
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import Dataset

from convbench.data.images import SUFFIXES, frames, is_image_name, open_image, open_rgb
from convbench.data.shapes import Shapes
from convbench.errors import ConvbenchError, plural, unknown
from convbench.printing import prints_to_stderr
from convbench.spec import Pair

NAMES = ("shapes", "mnist", "fashion-mnist", "cifar10", "fake")
PATHS = ("folder:PATH", "image:PATH")
# The name of torchvision's class, and where under the root it keeps its files. torchvision takes seconds to import:
# it is, where one of its sets is asked for.
_TORCHVISION = {
    "mnist": ("MNIST", "MNIST/raw"),
    "fashion-mnist": ("FashionMNIST", "FashionMNIST/raw"),
    "cifar10": ("CIFAR10", "cifar-10-batches-py"),
}

_MOST_UNPACKED = 2**30  # MNIST's images are 47 MB
Transform = Callable[[Any], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSet:
    """A data set of (image, class number), with its description.

    Attributes:
        name: as it was requested.
        images: the torch data set; its transform is applied.
        origin: where the images come from.
        classes: names of the classes, by number; empty where there are none.
        code: the expression that makes it, in torchvision's words where it is one of its sets.
        remarks: what of the files was not used.
    """

    name: str
    images: Dataset[Any]
    origin: str
    classes: Sequence[str] = ()
    code: str = ""
    remarks: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)  # type: ignore[arg-type]  # torch's Dataset declares no length; these have one


class Files(Dataset[Any]):
    """Image files in a row, each with the number of its class."""

    def __init__(self, files: Sequence[tuple[str, int]], loader: Callable[[str], Any], transform: Transform) -> None:
        self.files = files
        self.loader = loader
        self.transform = transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self.files[index]
        return self.transform(self.loader(path)), label


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
        root: the folder of torchvision's data sets.
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
        files = Files([(path, 0)], open_image, transform)
        code = f"[(transform(PIL.Image.open({path!r})), 0)]"
        return ImageSet(name=name, images=files, origin=path, code=code, remarks=_of_several([path]))
    if name in _TORCHVISION:
        return _torchvision(name, transform, root, download=download)
    if name == "shapes":
        size = image_size or (64, 64)
        drawn = Shapes(image_size=size, seed=seed, transform=transform)
        code = f"convbench.data.shapes.Shapes(image_size={size}, seed={seed}, transform=transform)"
        origin = f"shapes, drawn with seed {seed}"
        return ImageSet(name=name, images=drawn, origin=origin, classes=drawn.classes, code=code)
    if name == "fake":
        from torchvision.datasets import FakeData

        shape = (3, *(image_size or (32, 32)))
        noise = FakeData(size=256, image_size=shape, transform=transform, random_offset=seed)
        code = f"torchvision.datasets.FakeData(256, image_size={shape}, transform=transform, random_offset={seed})"
        return ImageSet(name=name, images=noise, origin=f"noise of torchvision's FakeData, seed {seed}", code=code)
    raise unknown("data set", name, [*NAMES, *PATHS])


def _torchvision(name: str, transform: Transform, root: Path, *, download: bool) -> ImageSet:
    from torchvision import datasets

    kind, folder = _TORCHVISION[name]
    make, place = getattr(datasets, kind), root / folder
    packed = [] if download else _packed(place)
    try:
        with _quiet(), _unpacked(folder, packed) if packed else nullcontext(root) as here:
            images = make(here, train=True, transform=transform, download=download)
    except Exception as error:  # IDX files, pickles and the network fail in ways of their own
        line = " ".join(f"{type(error).__name__}: {error}".split())
        if download:
            raise ConvbenchError(
                f"{name} could not be downloaded to {place}: {line}; try --root with a directory that has it"
            ) from None
        if fault := next(filter(None, map(_idx_fault, sorted(place.glob("*-ubyte")))), ""):
            raise ConvbenchError(f"{name} at {place}: {fault}; add --download, or use another --root") from None
        if not place.is_dir():
            raise ConvbenchError(f"no {name} at {place}; add --download, or --root DIR with {folder} in it") from None
        raise ConvbenchError(
            f"{name} at {place} is incomplete or damaged: {line}; add --download, or use another --root"
        ) from None
    if len(images.data) != len(images.targets) or len(images.data) == 0:
        raise ConvbenchError(
            f"{name} at {place} has {len(images.data)} images and {len(images.targets)} labels; "
            f"remove it and add --download, or use another --root"
        )
    code = f"torchvision.datasets.{kind}({str(root)!r}, train=True, transform=transform{', download=True' * download})"
    code += f"  # after gunzip {place}/*.gz" if packed else ""
    return ImageSet(name=name, images=images, origin=f"{name} in {place}", classes=images.classes, code=code)


def _packed(place: Path) -> list[Path]:
    """IDX files that are still compressed, as they were downloaded: torchvision only reads them unpacked."""
    return [file for file in sorted(place.glob("*-ubyte.gz")) if not file.with_suffix("").exists()]


@contextmanager
def _unpacked(folder: str, packed: Sequence[Path]) -> Iterator[Path]:
    """A root, for a while, that holds these files unpacked in this folder, and its others."""
    with tempfile.TemporaryDirectory() as root:
        place = Path(root) / folder
        place.mkdir(parents=True)
        for file in packed[0].parent.glob("*-ubyte"):
            (place / file.name).symlink_to(file.resolve())
        for file in packed:
            with gzip.open(file) as source:
                data = source.read(_MOST_UNPACKED + 1)
            if len(data) > _MOST_UNPACKED:
                raise ValueError(f"{file.name} unpacks to more than {_MOST_UNPACKED:,} bytes")
            (place / file.name).with_suffix("").write_bytes(data)
        yield Path(root)


def _idx_fault(file: Path) -> str:
    """Why it is no IDX file of images or labels, in a sentence, or ""."""
    magic = (0x803 if "idx3" in file.name else 0x801).to_bytes(4, "big")
    found = file.read_bytes()[:4] if file.stat().st_size < _MOST_UNPACKED else b""
    if found == magic:
        return ""
    return f"{file.name} begins with {found.hex(' ') or 'nothing'}, where this IDX file has {magic.hex(' ')}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Torchvision reports on stdout, which is the result's; and CIFAR-10's pickles predate numpy's newest wishes."""
    with warnings.catch_warnings(), prints_to_stderr():
        warnings.filterwarnings("ignore", message=r"dtype\(\): align should be passed")
        yield


def _folder(name: str, path: Path, transform: Transform) -> ImageSet:
    if not path.is_dir():
        raise ConvbenchError(
            f"no directory at {path}; use folder:PATH for a directory of images and image:PATH for one file"
        )
    found = sorted(path.iterdir())
    named = [file for file in found if file.is_file() and is_image_name(file)]
    hidden = [str(file) for file in named if _is_hidden(file.name)]
    files = [(str(file), 0) for file in named if not _is_hidden(file.name)]
    folders = [one.name for one in found if one.is_dir() and not _is_hidden(one.name)]
    classes = [] if files else folders
    for label, own in enumerate(classes):  # as torchvision's ImageFolder: all that is below, directory by directory
        for folder, below, names in os.walk(path / own, followlinks=True):
            below[:] = sorted(one for one in below if not _is_hidden(one))
            images = [os.path.join(folder, one) for one in sorted(names) if is_image_name(one)]
            hidden += [one for one in images if _is_hidden(os.path.basename(one))]
            files += [(one, label) for one in images if not _is_hidden(os.path.basename(one))]
    if not files:
        raise ConvbenchError(
            f"no images in {path}; put images in it, or in one directory per class, with the suffix "
            f"{' '.join(SUFFIXES)}"
        )
    remarks = [f"{path}: left out {plural(len(hidden), 'hidden file')}, such as {hidden[0]}"] if hidden else []
    if folders and not classes:
        remarks.append(f"{path}: left out {plural(len(folders), 'folder')} beside the images, such as {folders[0]}")
    code = f"torchvision.datasets.ImageFolder({str(path)!r}, transform=transform)" if classes and not hidden else ""
    return ImageSet(
        name=name,
        images=Files(files, open_rgb, transform),
        origin=str(path),
        classes=classes,
        code=code,
        remarks=(*remarks, *_of_several([file for file, _ in files])),
    )


def _is_hidden(name: str) -> bool:
    """Whether it is hidden, as `._photo.jpg`, in which macOS keeps what is no image."""
    return name.startswith(".")


def _of_several(files: Sequence[str]) -> tuple[str, ...]:
    """A remark on files of several images, of which only the first is seen."""
    several = [(file, count) for file in files if (count := frames(file)) > 1]
    if not several:
        return ()
    file, count = several[0]
    if len(several) == 1:
        return (f"{file} has {count:,} images, as frames or pages: the first is used",)
    return (f"{plural(len(several), 'file')} have several images, such as {file}: the first of each is used",)
