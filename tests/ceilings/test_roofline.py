"""The roofline's arithmetic with ceilings that are easy to reckon with, and what lies above it."""

import random
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given

from convbench import Backend, ConvSpec, Failed, Result, Skipped, Timed, backend
from convbench.ceilings.roofline import (
    IMPOSSIBLE,
    TRANSFORM,
    Ceilings,
    Kind,
    Level,
    flag,
    least_operations,
    operations,
    roofline,
    with_rooflines,
)
from convbench.outcome import Bill, Check, Outcome, Roofline
from tests.conftest import make_case
from tests.strategies import specs

KIND = ("cpu", "fp32", "ieee")
POINTWISE = ConvSpec.parse("n1c10h10w10k10r1s1")  # 20,000 operations on 2,100 numbers: 8,400 bytes
NINE = ConvSpec.parse("n1c10h12w12k10r3s3")  # 180,000 operations, and at least 20,000 by any transform


def ceilings(*, flops: float = 1e9, memory: float = 1e9, device: str = "cpu", launch_s: float = 0.0) -> Ceilings:
    return Ceilings(
        device=device,
        flops_per_s=flops,
        flops_probe="fma",
        levels=(Level(name="memory", nbytes=None, bytes_per_s=memory, probe="copy"),),
        launch_s=launch_s,
    )


def with_cache(nbytes: int, near: float, far: float) -> Ceilings:
    levels = (Level(name="L2", nbytes=nbytes, bytes_per_s=near, probe="near"), *ceilings(memory=far).levels)
    return replace(ceilings(flops=1e15), levels=levels)


def timed(seconds: float) -> Timed:
    check = Check(worst_of_bound=0.1, relative_l2=1e-7)
    return Timed(check=check, samples_s=(seconds,), bill=Bill(prepare_s=None, first_call_s=1.0))


def result(
    seconds: float, family: str = "direct", name: str = "it", spec: ConvSpec = POINTWISE, **axes: object
) -> Result:
    return Result(case=make_case(str(spec), **axes), backend=name, family=family, outcome=timed(seconds))


def held(one: Result, *backends: Backend, above: Ceilings) -> Timed | Failed:
    case = one.case
    (after,) = with_rooflines([one], backends, {(case.device, case.dtype, case.precision): above})
    assert isinstance(after.outcome, Timed | Failed)
    return after.outcome


def impossible(outcome: Outcome) -> bool:
    return isinstance(outcome, Failed) and outcome.message.startswith(IMPOSSIBLE)


def test_at_the_ridge_both_sides_take_the_same_time() -> None:
    ridge = ceilings(flops=20_000, memory=8_400)
    roof = roofline(POINTWISE, "fp32", ridge)
    assert roof == Roofline(time_s=1.0, bound="compute", flops_per_s=20_000, bytes_per_s=8_400, probe="fma")
    assert roof.percent(4.0) == 25
    slower_memory = roofline(POINTWISE, "fp32", ceilings(flops=20_000, memory=8_399))
    assert (slower_memory.bound, slower_memory.probe) == ("memory", "memory: copy")
    assert slower_memory.time_s == pytest.approx(8_400 / 8_399)
    assert roofline(POINTWISE, "fp32", ceilings(flops=19_999, memory=8_400)).time_s == pytest.approx(20_000 / 19_999)
    assert roofline(POINTWISE, "fp16", ridge).time_s == 1.0  # half the bytes, as many operations
    assert roofline(POINTWISE, "fp64", ridge).bound == "memory"


def test_each_byte_moves_at_the_speed_of_the_nearest_level_with_room() -> None:
    fits = roofline(POINTWISE, "fp32", with_cache(8_400, near=8_400, far=84))
    assert fits.time_s == pytest.approx(1)
    assert fits.probe == "L2: near"
    half = roofline(POINTWISE, "fp32", with_cache(4_200, near=8_400, far=840))
    assert half.time_s == pytest.approx(0.5 + 5)
    assert half.bytes_per_s == pytest.approx(8_400 / 5.5)
    assert half.probe == "memory: copy"


def test_a_near_level_that_read_slower_than_a_far_one_is_not_believed() -> None:
    assert roofline(POINTWISE, "fp32", with_cache(10**6, near=1, far=8_400)).time_s == pytest.approx(1)


def test_a_launch_is_added_on_a_gpu_and_only_named_on_a_cpu() -> None:
    gpu = roofline(POINTWISE, "fp32", ceilings(flops=20_000, memory=1e9, device="cuda", launch_s=0.5))
    assert (gpu.time_s, gpu.bound) == (1.5, "compute")
    gpu = roofline(POINTWISE, "fp32", ceilings(flops=20_000, memory=1e9, device="cuda", launch_s=2.0))
    assert (gpu.time_s, gpu.bound, gpu.probe) == (3.0, "launch", "")
    cpu = roofline(POINTWISE, "fp32", ceilings(flops=20_000, memory=1e9, launch_s=2.0))
    assert (cpu.time_s, cpu.bound) == (1.0, "launch")
    assert cpu.percent(4.0) == 50  # of the launch, which is the limit
    assert gpu.percent(4.0) == 75


