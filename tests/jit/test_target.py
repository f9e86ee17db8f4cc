"""For which CPU kernels are compiled, and what may be asked for."""

import llvmlite.binding as llvm
import pytest

from convbench.errors import ConvbenchError
from convbench.jit import target
from convbench.jit.target import CHOICE, host

FEATURES = {
    "avx512f": True,
    "avx512vl": True,
    "avx512dq": True,
    "avx2": True,
    "fma": True,
    "avx10.1": True,
    "sse4a": False,
}


@pytest.fixture
def features(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """Those of a CPU with AVX-512; the machine's own target is asked for anew."""
    found = dict(FEATURES)
    monkeypatch.setattr(target, "host_features", lambda: found)
    monkeypatch.setattr(llvm, "get_process_triple", lambda: "x86_64-unknown-linux-gnu")
    monkeypatch.setattr(target, "host", host.__wrapped__)
    return found


def test_the_widest_vectors_are_taken_and_fewer_can_be_asked_for(
    features: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(CHOICE, raising=False)
    assert target.host().lanes == 16
    monkeypatch.setenv(CHOICE, "avx2")
    narrow = target.host()
    assert narrow.lanes == 8
    assert {"-avx512f", "-avx512vl", "-avx10.1"} <= set(narrow.features.split(","))  # AVX10 has AVX-512's instructions
    monkeypatch.setenv(CHOICE, "sse")
    with pytest.raises(ConvbenchError, match="choose from avx2, avx512"):
        target.host()


def test_a_cpu_without_the_vectors_is_refused_in_words(
    features: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(CHOICE, raising=False)
    features.update(dict.fromkeys(FEATURES, False))
    with pytest.raises(ConvbenchError, match="neither AVX2 with FMA nor NEON"):
        target.host()
