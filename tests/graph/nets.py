"""Small models that have what graphs meet: a few layers on small images, with plausible norms."""

import torch
from torch import Tensor, nn

from convbench.graph.build import OwnGraph, build


class Block(nn.Module):
    """Of a residual network, with a shortcut that has a convolution, or none."""

    def __init__(self, channels: int, filters: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, filters, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(filters)
        self.conv2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(filters)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = (
            nn.Sequential(nn.Conv2d(channels, filters, 1, stride, bias=False), nn.BatchNorm2d(filters))
            if stride != 1 or channels != filters
            else None
        )

    def forward(self, x: Tensor) -> Tensor:
        beside = x if self.shortcut is None else self.shortcut(x)
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += beside
        return self.relu(y)  # type: ignore[no-any-return]  # of a module


def residual() -> nn.Module:
    """A stem, two blocks, a pool and a classifier."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 7, 2, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
        Block(16, 16), Block(16, 24, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(24, 10),
    )  # fmt: skip


class Inverted(nn.Module):
    """An inverted residual with squeeze and excitation."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(channels, inner, 1, bias=False), nn.BatchNorm2d(inner), nn.Hardswish())
        self.depthwise = nn.Sequential(
            nn.Conv2d(inner, inner, 5, padding=2, groups=inner, bias=False), nn.BatchNorm2d(inner), nn.ReLU6()
        )
        self.squeeze = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(inner, 8, 1), nn.SiLU(), nn.Conv2d(8, inner, 1), nn.Sigmoid()
        )
        self.project = nn.Sequential(nn.Conv2d(inner, channels, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(self.expand(x))
        return x + self.project(y * self.squeeze(y))  # type: ignore[no-any-return]  # of a module


def mobile() -> nn.Module:
    """A strided stem and an inverted residual; its 20 channels fill no whole number of vectors."""
    return nn.Sequential(
        nn.Conv2d(3, 20, 3, 2, 1, bias=False), nn.BatchNorm2d(20), nn.Hardswish(), Inverted(20, 36),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(20, 7),
    )  # fmt: skip


def vgg() -> nn.Module:
    """Convolutions with bias, pools, and linear layers that read an image flattened."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(True), nn.Conv2d(16, 20, 3, padding=1), nn.ReLU(True), nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(20 * 16, 24), nn.ReLU(True), nn.Dropout(), nn.Linear(24, 100),
    )  # fmt: skip


class UNet(nn.Module):
    """Two levels: one comes up by nearest pixels, the other by a transposed convolution. Returns a dict with a list."""

    def __init__(self) -> None:
        super().__init__()

        def conv(channels: int, filters: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(channels, filters, 3, padding=1, bias=False), nn.BatchNorm2d(filters), nn.ReLU(inplace=True)
            )

        self.first, self.second, self.third = conv(3, 12), conv(12, 16), conv(16, 20)
        self.pool, self.up = nn.MaxPool2d(2), nn.Upsample(scale_factor=2, mode="bilinear")
        self.transposed = nn.ConvTranspose2d(16, 12, 2, 2)
        self.joined, self.last = conv(36, 16), nn.Conv2d(24, 2, 1)

    def forward(self, x: Tensor) -> dict[str, object]:
        first = self.first(x)
        second = self.second(self.pool(first))
        third = self.up(self.third(self.pool(second)))
        second = self.joined(torch.cat([second, third], 1))
        mask = self.last(torch.cat([first, self.transposed(second)], 1))
        return {"mask": mask, "levels": [second, third], "size": 3}


NETS = {"residual": residual, "mobile": mobile, "vgg": vgg, "UNet": UNet}
SIZES = {"residual": 32, "mobile": 16, "vgg": 8, "UNet": 16}


def make(name: str, batch: int = 1) -> tuple[nn.Module, Tensor]:
    """A model in evaluation, with norms that change something, and an input."""
    torch.manual_seed(1)
    return ready(NETS[name]()), torch.randn(batch, 3, SIZES[name], SIZES[name])


def ready(model: nn.Module) -> nn.Module:
    """In evaluation, without gradients, and with norms as a trained model may have them."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_var.uniform_(0.5, 2)
            module.running_mean.normal_(0, 0.2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
    return model.eval().requires_grad_(requires_grad=False)


def quiet(_: str) -> None:
    """Takes what a graph tells."""


def built(model: nn.Module, *inputs: Tensor, accuracy: str = "standard", threads: int = 1) -> OwnGraph:
    """With the default plans: no tuning."""
    return build(model, inputs, threads=threads, accuracy=accuracy, choices={}, tell=quiet)