def test_an_empty_batch_takes_no_time() -> None:
    roof = roofline(ConvSpec.parse("n0c4h5w5k6r3s3"), "fp32", ceilings())
    assert roof.time_s == 0
    assert roof.percent(1e-6) == 0


@given(specs())
def test_only_taps_on_the_image_and_pixels_under_a_tap_count(spec: ConvSpec) -> None:
    taps, pixels, used = 0, set(), set()
    for p, q, r, s in product(range(spec.p), range(spec.q), range(spec.r), range(spec.s)):
        row = p * spec.stride[0] - spec.padding[0] + r * spec.dilation[0]
        column = q * spec.stride[1] - spec.padding[1] + s * spec.dilation[1]
        if 0 <= row < spec.h and 0 <= column < spec.w:
            taps += 1
            pixels.add((row, column))
            used.add((r, s))
    assert spec.inner_macs == spec.n * spec.k * spec.c_per_group * taps
    assert spec.inner_macs <= spec.macs
    outputs = spec.n * spec.k * spec.p * spec.q
    needed = spec.n * spec.c * len(pixels) + spec.k * spec.c_per_group * len(used) + outputs
    assert spec.needed_nbytes("fp16") == (2 * needed if spec.n else 0)


def test_a_gradient_is_written_as_a_whole() -> None:
    spec = ConvSpec.parse("n2c3h8w8k5r1s1_st2_pd1")  # its corners lie on padding, and of x every other pixel is read
    x, w, y = 2 * 3 * 8 * 8, 5 * 3, 2 * 5 * 5 * 5
    read = 2 * 3 * 4 * 4
    assert spec.needed_nbytes("fp32") == spec.needed_nbytes("fp32", "wgrad") == 4 * (read + w + y)
    assert spec.needed_nbytes("fp32", "dgrad") == 4 * (x + w + y)
    only_middle = ConvSpec.parse("n1c1h1w1k1r3s3_pd1")
    assert only_middle.needed_nbytes("fp32") == 4 * (1 + 1 + 1)
    assert only_middle.needed_nbytes("fp32", "wgrad") == 4 * (1 + 9 + 1)
    assert roofline(spec, "fp32", ceilings(flops=1e12, memory=1), "dgrad").time_s == 4 * (x + w + y)


@pytest.mark.parametrize(
    ("family", "device", "seconds", "least_s", "expected"),
    [
        ("direct", "cpu", 1.0, 0.1, ""),
        ("direct", "cpu", 0.91, 0.1, ""),  # a reading may be so much too low
        ("direct", "cpu", 0.9, 0.1, IMPOSSIBLE),
        ("im2col", "cuda", 0.9, 0.1, IMPOSSIBLE),
        ("vendor", "cpu", 0.9, 0.1, IMPOSSIBLE),
        ("vendor", "cuda", 0.9, 0.1, TRANSFORM),
        ("winograd", "cpu", 0.9, 0.1, TRANSFORM),
        ("fft", "cuda", 0.9, 0.1, TRANSFORM),
        ("winograd", "cpu", 0.091, 0.1, TRANSFORM),
        ("winograd", "cpu", 0.09, 0.1, IMPOSSIBLE),
    ],
)
def test_only_a_transform_may_be_faster_than_the_direct_algorithm(
    family: str, device: str, seconds: float, least_s: float, expected: str
) -> None:
    roof = roofline(POINTWISE, "fp32", ceilings(flops=20_000))
    assert flag(roof, seconds, family=family, device=device, least_s=least_s) == expected


def test_a_transform_cannot_move_its_bytes_faster_than_memory_does() -> None:
    assert impossible(held(result(0.9, "winograd"), above=ceilings(flops=1e9, memory=8_400)))


def test_a_transform_multiplies_once_for_each_output_and_channel() -> None:
    assert least_operations(NINE, None) == least_operations(POINTWISE, None) == 20_000
    above = ceilings(flops=20_000, memory=1e9)
    barely = held(result(1.0, "winograd", spec=NINE), above=above)
    assert isinstance(barely, Timed)
    assert barely.flag == TRANSFORM
    assert impossible(held(result(0.9, "winograd", spec=NINE), above=above))
    assert impossible(held(result(0.9, "winograd"), above=above))  # of a 1x1 kernel there is no transform


