"""Which operands can a problem have, besides those drawn from N(0, 1)? The recipes by name.

`n1c1h2w2k1r2s2@ones` is a problem with operands of a recipe; what each one does stands in
`verify/recipes.py`, for it takes torch. `onnx:NAME` and `opinfo:NAME` are the operands of a
test vector that others published.
"""

from convbench.errors import unknown

# "first" is x, or dy for a gradient; "second" is w, or x for wgrad.
RECIPES = {
    "second_every_other": "every second row and column of the second operand of a larger one, with NaN between",
    "second_of_5d": "the second operand is a slice of a 5-D tensor, NaN around it",
    "second_with_offset": "the second operand begins three elements into its storage and ends with it",
    "second_channels_last": "the second operand is channels_last, by its strides even where C is 1",
    "second_expanded": "one filter for all output channels, expanded with a stride of 0",
    "first_channels_last": "the first operand is channels_last, the second is not",
    "first_channel_slice": "the first operand is a slice of the channels of a channels_last tensor, NaN around it",
    "odd_strides": "dimensions of size one have meaningless strides",
    "last_zero": "the last row and column of the first operand are zeros: padding on one side, done in advance",
    "first_zero": "the first row and column of the first operand are zeros: padding on one side, done in advance",
    "ones": "every number is 1",
    "positive": "no number is negative",
    "bytes": "integers from -8 to 7",
    "byte_pairs": "the first operand is 255 throughout, the second 127 or -127 in pairs, the extremes of u8 and s8",
    "huge": "the first operand is near the largest number of the dtype, about 1e35 in fp32; every sum is finite",
    "large_and_small": "the first operand is near the largest number, the second small: only a transform overflows",
    "tiny": "both operands are small, so a result of zeros looks close to the truth",
    "subnormal_second": "the second operand is subnormal, the first large enough that the sums are not",
    "subnormal_result": "both operands are so small that the results are subnormal in fp16",
    "overflow_between": "one half of the channels takes back what the other adds: sums beyond fp16 on the way to a "
    "finite result",
    "zero_beside_nan": "NaN in the first operand, and every third weight is zero: their product is still NaN",
    "zero_beside_inf": "infinity in the first operand, and every third weight is zero: their product is NaN",
    "zero_image": "the first image of the first operand is zeros: what is scaled by its largest number divides by zero",
    "zero_second": "the second operand is zeros throughout",
    "nan_in_first": "one NaN, in the last column of the first row of the first operand",
    "inf_in_first": "infinity once, in the last column of the first row of the first operand",
    "nan_in_second": "one NaN in the second operand",
}
CORPORA = ("onnx", "opinfo")


def known_operands(text: str) -> str:
    """The text, when it names a recipe, a vector of a corpus, or nothing.

    Raises:
        ConvbenchError: there is no such recipe.
    """
    corpus, colon, vector = text.partition(":")
    if not text or text in RECIPES or (colon and vector and corpus in CORPORA):
        return text
    raise unknown("operands", text, RECIPES)
