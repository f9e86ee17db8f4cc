"""Which numbers does a walk start from: x and w from an array file, an image, a filter bank, or typed?"""

import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from convbench.data.filters import BANKS, make_filters
from convbench.data.images import MAX_NBYTES, is_image_name, open_image
from convbench.errors import ConvbenchError, first_line
from convbench.explain.walk import MAX_OPERANDS
from convbench.files import check

TAKEN = "a .npy or .csv file, an image, or a literal such as [[1,2],[3,4]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operand:
    """One operand as given.

    Attributes:
        numbers: four sizes, float64, each a float32: what torch would be given.
        code: the line of Python that makes it.
        remark: what to know of it; empty where there is nothing.
    """

    numbers: Tensor
    code: str
    remark: str = ""


def read_x(text: str) -> Operand:
    """x (N, C, H, W): of a matrix (1, 1, H, W), of three sizes (1, C, H, W).

    Raises:
        ConvbenchError: it is none of TAKEN, or holds NaN or infinity.
    """
    return _read("--x", "x", text)


def read_w(text: str, channels: int, seed: int) -> Operand:
    """w (K, C/G, R, S): of a matrix (1, 1, R, S), of three sizes (1, C/G, R, S), or a filter bank for x's channels.

    Raises:
        ConvbenchError: as for x.
    """
    if text in BANKS:
        code = (
            f"from convbench.data.filters import make_filters\n"
            f"w = make_filters({text!r}, {channels}, {seed}).w.double()"
        )
        return Operand(numbers=make_filters(text, channels, seed).w.double(), code=code)
    return _read("--w", "w", text)


def _read(option: str, name: str, text: str) -> Operand:
    found = _array(option, name, text)
    numbers = found.numbers
    if not 2 <= numbers.dim() <= 4 or 0 in numbers.shape:
        sizes = "x".join(map(str, numbers.shape)) or "none"
        raise ConvbenchError(f"{option} {text}: {name} has 2, 3 or 4 sizes, and this has {sizes}; try a matrix")
    _refuse_large(option, text, numbers.numel())
    numbers = numbers.float().double()
    if not numbers.isfinite().all():
        raise ConvbenchError(f"{option} {text}: it holds NaN or infinity, or numbers beyond fp32; replace them")
    whole = numbers.reshape((1,) * (4 - numbers.dim()) + tuple(numbers.shape))
    code = f"{found.code}\n{name} = {name}.float().double().reshape({tuple(whole.shape)})"
    return Operand(numbers=whole, code=code, remark=found.remark)


def _refuse_large(option: str, text: str, count: int) -> None:
    if count > MAX_OPERANDS:
        raise ConvbenchError(f"{option} {text}: {count:,} numbers, at most {MAX_OPERANDS:,}; cut out a part")


def _array(option: str, name: str, text: str) -> Operand:
    """As it is written, whatever its sizes."""
    import numpy as np

    path = Path(text)
    try:
        if path.suffix.lower() in (".npy", ".csv"):
            check(path, MAX_NBYTES)  # a pipe would hang the reader
        if text.lstrip().startswith("["):
            numbers = torch.tensor(json.loads(text), dtype=torch.float64)
            return Operand(numbers=numbers, code=f"{name} = torch.tensor({numbers.tolist()}, dtype=torch.float64)")
        if path.suffix.lower() == ".npy":
            array = np.load(path, mmap_mode="r", allow_pickle=False)  # a header may claim any size
            _refuse_large(option, text, array.size)
            numbers = torch.from_numpy(array.astype(np.float64))
            return Operand(
                numbers=numbers, code=f"import numpy\n{name} = torch.from_numpy(numpy.load({text!r}).astype('float64'))"
            )
        if path.suffix.lower() == ".csv":
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # of an empty file
                numbers = torch.from_numpy(np.loadtxt(path, delimiter=",", ndmin=2))
            code = f"import numpy\n{name} = torch.from_numpy(numpy.loadtxt({text!r}, delimiter=',', ndmin=2))"
            return Operand(numbers=numbers, code=code)
    except (ValueError, TypeError, OSError, RecursionError, EOFError, Warning) as error:
        raise ConvbenchError(f"{option} {text}: {first_line(error)}; it takes {TAKEN}") from None
    if not is_image_name(path):
        raise ConvbenchError(f"{option} {text}: it takes {TAKEN}")
    if not path.exists():
        raise ConvbenchError(f"{option} {text}: there is no such file; it takes {TAKEN}")
    image = np.asarray(open_image(path))
    planes = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
    code = (
        "import numpy\nfrom convbench.data.images import open_image\n"
        f"pixels = numpy.asarray(open_image({text!r})).astype('float64')\n"
        f"{name} = torch.from_numpy(pixels if pixels.ndim == 2 else pixels.transpose(2, 0, 1))"
    )
    divided = "; run divides them by 255" if name == "x" else ""
    remark = f"{name} holds pixels from 0 to 255{divided}"
    return Operand(numbers=torch.from_numpy(planes.astype(np.float64)), code=code, remark=remark)
