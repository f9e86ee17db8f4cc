"""Is a layer's time that of its undisturbed calls, and is what is said of it true?"""

from dataclasses import replace

import pytest
import torch
from torch import nn

from convbench.models.costs import ModelCosts, measure
from convbench.models.forward import Operands
from convbench.models.inputs import Inputs, parse_inputs
from convbench.models.source import ModelSource
from convbench.models.timing import CallTime, Pass, Sample, call_times, time_passes
from convbench.show.advice import advice, cannot_tell, certain, what_matters
from convbench.show.models import print_model, record, remarks
from tests.models.test_models import TICK_S, Clock, Quiet

OF: Operands = ((1, 3, 9, 9), (4, 3, 3, 3))


def sample(seconds: float, dirt: str = "") -> Sample:
    return Sample(OF, seconds, dirt=dirt)


def test_disturbed_samples_are_set_aside_and_the_least_stands_in_where_all_are() -> None:
    passes = [Pass((sample(one, dirt),)) for one, dirt in ((3.0, ""), (9.0, "steal"), (1.0, ""), (2.0, ""))]
    assert call_times(passes) == [CallTime(time_s=2.0, low_s=1.0, high_s=3.0, clean=3, samples=4)]
    dirty = [Pass((sample(one, "foreign load"),)) for one in (3.0, 2.0)]
    assert call_times(dirty) == [CallTime(time_s=2.0, low_s=2.0, high_s=2.0, clean=0, samples=2)]


def test_passes_go_on_until_each_convolution_has_its_undisturbed_samples() -> None:
    model, x = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)), Inputs(args=(torch.zeros(1, 3, 9, 9),))
    # Of two convolutions a pass each second look is the second one's: disturbed in the first three passes.
    watcher = Quiet(dirt=lambda look: "steal" if look % 2 and look < 6 else "")
    passes = time_passes(model, x, clean=2, clock=Clock(), watcher=watcher)
    assert len(passes) == 5
    assert [one.clean for one in call_times(passes)] == [5, 2]
    told: list[int] = []
    noisy = Quiet(dirt=lambda _: "steal")
    assert len(time_passes(model, x, clean=2, most=4, clock=Clock(), watcher=noisy, about_to_pass=told.append)) == 4
    assert told == [0, 1, 2, 3, 4]


def test_a_training_step_is_timed_with_its_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convbench.models.costs.Meter", Quiet)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
    source = ModelSource(name="own", origin="", make=lambda: model)
    costs = measure(source, parse_inputs("1x3x9x9"), training=True, clock=Clock())
    assert [row.time_s for row in costs.rows] == [2 * TICK_S, 2 * TICK_S]  # forward, and both gradients in one call
    assert costs.time_s == 4 * TICK_S
    assert not model[0].weight.grad


def timed(*times: tuple[float, float, float], clean: int = 7, **more: object) -> ModelCosts:
    """A model of layers with these times: median, least, most."""
    layers = nn.Sequential(
        *(nn.Conv2d(3, 3, 3, padding=1, dilation=1, groups=1, bias=bool(one % 2)) for one in range(1))
    )
    source = ModelSource(name="own", origin="", make=lambda: layers)
    counted = measure(source, parse_inputs("1x3x9x9"), timed=False)
    (row,) = counted.rows
    total = sum(time_s for time_s, _, _ in times)
    rows = tuple(
        replace(
            row,
            calls=(replace(row.calls[0], name=f"layer{number}"),),
            times=(CallTime(time_s=time_s, low_s=low, high_s=high, clean=clean, samples=10),),
            time_share=time_s / total,
        )
        for number, (time_s, low, high) in enumerate(times)
    )
    return replace(counted, rows=rows, conv_time_share=0.9, passes=10, threads=2, **more)  # type: ignore[arg-type]


def test_the_layers_that_matter_are_the_slowest_that_take_most_of_the_time() -> None:
    costs = timed((1.0, 1.0, 1.0), (5.0, 4.9, 5.1), (3.0, 2.9, 3.1), (1.0, 1.0, 1.0))
    assert [row.name for row in what_matters(costs)] == ["layer1", "layer2"]
    said = " ".join(advice(costs))
    assert "2 of 4 layers take 80 % of the convolutions' 10.0 s: layer1 and layer2." in said
    assert "The slowest is layer1, 5.00 s." in said
    assert "convbench ceilings" in said
    assert "Next: convbench model own --race times every backend on these 2." in said


def test_what_overlaps_is_not_ordered() -> None:
    said = " ".join(advice(timed((5.0, 4.0, 6.0), (4.9, 4.0, 5.5), (1.0, 1.0, 1.0))))
    assert "Which is the slowest cannot be told: the times of layer0 and layer1 overlap." in said
    assert "The slowest is" not in said
    said = " ".join(advice(timed((9.0, 8.0, 9.5), (5.0, 4.8, 6.0), (4.0, 3.9, 4.2), (3.9, 3.8, 4.1), (1.0, 1.0, 1.0))))
    assert "The slowest is layer0, 9.00 s. Which is third cannot be told: the times of layer2 and layer3 over" in said


