"""Do the ledger's figures hold, and is it told apart who counts what?"""

import importlib.util
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given

from convbench import ConvSpec
from convbench.explain import ledger as rooms
from convbench.explain.ledger import TOOLS, Ledger, Tool, ask_tools, check_ledger
from tests.strategies import specs

AWKWARD = ConvSpec.parse("n2c4h7w9k6r3s2_st2x1_pd1x0_dl1x2_g2")
UNEQUAL = "n2c4h7w6k6r3s2_st2_pd1x2x0x1_dl1x2_g2"


@given(specs(any_padding=True))
def test_every_figure_agrees_with_torch(spec: ConvSpec) -> None:
    checks = check_ledger(Ledger(spec=spec))
    assert [(one.name, one.found) for one in checks] == [(one.name, one.expected) for one in checks]
    assert {"bytes of x", "bytes of w", "bytes of y"} <= {one.name for one in checks}


@given(specs(any_padding=True))
def test_products_and_sums_are_those_of_the_loops(spec: ConvSpec) -> None:
    products = sums = 0
    for p in range(spec.p):
        for q in range(spec.q):
            inside = 0
            for r in range(spec.r):
                for s in range(spec.s):
                    row = p * spec.stride[0] - spec.padding[0] + r * spec.dilation[0]
                    column = q * spec.stride[1] - spec.padding[1] + s * spec.dilation[1]
                    inside += 0 <= row < spec.h and 0 <= column < spec.w
            terms = inside * spec.c_per_group
            products += terms
            sums += max(0, terms - 1)
    ledger = Ledger(spec=spec)
    times = spec.n * spec.k
    assert ledger.multiplications_on_image == products * times
    assert ledger.additions_on_image == sums * times
    assert ledger.multiplications == ledger.macs == times * spec.p * spec.q * spec.taps
    assert ledger.additions == ledger.macs - times * spec.p * spec.q
    if ledger.macs:
        assert ledger.padding_waste == pytest.approx(1 - products * times / ledger.macs)


def test_the_note_costs_36_products_and_27_sums() -> None:
    ledger = Ledger(spec=ConvSpec.parse("n1c1h4w4k1r2s2"))
    assert (ledger.multiplications, ledger.additions, ledger.bias_additions) == (36, 27, 9)
    assert (ledger.nbytes("fp32"), ledger.blow_up) == ((64, 16, 36), 2.25)
    assert (ledger.field, ledger.padding_waste) == ((2, 2), 0)


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.needs(TOOLS[name].package)) for name in TOOLS])
@pytest.mark.parametrize("text", [str(AWKWARD), "n1c8h9w9k8r3s3_pd1_g8", "n3c5h8w7k4r1s1", UNEQUAL])
def test_a_tool_counts_what_is_said_of_it(name: str, text: str) -> None:
    (count,) = (one for one in ask_tools(Ledger(spec=ConvSpec.parse(text))) if one.tool == name)
    assert (count.why_not, count.reconciled) == ("", True)


def test_the_stem_of_resnet_is_three_different_numbers_to_the_tools() -> None:
    ledger = Ledger(spec=ConvSpec.parse("n1c3h224w224k64r7s7_st2_pd3"))
    assert TOOLS["FlopCounterMode"].expected(ledger) == 236_027_904
    assert TOOLS["fvcore"].expected(ledger) == 118_013_952
    assert TOOLS["torchinfo"].expected(ledger) == TOOLS["ptflops"].expected(ledger) == 118_816_768
    assert TOOLS["torchinfo"].expected_function(ledger) == 0


def tool(ask: Callable[[torch.nn.Module, torch.Tensor], int], *, computes: bool = False) -> Tool:
    return replace(TOOLS["FlopCounterMode"], ask=ask, computes=computes)


def test_a_tool_that_counts_otherwise_is_not_reconciled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "TOOLS", {"other": tool(lambda model, x: 41)})
    (count,) = ask_tools(Ledger(spec=AWKWARD))
    assert (count.module, count.expected, count.reconciled) == (41, 8064, False)


def test_a_tool_that_fails_is_told_and_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(model: torch.nn.Module, x: torch.Tensor) -> int:
        raise SystemExit("no such layer")

    monkeypatch.setattr(rooms, "TOOLS", {"other": tool(fail)})
    (count,) = ask_tools(Ledger(spec=AWKWARD))
    line = fail.__code__.co_firstlineno + 1
    assert (count.reconciled, count.why_not) == (None, f"SystemExit: no such layer (test_ledger.py:{line})")


def test_a_tool_that_computes_is_not_asked_for_a_large_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "TOOLS", {"other": tool(lambda model, x: 1 // 0, computes=True)})
    (count,) = ask_tools(Ledger(spec=ConvSpec.parse("n64c256h56w56k256r3s3_pd1")))
    assert count.reconciled is None
    assert "it would compute" in count.why_not


def test_a_tool_that_is_not_installed_is_named_and_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "TOOLS", {"other": replace(TOOLS["fvcore"], package="no_such_package_of_tools")})
    assert importlib.util.find_spec("no_such_package_of_tools") is None
    assert ask_tools(Ledger(spec=AWKWARD)) == []
    assert rooms.not_installed() == ["other"]


def test_an_empty_batch_costs_nothing_and_asks_nobody() -> None:
    ledger = Ledger(spec=ConvSpec.parse("n0c3h8w8k4r3s3_pd1"))
    assert (ledger.macs, ledger.additions_on_image, ledger.padding_waste, ledger.blow_up) == (0, 0, 0, 0)
    assert all(one.holds for one in check_ledger(ledger))
    assert all(one.reconciled is None for one in ask_tools(ledger))
