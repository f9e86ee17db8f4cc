"""The functions on a finished sum, on vectors.

Those that are a floor and a ceiling are applied as numbers, so that they need no code of their own; the others are
code. Errors against float64, measured by the tests over all of float32: sigmoid 2.5 units in the last place, silu 3,
hardswish and hardsigmoid 2 (and 1.5 of 3, where x + 3 cancels), gelu 4 for x > 0 and 4 of |x| below; results smaller
than 1e-36 may be zero.
"""

from math import inf, log, sqrt

from convbench.jit.emit import FloatVector, Function, float_word
from convbench.kernels.blocked.plan import Activation

# Floor and ceiling.
_CLAMPS: dict[Activation, tuple[float, float]] = {"none": (-inf, inf), "relu": (0.0, inf), "relu6": (0.0, 6.0)}

# exp(r) = 1 + r + r^2 (c0 + c1 r + ...) for |r| <= ln(2) / 2: Cephes, expf.c (Moshier 1989).
_EXP = (5.0000001201e-1, 1.6666665459e-1, 4.1665795894e-2, 8.3334519073e-3, 1.3981999507e-3, 1.9875691500e-4)
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4  # the first has 10 bits, so that its products with n are exact

# e^(z^2) erfc(z) = t (c0 + c1 t + ...), t = 1 / (1 + 0.475 z): a fit by least squares, relative error 1e-8 for z >= 0.
_ERFC_SCALE = 0.475
_ERFC = (
    0.26791999, 0.26951527, 0.22362662, 0.25041229, -0.13520204, 0.47893675, -0.59342993, 0.29153619, -0.05331516
)  # fmt: skip


def clamp_words(activation: Activation) -> tuple[int, int]:
    """The words of a kernel's `floor` and `ceiling`."""
    floor, ceiling = _CLAMPS.get(activation, (-inf, inf))
    return float_word(floor), float_word(ceiling)


def code_of(activation: Activation) -> Activation:
    """What is compiled: none for the functions that are a floor and a ceiling."""
    return "none" if activation in _CLAMPS else activation


def spare_bias(activation: Activation) -> float:
    """The bias of channels that do not exist, such that they become zeros."""
    return -inf if activation in ("sigmoid", "hardsigmoid") else 0.0


def keeps_zero(activation: Activation) -> bool:
    return activation not in ("sigmoid", "hardsigmoid")


def exp(f: Function, x: FloatVector) -> FloatVector:
    """e^x; from 88.38 on infinity, below -87.3 some 1e-38."""
    x = x.at_least(f.constant(-87.33654)).at_most(f.constant(89.0))
    n = (x * f.constant(1 / log(2))).rounded()
    r = f.fma(n, f.constant(-_LN2_HIGH), x)
    r = f.fma(n, f.constant(-_LN2_LOW), r)
    return (_polynomial(f, r, _EXP, r * r) + (r + f.constant(1.0))) * n.power_of_two()


def _polynomial(f: Function, x: FloatVector, factors: tuple[float, ...], times: FloatVector) -> FloatVector:
    """(factors[0] + factors[1] x + ...) * times."""
    total = f.constant(factors[-1])
    for factor in reversed(factors[:-1]):
        total = f.fma(total, x, f.constant(factor))
    return total * times


def activate(f: Function, code: Activation, x: FloatVector) -> FloatVector:
    """Of those that are code."""
    one = f.constant(1.0)
    match code:
        case "hardsigmoid":
            return (x + f.constant(3.0)).at_least(f.zero()).at_most(f.constant(6.0)) * f.constant(1 / 6)
        case "hardswish":
            return x * activate(f, "hardsigmoid", x)
        case "sigmoid":
            return one / (one + exp(f, f.zero() - x))
        case "silu":
            return x / (one + exp(f, f.zero() - x))
        case "gelu":  # max(x, 0) - |x| erfc(|x| / sqrt 2) / 2: no cancellation on either side
            size = x.at_least(f.zero() - x).at_most(f.constant(100.0))
            t = one / f.fma(size, f.constant(_ERFC_SCALE / sqrt(2)), one)
            tail = _polynomial(f, t, _ERFC, t) * exp(f, size * size * f.constant(-0.5)) * f.constant(0.5)
            return x.at_least(f.zero()) - size * tail
        case _:
            raise NotImplementedError(code)
