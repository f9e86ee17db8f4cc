"""What does one convolution cost, in every common unit, and how do different tools count it?

One ledger: multiply-adds, operations, exact multiplications and additions with padding and without, bias apart, bytes.
Each figure is computed in a second way if possible, and the tools that count are run and compared.
"""

import contextlib
import importlib
import importlib.metadata
import importlib.util
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from convbench.errors import in_words
from convbench.models.eager import without_compiler
from convbench.ran.by_torch import convolve, make_module, unfold
from convbench.spec import ITEM_NBYTES, ConvSpec, Pair

# fvcore traces with real numbers, so it computes: the limit in multiply-adds for a tolerable wait.
MAX_TRACED_MACS = 2_000_000_000
MAX_PLANE = 2**24  # pixels of one plane, for the count by ones


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """The costs of one convolution by arithmetic alone; see the properties for what each counts.

    The direct algorithm: C/G*R*S products an output, one addition less. `on_image` leaves out products with the zeros
    of the padding; their additions go with them.
    """

    spec: ConvSpec

    @property
    def macs(self) -> int:
        """Multiply-adds, padding counted: N*K*P*Q*(C/G)*R*S."""
        return self.spec.macs

    @property
    def outputs(self) -> int:
        return prod(self.spec.y_shape)

    @property
    def multiplications(self) -> int:
        """Padding counted."""
        return self.macs

    @property
    def additions(self) -> int:
        """Padding counted: one less than the products, for each output."""
        return self.macs - self.outputs

    @property
    def multiplications_on_image(self) -> int:
        return self.spec.inner_macs

    @property
    def additions_on_image(self) -> int:
        """An output entirely on padding takes no product and no addition."""
        return self.spec.inner_macs - self.outputs_on_image

    @property
    def outputs_on_image(self) -> int:
        """Outputs that read a pixel at all."""
        reached = [_reached(self.spec, axis) for axis in (0, 1)]
        return self.spec.n * self.spec.k * prod(reached)

    @property
    def bias_additions(self) -> int:
        """One for each output, where there is a bias; part of no other figure."""
        return self.outputs

    @property
    def padding_waste(self) -> float:
        """The share of the multiply-adds that multiply a zero of the padding."""
        return 1 - self.spec.inner_macs / self.macs if self.macs else 0.0

    @property
    def field(self) -> Pair:
        """Rows and columns of x that one output sees: the dilated kernel."""
        return self.spec.kernel_extent

    @property
    def blow_up(self) -> float:
        """The patch matrix over x."""
        x = prod(self.spec.x_shape)
        return self.spec.patch_matrix_nbytes("fp32") / ITEM_NBYTES["fp32"] / x if x else 0.0

    def nbytes(self, dtype: str) -> tuple[int, int, int]:
        """Bytes of x, w and y."""
        shapes = (self.spec.x_shape, self.spec.w_shape, self.spec.y_shape)
        x, w, y = (prod(shape) * ITEM_NBYTES[dtype] for shape in shapes)
        return x, w, y


