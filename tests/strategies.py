"""Random convolution problems, small and of every kind."""

from hypothesis import strategies as st

from convbench import ConvSpec


@st.composite
def specs(draw: st.DrawFn, *, largest: int = 9, least_batch: int = 0) -> ConvSpec:
    """Any legal problem: groups, pairs that differ, kernels as large as the padded image."""
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    groups = draw(st.integers(1, 3))
    padding = draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    dilation = draw(pair)
    h, w = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    most_r = (h + 2 * padding[0] - 1) // dilation[0] + 1
    most_s = (w + 2 * padding[1] - 1) // dilation[1] + 1
    return ConvSpec(
        n=draw(st.integers(least_batch, 3)),
        c=groups * draw(st.integers(1, 3)),
        h=h,
        w=w,
        k=groups * draw(st.integers(1, 3)),
        r=draw(st.integers(1, min(5, most_r))),
        s=draw(st.integers(1, min(5, most_s))),
        stride=draw(pair),
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
