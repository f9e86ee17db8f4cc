"""Test vectors that others wrote: the oracle agrees with them, and so must every backend."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from convbench.case import Case
from convbench.discovery import discover
from convbench.errors import ConvbenchError
from convbench.outcome import Verified, Wrong
from convbench.suites import read_shape
from convbench.verify import vectors
from convbench.verify.exam import prepare_exam
from convbench.verify.trial import examine
from convbench.verify.vectors import LEAST, Corpus, Vector, load_corpus
from convbench.verify.vectors.agreement import find_disagreements
from tests.cli.conftest import Cli, table
from tests.cli.conftest import cli as cli  # noqa: PLC0414  # a fixture of this module too

CORPORA = ("onnx", "opinfo")


def case_of(corpus: Corpus, vector: Vector, **axes: str) -> Case:
    return Case(problem=corpus.problem(vector), pass_=vector.pass_, epilogue=vector.epilogue, **axes)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CORPORA)
def test_a_corpus_holds_what_was_counted_and_agrees_with_the_oracle(name: str) -> None:
    corpus = load_corpus(name)
    assert len(corpus.vectors) >= LEAST[name][0]
    assert len({vector.name for vector in corpus.vectors}) == len(corpus.vectors)
    assert find_disagreements(corpus) == []


@pytest.mark.program
@pytest.mark.parametrize("name", CORPORA)
def test_another_answer_of_a_corpus_is_a_disagreement(name: str) -> None:
    corpus = load_corpus(name)
    off = [replace(vector, expected=vector.expected + 1e-3 * vector.expected.abs().amax()) for vector in corpus.vectors]
    assert len(find_disagreements(replace(corpus, vectors=tuple(off)))) == len(off)


@pytest.mark.parametrize("who", ["torch", "naive-loops", "unfold-matmul"])
@pytest.mark.parametrize("name", CORPORA)
def test_a_right_backend_passes_every_vector(name: str, who: str) -> None:
    ((found,), _), corpus = discover(names=[who]), load_corpus(name)
    for vector in corpus.vectors:
        assert isinstance(examine(found, prepare_exam(case_of(corpus, vector))), Verified), vector.name


def test_onnx_brings_every_kind_that_it_has() -> None:
    found = {vector.name: vector for vector in load_corpus("onnx").vectors}
    lopsided = found["test_conv_with_strides_and_asymmetric_padding"]
    assert str(lopsided.spec) == "n1c1h7w5k1r3s3_st2_pd1x0"
    assert found["test_conv_with_autopad_same"].spec.padding == (1, 1)
    assert found["test_convtranspose_pads"].pass_ == "dgrad"
    assert found["test_convtranspose_output_shape"].spec.y_shape == (1, 1, 3, 3)
    assert found["test_convinteger_with_padding"].expected.shape == (1, 2, 4, 4)
    assert {"test_convtranspose_1d", "test_qlinearconv"} <= {name for name, _ in load_corpus("onnx").left_out}


def test_every_ill_formed_call_is_refused_by_somebody() -> None:
    corpus = load_corpus("opinfo")
    assert len(corpus.refused) >= 10
    assert corpus.accepted == ()


def test_torch_may_still_be_set_after_its_tests_were_read() -> None:
    load_corpus("opinfo")
    assert not torch.backends.flags_frozen()


def test_samples_are_the_same_each_time_and_leave_the_generator_alone() -> None:
    state = torch.random.get_rng_state()
    load_corpus.cache_clear()
    first = load_corpus("opinfo").vectors[0].operands[0]
    load_corpus.cache_clear()
    assert torch.equal(first, load_corpus("opinfo").vectors[0].operands[0])
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.program
def test_vectors_are_run_counted_and_reproduced(cli: Cli, tmp_path: Path) -> None:
    plugin = tmp_path / "flipped.py"
    plugin.write_text(
        "import torch.nn.functional as F\nfrom convbench import backend\n\n"
        '@backend(family="direct", source="a test")\n'
        "def flipped(x, w, spec):\n"
        "    return F.conv2d(x, w.flip(2), None, spec.stride, spec.padding, spec.dilation, spec.groups)\n"
    )
    words = ("--plugin", plugin, "--no-isolate")
    done = cli("verify", "--vectors", "opinfo", "--backend", "torch,flipped", "--layout", "nchw", *words)
    assert done.code == 1
    assert "opinfo (torch" in done.err
    assert "30 cases, 30 agree with the oracle; 10 of 10 ill-formed calls refused" in done.err
    rows = table(done.out)
    assert len(rows) == 60
    assert {row["suite"] for row in rows} == {"opinfo"}
    assert {row["outcome"] for row in rows if row["backend"] == "torch"} == {"verified"}
    assert "@opinfo:conv2d_00 " in done.err
    again = cli(
        "verify",
        "--shape",
        f"{rows[0]['spec']}@opinfo:conv2d_00",
        "--epilogue",
        "bias",
        "--layout",
        "nchw",
        "--dtype",
        "fp32",
        "--backend",
        "flipped",
        *words,
    )
    assert again.code == 1
    assert table(again.out)[0]["reason"] == rows[1]["reason"]


def test_a_kernel_turned_upside_down_is_found_by_every_sample_of_torch() -> None:
    ((torch_backend,), _), corpus = discover(names=["torch"]), load_corpus("opinfo")
    flipped = replace(torch_backend, fn=lambda x, w, spec: torch_backend.fn(x, w.flip(2), spec), fused=None)
    outcomes = [examine(flipped, prepare_exam(case_of(corpus, vector))) for vector in corpus.vectors]
    assert all(isinstance(outcome, Wrong) for outcome in outcomes)


def test_too_few_cases_are_exit_1(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(vectors.LEAST, "onnx", (999, "onnx 9.9"))
    done = cli("verify", "--vectors", "onnx", "--backend", "torch", "--layout", "nchw")
    assert done.code == 1
    assert "expected at least 999 cases of onnx, as in onnx 9.9, but found 17" in done.err


def test_a_missing_package_is_one_line_and_exit_2(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    load_corpus.cache_clear()
    monkeypatch.setattr(vectors, "find_spec", lambda _: None)
    done = cli("verify", "--vectors", "onnx", "--backend", "torch")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "pip install 'convbench[vectors]'" in done.err


def test_a_vector_of_another_problem_is_refused() -> None:
    (problem,) = read_shape("n1c1h6w5k1r3s3@onnx:test_basic_conv_with_padding").problems
    with pytest.raises(ConvbenchError, match="is n1c1h5w5k1r3s3_pd1 --pass fprop"):
        prepare_exam(Case(problem=problem))
    (problem,) = read_shape("n1c1h5w5k1r3s3@onnx:nothing").problems
    with pytest.raises(ConvbenchError, match="unknown vector of onnx 'nothing'"):
        prepare_exam(Case(problem=problem))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--vectors", "mnist"), "unknown corpus 'mnist'"),
        (("--vectors", "onnx", "--pass", "dgrad"), "--pass cannot be combined with"),
        (("--vectors", "onnx", "--suite", "quick"), "--suite and --vectors each select"),
    ],
)
def test_what_does_not_go_with_vectors_is_refused(cli: Cli, words: tuple[str, ...], message: str) -> None:
    done = cli("verify", *words)
    assert done.code == 2
    assert message in done.err
