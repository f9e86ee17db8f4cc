"""Networks for the scripts: a U-Net, and plausible statistics for BatchNorm."""

import torch
from torch import Tensor, nn


def twice(channels: int, filters: int) -> nn.Sequential:
    def conv(channels: int) -> list[nn.Module]:
        return [nn.Conv2d(channels, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters), nn.ReLU(inplace=True)]

    return nn.Sequential(*conv(channels), *conv(filters))


class UNet(nn.Module):
    """(N, 3, H, W), H and W multiples of 16, to (N, classes, H, W).

    Ronneberger et al. 2015, figure 1, with four levels, padded, and with BatchNorm.
    """

    def __init__(self, width: int = 32, classes: int = 21) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(5)]
        self.down = nn.ModuleList(twice(c, k) for c, k in zip([3, *widths], widths, strict=False))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * k, k, 2, 2) for k in widths[-2::-1])
        self.join = nn.ModuleList(twice(2 * k, k) for k in widths[-2::-1])
        self.pool, self.last = nn.MaxPool2d(2), nn.Conv2d(width, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        levels = []
        for level, block in enumerate(self.down):
            x = block(self.pool(x) if level else x)
            levels.append(x)
        levels.pop()
        for up, join in zip(self.up, self.join, strict=True):
            x = join(torch.cat([levels.pop(), up(x)], 1))
        y: Tensor = self.last(x)
        return y


def with_plausible_norms(model: nn.Module) -> nn.Module:
    """Random statistics, like those of a trained model."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.get_buffer("running_var").uniform_(0.5, 2.0)
            module.get_buffer("running_mean").normal_(0, 0.1)
    return model
