"""How does a data set become one batch? Transform, split, DataLoader."""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset, default_collate, random_split

from convbench.data.images import MAX_PIXELS
from convbench.errors import ConvbenchError
from convbench.spec import Pair


@dataclass(frozen=True, slots=True)
class ToTensor:
    """From a Pillow image, grey or RGB, to a float32 tensor (C, H, W) in [0, 1].

    With a size, (H, W), the image is scaled until it covers that, and the middle is cut out: nothing is
    squashed. The numbers are those of torchvision's ToTensor, whose import takes longer than all the rest.
    """

    size: Pair | None = None

    def __call__(self, image: Image.Image) -> Float[Tensor, "c h w"]:
        if self.size is not None and (image.height, image.width) != self.size:
            image = ImageOps.fit(image, self.size[::-1], method=Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(np.array(image)).view(image.height, image.width, -1)
        return pixels.permute(2, 0, 1).contiguous().float().div(255)


def make_transform(size: Pair | None) -> ToTensor:
    """The transform of every data set, to that size where one is given."""
    if size is not None and not (min(size) > 0 and size[0] * size[1] <= MAX_PIXELS):
        raise ConvbenchError(f"an image size of {size[0]}x{size[1]}: give 1 to {MAX_PIXELS:,} pixels; try 224")
    return ToTensor(size)


def split(images: Dataset[Any], count: int, share: float, seed: int) -> tuple[Subset[Any], Subset[Any]]:
    """Train and validation, drawn at random; train holds that share of the `count` images, and at least one."""
    if not 0 < share <= 1:
        raise ConvbenchError(f"--split {share}: the share for training must be above 0 and at most 1; try 0.8")
    train = max(1, round(count * share))
    if train == count:  # random_split warns of an empty part
        return Subset(images, range(count)), Subset(images, [])
    first, second = random_split(images, [train, count - train], generator=torch.Generator().manual_seed(seed))
    return first, second


def make_loader(images: Dataset[Any], *, batch_size: int, workers: int, seed: int) -> DataLoader[Any]:
    """A shuffling DataLoader whose order follows from the seed, whatever the number of workers."""
    cpus = os.cpu_count() or 1
    if not 0 <= workers <= cpus:
        raise ConvbenchError(f"--workers {workers}: choose 0 (load in this process) to {cpus} (this machine's CPUs)")
    return DataLoader(
        images,
        batch_size=batch_size,
        shuffle=True,
        num_workers=workers,
        collate_fn=_stack,
        generator=torch.Generator().manual_seed(seed),
    )


def first_batch(loader: DataLoader[Any]) -> tuple[Float[Tensor, "n c h w"], list[int]]:
    """The first batch's images and class numbers."""
    try:
        x, labels = next(iter(loader))
    except ConvbenchError as error:
        # A worker's exception arrives with its traceback in the message; the last line is ours.
        raise ConvbenchError(str(error).rpartition("convbench.errors.ConvbenchError: ")[2]) from None
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        first = str(error).partition("\n")[0]
        raise ConvbenchError(f"loading failed in a worker process: {first}; try --workers 0") from None
    return x, labels.tolist()


def _stack(samples: list[tuple[Tensor, int]]) -> Any:
    sizes = sorted({tuple(image.shape) for image, _ in samples})
    if len(sizes) > 1:
        raise ConvbenchError(
            f"the images of one batch differ in size: (C, H, W) is {sizes[0]} and {sizes[-1]}; "
            f"give them one, such as --image-size 224"
        )
    return default_collate(samples)