def quarter(origin: str) -> Backend:
    @backend(family="winograd", source="", actual_flops=lambda spec: spec.flops // 4)
    def quarter(x: object, w: object, spec: ConvSpec) -> object:
        raise AssertionError("nobody calls it")

    return replace(quarter, origin=origin)


def test_one_of_ours_that_says_what_it_does_is_held_to_it() -> None:
    own, above = quarter("convbench.backends.quarter"), ceilings(flops=45_000)
    assert operations(own, "winograd", POINTWISE) == 5_000
    assert operations(None, "winograd", POINTWISE) is None
    assert operations(None, "vendor", POINTWISE) is None
    assert operations(None, "im2col", POINTWISE) == 20_000
    half = held(result(2.0, "winograd", "quarter", NINE), own, above=above)
    assert isinstance(half, Timed)
    assert (half.actual_flops, half.flag) == (45_000, TRANSFORM)
    assert impossible(held(result(0.9, "winograd", "quarter", NINE), own, above=above))
    another = held(result(0.9, "winograd", "another", NINE), own, above=above)
    assert isinstance(another, Timed)
    assert another.flag == TRANSFORM


def test_what_code_of_others_says_it_does_excuses_nothing() -> None:
    foreign = replace(quarter("a/plugin.py"), family="im2col")
    assert operations(foreign, "im2col", POINTWISE) == 20_000
    assert operations(quarter("a/plugin.py"), "winograd", POINTWISE) is None


def test_an_impossible_time_is_a_failure_that_gives_its_figures() -> None:
    outcome = held(result(0.5), above=ceilings(flops=20_000))
    assert isinstance(outcome, Failed)
    assert outcome.message == (
        f"{IMPOSSIBLE}: 0.5 s per call, but this machine needs 1 s at 2e+04 operations/s (fma); "
        "work was left out, or the ceiling is too low (convbench ceilings --refresh)"
    )


def test_the_built_in_loops_step_over_the_padding() -> None:
    from convbench import discover

    (loops,), _ = discover(names=["naive-loops"])
    spec = ConvSpec.parse("n1c1h1w1k1r3s3_pd1")
    assert operations(loops, loops.family, spec) == 2
    assert spec.flops == 18


def test_without_ceilings_a_timing_has_no_roofline_but_its_operations() -> None:
    (after,) = with_rooflines([result(1.0)], [], {})
    assert isinstance(after.outcome, Timed)
    assert (after.outcome.roofline, after.outcome.actual_flops, after.outcome.flag) == (None, 20_000, "")


def test_what_was_not_timed_passes_untouched() -> None:
    skipped = replace(result(1.0), outcome=Skipped("no"))
    assert list(with_rooflines([skipped], [], {KIND: ceilings()})) == [skipped]


def test_a_ceiling_that_a_row_broke_is_probed_once_more_before_the_row_fails() -> None:
    asked: list[tuple[Kind, str]] = []

    def reprobe(kind: Kind, bound: str) -> Ceilings:
        asked.append((kind, bound))
        return ceilings(flops=40_000)

    rows = [result(seconds) for seconds in (1.0, 0.8, 0.6, 0.4, 0.3)]
    outcomes = [one.outcome for one in with_rooflines(rows, [], {KIND: ceilings(flops=20_000)}, reprobe)]
    assert asked == [(KIND, "compute")]
    assert [impossible(one) for one in outcomes] == [False, False, False, True, True]
    peaks = [one.roofline.flops_per_s for one in outcomes if isinstance(one, Timed) and one.roofline]
    assert peaks == [20_000, 40_000, 40_000]


def test_a_ceiling_that_a_row_broke_by_little_is_probed_too_and_nobody_fails() -> None:
    asked: list[str] = []

    def reprobe(kind: Kind, bound: str) -> None:
        asked.append(bound)

    (row,) = with_rooflines([result(0.95)], [], {KIND: ceilings(flops=20_000)}, reprobe)
    assert asked == ["compute"]
    assert isinstance(row.outcome, Timed)
    assert row.outcome.flag == ""


def test_with_one_side_raised_the_other_is_probed_too() -> None:
    asked: list[str] = []

    def reprobe(kind: Kind, bound: str) -> Ceilings:
        asked.append(bound)
        return ceilings(flops=1e9, memory=8_400 if bound == "compute" else 84_000)

    (row,) = with_rooflines([result(0.5)], [], {KIND: ceilings(flops=20_000, memory=8_401)}, reprobe)
    assert asked == ["compute", "memory"]
    assert isinstance(row.outcome, Timed)
    assert row.outcome.flag == ""


def test_a_broken_bandwidth_asks_for_memory_and_a_gpu_asks_for_nothing() -> None:
    asked: list[str] = []

    def reprobe(kind: Kind, bound: str) -> None:
        asked.append(bound)

    list(with_rooflines([result(0.5)], [], {KIND: ceilings(memory=8_400)}, reprobe))
    assert asked == ["memory"]
    gpu = ("cuda", "fp32", "ieee")
    (row,) = with_rooflines([result(0.5, device="cuda")], [], {gpu: ceilings(flops=20_000, device="cuda")}, reprobe)
    assert impossible(row.outcome)
    assert asked == ["memory"]


def test_more_speed_anywhere_never_makes_the_roofline_higher() -> None:
    rng = random.Random(0)
    for _ in range(200):
        first = with_cache(rng.randrange(1, 20_000), near=rng.uniform(1e3, 1e5), far=rng.uniform(1e2, 1e4))
        faster = replace(
            first, levels=tuple(replace(level, bytes_per_s=level.bytes_per_s * 1.5) for level in first.levels)
        )
        assert roofline(POINTWISE, "fp32", faster).time_s < roofline(POINTWISE, "fp32", first).time_s