@dataclass(frozen=True, slots=True, kw_only=True)
class CostCheck:
    """A figure and the same figure computed in another way."""

    name: str
    by: str
    found: int
    expected: int

    @property
    def holds(self) -> bool:
        return self.found == self.expected


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What another tool counts for the layer with a bias, as nn.Conv2d and as F.conv2d in a forward().

    torch's layers pad opposite sides alike, so where a problem's differ, x is padded beforehand, and not by the layer.

    Attributes:
        unit: what it counts.
        expected, expected_function: what it must return if it counts that way.
        module, function: what it said; None if it could not be asked.
        why_not: why not.
    """

    tool: str
    version: str
    unit: str
    expected: int
    expected_function: int
    module: int | None = None
    function: int | None = None
    why_not: str = ""

    @property
    def reconciled(self) -> bool | None:
        """It said what follows from its unit; None if it was not asked."""
        if self.module is None or self.function is None:
            return None
        return (self.module, self.function) == (self.expected, self.expected_function)


@dataclass(frozen=True, slots=True)
class Tool:
    """How a counting tool is called, and what it counts by its own rules.

    Attributes:
        package: to import.
        unit: in words.
        expected: of the ledger, as nn.Conv2d with a bias.
        expected_function: the same as F.conv2d.
        ask: (module, x) -> its figure.
        computes: it needs numbers, so it takes time and memory.
    """

    package: str
    unit: str
    expected: Callable[[Ledger], int]
    expected_function: Callable[[Ledger], int]
    ask: Callable[[nn.Module, Tensor], int]
    computes: bool = False


@without_compiler()
def check_ledger(ledger: Ledger) -> list[CostCheck]:
    """The ledger's figures against torch: its own counter, sizes of tensors, and sums over ones.

    Ones convolved with ones count products: each adds 1 where its tap is on the image and 0 on the padding.
    """
    spec, checks = ledger.spec, []
    x, w = torch.empty(spec.x_shape, device="meta"), torch.empty(spec.w_shape, device="meta")
    y = convolve(x, w, spec)
    for name, tensor, expected in zip("xwy", (x, w, y), ledger.nbytes("fp32"), strict=True):
        checks.append(CostCheck(name=f"bytes of {name}", by="tensor sizes", found=tensor.nbytes, expected=expected))
    patches = unfold(x, spec) if spec.n else x
    if spec.n:
        expected = spec.patch_matrix_nbytes("fp32")
        checks.append(CostCheck(name="patch matrix", by="F.unfold", found=patches.nbytes, expected=expected))
    if max(spec.h * spec.w, spec.p * spec.q, spec.r * spec.s) <= MAX_PLANE and spec.p * spec.q * spec.r * spec.s < 1e9:
        ones = torch.ones((1, 1, spec.h, spec.w), dtype=torch.float64), torch.ones((1, 1, spec.r, spec.s)).double()
        plane = convolve(*ones, spec.plane)
        products = int(plane.sum().item()) * spec.n * spec.k * spec.c_per_group
        reading = int(plane.count_nonzero().item()) * spec.n * spec.k
        by = "a convolution of ones"
        checks += [
            CostCheck(name="products on the image", by=by, found=products, expected=ledger.multiplications_on_image),
            CostCheck(
                name="additions on the image", by=by, found=products - reading, expected=ledger.additions_on_image
            ),
        ]
    return checks


@without_compiler()
def ask_tools(ledger: Ledger) -> list[Count]:
    """What FlopCounterMode says, and those of torchinfo, fvcore and ptflops that are installed."""
    missing = not_installed()
    return [_ask(name, tool, ledger) for name, tool in TOOLS.items() if name not in missing]


def not_installed() -> list[str]:
    """The tools that could be asked too."""
    return [name for name, tool in TOOLS.items() if importlib.util.find_spec(tool.package) is None]


def _ask(name: str, tool: Tool, ledger: Ledger) -> Count:
    figures: list[int] = []
    why_not = ""
    if tool.computes and ledger.macs > MAX_TRACED_MACS:
        why_not = f"it would compute {ledger.macs:,} multiply-adds (limit {MAX_TRACED_MACS:,})"
    elif not ledger.macs:
        why_not = "an empty batch"
    else:
        device = "cpu" if tool.computes else "meta"
        try:
            with _quiet():
                for make in (make_module, _Functional):
                    model = make(ledger.spec, device=device).eval()
                    figures.append(tool.ask(model, torch.zeros(ledger.spec.evened.x_shape, device=device)))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # of third-party code
            figures, why_not = [], in_words(error)
    module, function = figures or (None, None)
    return Count(
        tool=name,
        version=importlib.metadata.version(tool.package),
        unit=tool.unit,
        expected=tool.expected(ledger) if ledger.macs else 0,
        expected_function=tool.expected_function(ledger),
        module=module,
        function=function,
        why_not=why_not,
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress what these tools print, log and warn about."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
            torch.no_grad(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


class _Functional(nn.Module):
    """The same without a module that a tool could know."""

    def __init__(self, spec: ConvSpec, device: str) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(spec.w_shape, device=device))
        self.b = nn.Parameter(torch.zeros(spec.k, device=device))
        self._options = (spec.stride, spec.evened.padding, spec.dilation, spec.groups)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.w, self.b, *self._options)


def _ask_torch(model: nn.Module, x: Tensor) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        model(x)
    return int(counter.get_total_flops())


def _ask_torchinfo(model: nn.Module, x: Tensor) -> int:
    torchinfo: Any = importlib.import_module("torchinfo")
    return int(torchinfo.summary(model, input_data=x, verbose=0, device=x.device).total_mult_adds)


def _ask_fvcore(model: nn.Module, x: Tensor) -> int:
    fvcore: Any = importlib.import_module("fvcore.nn")
    analysis = fvcore.FlopCountAnalysis(model, x)
    return int(analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total())


def _ask_ptflops(model: nn.Module, x: Tensor) -> int:
    ptflops: Any = importlib.import_module("ptflops")
    macs, _ = ptflops.get_model_complexity_info(
        model,
        tuple(x.shape[1:]),
        as_strings=False,
        print_per_layer_stat=False,
        verbose=False,
        backend="pytorch",
        input_constructor=lambda _: x,
    )
    return int(macs)


def _reached(spec: ConvSpec, axis: int) -> int:
    """Rows (axis 0) or columns (1) of y of which some tap is on the image."""
    size, stride, padding = (spec.h, spec.w)[axis], spec.stride[axis], spec.padding[axis]
    taps, dilation, count = (spec.r, spec.s)[axis], spec.dilation[axis], (spec.p, spec.q)[axis]
    reached = 0
    for place in range(count):
        first = place * stride - padding
        skipped = max(0, -(first // dilation))  # taps before the image
        reached += skipped < taps and first + skipped * dilation < size
    return reached


# What each counts was found by running it, with and without a bias and with the padding set aside.
TOOLS = {
    "FlopCounterMode": Tool(
        "torch",
        "2 per MAC, padding counted, no bias",
        lambda ledger: 2 * ledger.macs,
        lambda ledger: 2 * ledger.macs,
        _ask_torch,
    ),
    "fvcore": Tool(
        "fvcore",
        '"flop" is 1 MAC, padding counted, no bias',
        lambda ledger: ledger.macs,
        lambda ledger: ledger.macs,
        _ask_fvcore,
        computes=True,
    ),
    "torchinfo": Tool(
        "torchinfo",
        "MACs, a bias counted as a MAC; modules only",
        lambda ledger: ledger.macs + ledger.bias_additions,
        lambda _: 0,
        _ask_torchinfo,
    ),
    "ptflops": Tool(
        "ptflops",
        "MACs of one image, a bias counted as a MAC; modules only",
        lambda ledger: (ledger.macs + ledger.bias_additions) // ledger.spec.n,
        lambda _: 0,
        _ask_ptflops,
    ),
}
