"""Numbers in SI units as a person reads them."""

from collections.abc import Sequence


def seconds(value: float | None) -> str:
    """`1.23 ms`, in the unit that keeps three digits."""
    if value is None:
        return ""
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if value >= scale:
            return f"{_three_digits(value / scale)} {unit}"
    return f"{_three_digits(value / 1e-9)} ns"


def duration(value: float) -> str:
    """`3.2 s`, `4 min 5 s`, `2 h 5 min`: a waiting time."""
    if value < 99.5:
        return f"{value:.1f} s" if value < 9.95 else f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 100:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60:,} h {minutes % 60} min"


def amount(value: float, unit: str) -> str:
    """`116 M`, with decimal prefixes."""
    for scale, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{_three_digits(value / scale)} {prefix}{unit}"
    return f"{value:.0f} {unit}"


def gflops(flops: int, time_s: float) -> str:
    """Operations per second in 1e9, with three digits and without an exponent."""
    return rate(flops / time_s * 1e-9)


def rate(value: float) -> str:
    """`1,234` or `12.3` a second, without an exponent."""
    if 0 < value < 1e-3:
        return "<0.001"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def share(value: float) -> str:
    """A share of a bound: `3 %`, `<1 %`, or `x12` beyond it."""
    if value > 1:
        return f"x{value:.3g}"
    return "<1 %" if 0 < value < 0.01 else f"{value:.0%}".replace("%", " %")


def _three_digits(value: float) -> str:
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def numeral(value: float) -> str:
    """`12`, and never `-0`; `0.333` where there is a rest."""
    near = round(value, 9)
    return str(int(near)) if near == int(near) else f"{value:.{4 if abs(value) < 1000 else 6}g}"


def tuple_text(sizes: Sequence[int]) -> str:
    """`(1,4,9)`, a shape."""
    return f"({','.join(map(str, sizes))})"