def test_a_busy_machine_gets_no_ranking() -> None:
    costs = timed((5.0, 5.0, 5.0), (1.0, 1.0, 1.0), clean=2)
    assert costs.disturbed == pytest.approx(0.8)
    (said,) = advice(costs)
    assert said == cannot_tell(costs)
    assert said.endswith("Run it again with --wait-until-quiet, or with fewer --threads.")
    assert said.startswith("The machine is too busy to tell which layer is slow: 80 % of the samples were disturbed")
    assert not cannot_tell(timed((5.0, 5.0, 5.0), clean=3))


def with_noise(costs: ModelCosts, *clean: int) -> ModelCosts:
    rows = zip(costs.rows, clean, strict=True)
    return replace(costs, rows=tuple(replace(row, times=(replace(row.times[0], clean=one),)) for row, one in rows))


def test_a_busy_machine_leaves_what_is_certain() -> None:
    costs = with_noise(timed((5.0, 4.0, 6.0), (1.0, 1.0, 1.0), (1.5, 1.5, 1.5)), 7, 0, 2)
    why, words = advice(costs)
    assert why == cannot_tell(costs)
    assert words == "Certain all the same: layer0 takes longer than each of the others."
    assert not certain(with_noise(costs, 2, 0, 7))  # how long an undisturbed call takes is not known
    assert not certain(with_noise(timed((5.0, 4.0, 6.0), (4.5, 4.5, 4.5)), 7, 0))


def test_a_time_that_is_not_to_be_trusted_has_no_share_of_the_peak_and_a_pipe_says_by_which_column(
    capsys: pytest.CaptureFixture[str],
) -> None:
    costs = with_noise(timed((5.0, 5.0, 5.0), (1.0, 1.0, 1.0)), 7, 2)
    costs = replace(costs, rows=tuple(replace(row, roof_s=0.5) for row in costs.rows))
    assert [row["percent_of_ceiling"] for row in record(costs)["rows"]] == [pytest.approx(10), None]
    print_model(costs)
    assert "undisturbed below 3: too few undisturbed samples" in " ".join(capsys.readouterr().err.split())
    assert "~: too few" in " ".join(remarks(costs))


def test_what_can_be_gained_decides_and_a_layer_out_of_proportion_is_named_with_its_reason() -> None:
    costs = timed((6.0, 6.0, 6.0), (3.0, 3.0, 3.0), (1.0, 1.0, 1.0))
    large, grouped, small = costs.rows
    shape = replace(
        grouped.calls[0].shape, x=(1, 64, 9, 9), w=(64, 2, 1, 1), y=(1, 64, 9, 9), groups=32, padding=(0, 0)
    )
    grouped = replace(grouped, calls=(replace(grouped.calls[0], shape=shape),), roof_s=0.15, bound="compute")
    big = replace(large.calls[0].shape, x=(1, 300, 9, 9), w=(300, 300, 3, 3), y=(1, 300, 9, 9))
    large = replace(large, calls=(replace(large.calls[0], shape=big),), roof_s=5.7, bound="compute")
    costs = replace(costs, rows=(large, grouped, replace(small, roof_s=0.9)))
    census = replace(costs.census, calls=tuple(row.calls[0] for row in costs.rows))
    costs = replace(costs, census=census)
    assert [row.name for row in what_matters(costs)] == ["layer1"]
    said = " ".join(advice(costs))
    assert "At 100 % of peak the convolutions would take 3.25 s less, 88 % of it in 1 of 3 layers." in said
    assert (
        "layer1 takes 30 % of the time for <1 % of the MACs, at 5 % of peak: 32 groups of 2 channels, for which" in said
    )


def test_the_peak_is_told_where_it_is_known_and_what_can_be_gained() -> None:
    costs = timed((6.0, 6.0, 6.0), (3.0, 3.0, 3.0))
    slow, fast = costs.rows
    costs = replace(costs, rows=(replace(slow, roof_s=1.5, bound="compute"), replace(fast, roof_s=2.7)))
    assert [row.percent for row in costs.rows] == [pytest.approx(25), pytest.approx(90)]
    said = " ".join(advice(costs, suite="own net.csv"))
    assert "layer0 reaches 25 % of peak; at 100 % it would take 4.50 s less." in said
    assert "near the peak" not in said
    assert "Next: convbench bench --suite 'own net.csv' --match ':layer0$'" in said
    near = replace(costs, rows=(replace(slow, roof_s=5.4, bound="memory"),))
    assert "memory bound" in " ".join(advice(near))
    assert "All of them are near the peak" in " ".join(advice(near))


def test_a_fallback_and_time_spent_elsewhere_are_named() -> None:
    costs = timed((2.0, 2.0, 2.0))
    costs = replace(
        costs,
        conv_time_share=0.2,
        others_s=(("addmm", 5.0), ("relu", 1.0)),
        rows=(replace(costs.rows[0], ran="Slow2d"),),
    )
    said = " ".join(advice(costs))
    assert (
        "The convolutions take only 20 % of the time of all operators; look at the others first: addmm 5.00 s" in said
    )
    assert "layer0 runs Slow2d, a fallback; convbench ran n1c3h9w9k3r3s3_pd1 --dtype fp32 --layout nchw says" in said


def test_nothing_is_advised_where_nothing_was_timed() -> None:
    assert list(advice(replace(timed((1.0, 1.0, 1.0)), rows=()))) == []
