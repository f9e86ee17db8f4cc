"""Which letters does an explanation use: those of torch's documentation, or cuDNN's?

P, S and K are padding, stride and kernel size in torch's documentation, and output height, kernel width and filters in
cuDNN's. So one page uses one of the two.
"""

from dataclasses import asdict, dataclass
from string import Template

from convbench.errors import unknown


@dataclass(frozen=True, slots=True)
class Letters:
    """The name of each size and of each index, under its name in cuDNN.

    Attributes:
        N, C, H, W, K, R, S, P, Q: sizes: images, input channels, input height and width, output channels, kernel
            height and width, output height and width.
        n, c, k, r, s, p, q: an index into each of them but H and W.
    """

    name: str
    N: str
    C: str
    H: str
    W: str
    K: str
    R: str
    S: str
    P: str
    Q: str
    n: str
    c: str
    k: str
    r: str
    s: str
    p: str
    q: str

    def write(self, template: str) -> str:
        """`row ($c,$r,$s)` in these letters: a $ and a name from above stands for a size or an index."""
        return Template(template).safe_substitute(asdict(self)) if "$" in template else template

    def per_group(self, size: str, groups: int) -> str:
        """`C_in/G` in groups, `C_in` without."""
        return f"{size}/G" if groups > 1 else size

    def taps(self, groups: int = 1) -> str:
        """`C_in·kH·kW`, the numbers of one filter."""
        return f"{self.per_group(self.C, groups)}·{self.R}·{self.S}"


TORCH = Letters("torch", *"N C_in H W C_out kH kW H_out W_out b c o kh kw oh ow".split())
CUDNN = Letters("cudnn", *"N C H W K R S P Q n c k r s p q".split())
NAMES = {one.name: one for one in (TORCH, CUDNN)}
TAP = "($c,$r,$s)"  # a row of the patch matrix, a number of a filter


def choose_letters(name: str) -> Letters:
    """The letters of --names.

    Raises:
        ConvbenchError: there are none of that name.
    """
    if name not in NAMES:
        raise unknown("letters", name, NAMES)
    return NAMES[name]
