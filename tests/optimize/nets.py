"""Small models, right and awkward, that another process can load too."""

import os
import signal
import time
from typing import Any

import torch
from torch import Tensor, nn


class Net(nn.Module):
    """A convolution, a norm and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.norm(self.conv(x)).relu().mean((2, 3)))
        return y


class Branching(Net):
    """What it computes hangs on a value."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y if bool(x.abs().mean() > 10) else -y


class Tied(nn.Module):
    """Two layers with the same weight."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False)
        self.other.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.other(self.one(x).relu())
        return y


class Two(nn.Module):
    """Two inputs, and a dict with a list in it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor, scale: Tensor) -> dict[str, Any]:
        y = self.conv(x)
        return {"y": y * scale, "both": [y, scale + 1], "kind": "two"}


class Random(Net):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + torch.rand(4).to(x.dtype)


class Counting(Net):
    """Its output changes from call to call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Tensor = nn.Buffer(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.calls.add_(1)
        return super().forward(x) * self.calls


class Dropping(Net):
    """Dropout, which does nothing in evaluation mode."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.dropout(super().forward(x), training=self.training)


class Overwriting(Net):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.mul_(2))


class Single(Net):
    """A number in fp32 of its own, whatever its weights are."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) @ torch.ones(4, 4)


class Exploding(Net):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) / 0


class Custom(Net):
    """An operator of the user's own."""

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.ops.convbench_tests.halve(super().forward(x))
        return y


class OnlyHere(Net):
    """What a pickle of it loads is not loaded anywhere else."""

    def __reduce__(self) -> Any:
        raise TypeError("it holds a window")


class Dying(Net):
    """Ends its process where it is given channels_last: by a crash, by itself, or never."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        if x.is_contiguous(memory_format=torch.channels_last) and x.shape[1] > 1:
            if self.how == "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            if self.how == "exit":
                os._exit(0)
            time.sleep(1000)
        return super().forward(x)


@torch.library.custom_op("convbench_tests::halve", mutates_args=())
def halve(x: Tensor) -> Tensor:
    return x / 2


@halve.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


def image(n: int = 1) -> Tensor:
    return torch.randn(n, 3, 12, 12, generator=torch.Generator().manual_seed(1))
