"""Which data types are there, and what are their properties? One entry here adds one.

torch's names are text here, so listing and counting does not import torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Dtype:
    """A data type of operands and results.

    Attributes:
        name: in options, tables and CSV files.
        torch: its name in torch.
        nbytes: bytes of one number.
        digits: bits of a significand, including the one that is not stored; 2**-digits is the unit roundoff.
        sums: the dtype in which sums are promised, which determines their error bound.
        factor_digits: bits of the largest integer factor if an answer must be exact: the dtype's
            own, fewer if the product would leave no room for a sum.
        transform_relative_l2: how close Winograd, an FFT or Strassen's product must be as a whole.
        benchdnn, miopen: its name in a benchdnn file, the command of MIOpenDriver; "" if there is none.
    """

    name: str
    torch: str
    nbytes: int
    digits: int
    sums: str
    factor_digits: int
    transform_relative_l2: float
    benchdnn: str = ""
    miopen: str = ""

    @property
    def narrow(self) -> bool:
        """Whether it is stored in fewer bits than its sums are kept in."""
        return self.sums != self.name


# Digits: IEEE 754; bf16 is fp32 without its last 16 bits. A transform's share is what oneDNN's benchdnn accepts of
# its own Winograd in fp32 and fp16; bf16 has three bits less than fp16, fp64 29 more than fp32.
DTYPE: Mapping[str, Dtype] = {
    one.name: one
    for one in (
        Dtype(
            name="fp32",
            torch="float32",
            nbytes=4,
            digits=24,
            sums="fp32",
            factor_digits=11,  # TF32's, for a case may allow it
            transform_relative_l2=2e-5,
            benchdnn="f32",
        ),
        Dtype(
            name="fp16",
            torch="float16",
            nbytes=2,
            digits=11,
            sums="fp32",
            factor_digits=11,
            transform_relative_l2=7e-3,
            benchdnn="f16",
            miopen="convfp16",
        ),
        Dtype(
            name="bf16",
            torch="bfloat16",
            nbytes=2,
            digits=8,
            sums="fp32",
            factor_digits=8,
            transform_relative_l2=5.6e-2,
            benchdnn="bf16",
            miopen="convbfp16",
        ),
        Dtype(
            name="fp64",
            torch="float64",
            nbytes=8,
            digits=53,
            sums="fp64",
            factor_digits=20,
            transform_relative_l2=2e-5 * 2.0**-29,
            benchdnn="f64",
        ),
    )
}


def short_dtype(word: str) -> str:
    """`fp32` for torch's names float32 or torch.float32; other words in lower case."""
    low = word.lower().removeprefix("torch.")
    return next((one.name for one in DTYPE.values() if low == one.torch), low)
