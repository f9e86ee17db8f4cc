"""Random convolution problems, small and of every kind."""

from hypothesis import strategies as st

from convbench import Case, ConvSpec, Problem
from convbench.case import ACCURACIES, DTYPES, EPILOGUES, LAYOUTS, PASSES, PRECISIONS


@st.composite
def specs(draw: st.DrawFn, *, largest: int = 9, least_batch: int = 0, any_padding: bool = False) -> ConvSpec:
    """Any legal problem: groups, pairs that differ, kernels as large as the padded image.

    With `any_padding` opposite sides may be padded differently.
    """
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    groups = draw(st.integers(1, 3))
    padding = draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    end = draw(st.tuples(st.integers(0, 3), st.integers(0, 3))) if any_padding else padding
    dilation = draw(pair)
    h, w = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    most_r = (h + padding[0] + end[0] - 1) // dilation[0] + 1
    most_s = (w + padding[1] + end[1] - 1) // dilation[1] + 1
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
        padding_end=end,
        dilation=dilation,
        groups=groups,
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any case, of few problems and many names, so that equal ones are drawn often."""
    problem = Problem(
        suite=draw(st.sampled_from(["quick", "mine", "Größe"])),
        name=draw(st.sampled_from(["a", "b"])),
        count=draw(st.integers(1, 3)),
        source=draw(st.sampled_from(["", "a paper"])),
        spec=ConvSpec.parse(draw(st.sampled_from(["n1c2h4w4k2r2s2", "n1c2h4w4k2r2s2_g2", "n1c2h4w4k2r2s2_st2x1"]))),
        operands=draw(st.sampled_from(["", "huge"])),
    )
    return Case(
        problem=problem,
        dtype=draw(st.sampled_from(DTYPES[:2])),
        layout=draw(st.sampled_from(LAYOUTS[:2])),
        precision=draw(st.sampled_from(PRECISIONS)),
        device=draw(st.sampled_from(["cpu", "cuda:1"])),
        seed=draw(st.integers(0, 1) | st.integers(-(2**70), 2**70)),
        pass_=draw(st.sampled_from(PASSES[:2])),
        epilogue=draw(st.sampled_from(EPILOGUES[:2])),
        accuracy=draw(st.sampled_from(ACCURACIES)),
    )
