"""Which filters can be asked for by name, and what are their numbers?

A bank's w is (K, C/G, R, S) for cross-correlation: the kernel is on the image as it is printed.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from convbench.errors import unknown

BANKS = ("edges", "blur", "random", "identity")

# Sobel and Feldman 1968, turned by 45 degrees too; Laplacians and lines: Gonzalez and Woods 2018, chapters 3 and 10.
_EDGES = {
    "Sobel x": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "Sobel y": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
    "Sobel \\": [[-2, -1, 0], [-1, 0, 1], [0, 1, 2]],
    "Sobel /": [[0, 1, 2], [-1, 0, 1], [-2, -1, 0]],
    "Laplacian 4": [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
    "Laplacian 8": [[1, 1, 1], [1, -8, 1], [1, 1, 1]],
    "Line x": [[-1, -1, -1], [2, 2, 2], [-1, -1, -1]],
    "Line y": [[-1, 2, -1], [-1, 2, -1], [-1, 2, -1]],
}
_RANDOM = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """A filter bank.

    Attributes:
        w: (K, C/G, R, S), float32 unless a file says otherwise.
        names: one for each of the K filters.
        origin: the bank, or the file and the tensor in it.
        groups: G, so w fits C channels.
        remarks: what of the file was not used.
    """

    w: Float[Tensor, "k cg r s"]
    names: tuple[str, ...]
    origin: str
    groups: int = 1
    remarks: tuple[str, ...] = ()


def make_filters(bank: str, channels: int, seed: int = 0) -> Filters:
    """A bank by name for C channels.

    `edges` and `blur` act on the mean of the channels: each kernel over C, the same in every
    channel. A blur sums to 1. `random` is drawn from N(0, 1/(C*R*S)), which keeps the size of
    the numbers. `identity` gives the input back, channel by channel.
    """
    match bank:
        case "edges":
            named = {name: torch.tensor(rows, dtype=torch.float32) for name, rows in _EDGES.items()}
            return _on_mean(bank, named, channels)
        case "blur":
            return _on_mean(bank, _blurs(), channels)
        case "random":
            generator = torch.Generator().manual_seed(seed)
            w = torch.randn((_RANDOM, channels, 3, 3), generator=generator) / (channels * 9) ** 0.5
            names = tuple(f"random {k + 1}" for k in range(_RANDOM))
            return Filters(w=w, names=names, origin=f"random, seed {seed}")
        case "identity":
            w = torch.zeros(channels, channels, 3, 3)
            w[range(channels), range(channels), 1, 1] = 1
            known = {1: ("identity",), 3: ("red", "green", "blue")}
            names = known.get(channels) or tuple(f"channel {c}" for c in range(channels))
            return Filters(w=w, names=names, origin="identity")
    raise unknown("filter bank", bank, BANKS)


def _on_mean(bank: str, kernels: dict[str, Tensor], channels: int) -> Filters:
    w = torch.stack(list(kernels.values()))[:, None].expand(-1, channels, -1, -1) / channels
    return Filters(w=w.contiguous(), names=tuple(kernels), origin=bank)


def _blurs() -> dict[str, Tensor]:
    """7x7 kernels that sum to 1: boxes, Gaussians by their standard deviation, and two motions."""
    place = torch.arange(7.0) - 3

    def kernel(rows: Tensor, columns: Tensor) -> Tensor:
        weights = rows[:, None] * columns
        return weights / weights.sum()

    def box(width: int) -> Tensor:
        return (place.abs() <= width // 2).float()

    def bell(deviation: float) -> Tensor:
        return torch.exp(-((place / deviation) ** 2) / 2)

    return {
        **{f"Box {width}": kernel(box(width), box(width)) for width in (3, 5, 7)},
        **{f"Gauss {deviation}": kernel(bell(deviation), bell(deviation)) for deviation in (0.7, 1.0, 1.5)},
        "Motion x": kernel(box(1), box(7)),
        "Motion y": kernel(box(7), box(1)),
    }
