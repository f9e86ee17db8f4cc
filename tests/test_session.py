"""What Python gets without the command line: it selects, runs and keeps, and nothing is printed or exited."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from convbench import ConvbenchError, ConvSpec, Timed, Verified, Wrong, backend
from convbench.bench.decision import standings
from convbench.case import LAYOUTS
from convbench.errors import NothingSelected
from convbench.schema import COLUMNS
from convbench.selection import FOR_BENCH, FOR_VERIFY, Selection, select
from convbench.session import Bench, Session, Verify, count_outcomes
from convbench.store import read_results, read_rows
from tests.cli.conftest import LAST_TAP, Cli
from tests.cli.conftest import cli as cli  # noqa: PLC0414  # a fixture of this module too

SHAPES = ["n1c4h9w8k6r3s3", "n1c4h9w8k5r3s3", "n1c4h9w8k4r3s3"]
QUICKLY = Bench(budget_s=0.02)
ESSENCE = [name for name in COLUMNS if name not in ("time", "command")]


class Unread(list[str]):
    """Words that nobody may look at."""

    def _refuse(self, *_: object) -> Any:
        pytest.fail("sys.argv was read")

    __getitem__ = __iter__ = __len__ = __contains__ = _refuse


@pytest.fixture
def silent(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is printed, and no command line is read."""
    with monkeypatch.context() as patch:
        patch.setattr("sys.argv", Unread())
        yield
    assert capfd.readouterr() == ("", "")


def small(*shapes: str, **words: Any) -> Selection:
    return select(**{"shapes": list(shapes or SHAPES), "backends": ["torch", "unfold-matmul"], **words})


@pytest.mark.usefixtures("silent")
def test_every_case_is_timed_and_in_the_file_before_its_results_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    session = Session(small(), QUICKLY, csv=str(path), command="my_tool.py --fast")
    for number, results in enumerate(session.run(), start=1):
        assert [one.backend for one in results] == ["torch", "unfold-matmul"]
        assert all(isinstance(one.outcome, Timed) for one in results)
        assert len(read_rows(path)) == 2 * number
    assert [one.case.problem.name for one in session.results[::2]] == SHAPES
    assert count_outcomes(session.results) == {"timed": 6}
    rows = read_rows(path)
    (first, _), *_ = session.pairs()
    assert first.keys() == rows[0].keys()
    assert {row["command"] for row in rows} == {"my_tool.py --fast"}
    assert all(row["percent_of_ceiling"] and row["bound"] for row in rows)
    assert [float(row["ratio_to_torch"]) for row in rows][::2] == [1.0] * 3


@pytest.mark.usefixtures("silent")
def test_no_file_is_needed_and_ceilings_may_be_left_out() -> None:
    session = Session(small(SHAPES[0]), Bench(budget_s=0.02, ceilings=False))
    (results,) = session.run()
    assert results == session.results
    assert [row["percent_of_ceiling"] for row, _ in session.pairs()] == ["", ""]
    assert [one.outcome.roofline for one in results if isinstance(one.outcome, Timed)] == [None, None]


@pytest.mark.usefixtures("silent")
def test_what_verify_takes_by_default_is_everything() -> None:
    selection = small(SHAPES[0], defaults=FOR_VERIFY, backends=["torch"])
    assert {(case.dtype, case.layout) for case in selection.cases} == {
        (dtype, layout) for dtype in ("fp32", "fp16", "bf16", "fp64") for layout in LAYOUTS
    }
    assert {case.precision for case in selection.cases} == {"ieee"}
    kinds = {("fprop", "none"), ("fprop", "bias"), ("fprop", "bias_relu"), ("dgrad", "none"), ("wgrad", "none")}
    assert {(case.pass_, case.epilogue) for case in selection.cases} == kinds


@pytest.mark.usefixtures("silent")
def test_a_backend_is_asked_for_the_passes_and_epilogues_that_it_brings() -> None:
    def asked(**words: Any) -> list[tuple[str, str]]:
        cases = small(SHAPES[0], **{"defaults": FOR_VERIFY, "dtypes": ["fp32"], "layouts": ["nchw"], **words}).cases
        return [(case.pass_, case.epilogue) for case in cases]

    def conv(*_: object) -> Any:
        raise AssertionError("nothing is run")

    assert asked(backends=[conv]) == [("fprop", "none")]
    assert asked(backends=[backend(family="direct", source="a test", wgrad=conv)(conv)]) == [
        ("fprop", "none"),
        ("wgrad", "none"),
    ]
    fused = backend(family="direct", source="a test", fused=conv)(conv)
    assert asked(backends=[fused]) == [("fprop", "none"), ("fprop", "bias"), ("fprop", "bias_relu")]
    assert asked(backends=[fused], passes=["fprop"]) == [("fprop", "none")]
    assert asked(backends=[fused], epilogues=["bias"]) == [("fprop", "bias")]
    assert asked(backends=[fused], defaults=FOR_BENCH) == [("fprop", "none")]
    assert asked(backends=None) == [("fprop", "none")]  # all of convbench's own at once


def test_python_and_the_command_line_write_the_same_rows(cli: Cli, tmp_path: Path) -> None:
    """But for the time, and for what a command line says of itself."""
    words = ("--shape", ",".join(SHAPES), "--backend", "torch,cudnn,unfold-matmul", "--dtype", "fp32,bf16")
    assert cli("verify", *words, "--layout", "nchw", "--pass", "fprop", "--csv", tmp_path / "cli.csv").code == 0
    selection = small(
        backends=["torch", "cudnn", "unfold-matmul"],
        dtypes=["fp32", "bf16"],
        layouts=["nchw"],
        passes=["fprop"],
        defaults=FOR_VERIFY,
    )
    for _ in Session(selection, Verify(), csv=str(tmp_path / "python.csv")).run():
        pass
    there, here = read_rows(tmp_path / "cli.csv"), read_rows(tmp_path / "python.csv")
    assert [[row[name] for name in ESSENCE] for row in here] == [[row[name] for name in ESSENCE] for row in there]
    assert len(here) == 18


@pytest.mark.usefixtures("silent")
def test_whoever_stops_keeps_what_is_done_and_may_go_on(tmp_path: Path) -> None:
    path, remarks = tmp_path / "rows.csv", list[str]()
    first = Session(small(), Verify(), csv=str(path))
    results = first.run()
    next(results)
    assert [case.problem.name for case in first.remaining] == SHAPES[1:]
    results.close()
    data = path.read_bytes()
    assert data.count(b"\n") == 3
    with pytest.raises(ConvbenchError, match="is closed; continue it in a new session"):
        first.run()
    with pytest.raises(ConvbenchError, match="exists; name another file"):
        Session(small(), Verify(), csv=str(path))
    path.write_bytes(data + data.splitlines(keepends=True)[1][:40])  # and half a row, as a kill leaves it
    second = Session(small(), Verify(), csv=str(path), resume=True, tell=remarks.append)
    assert remarks == [f"1 of 3 cases are already in {path} and are kept"]
    assert second.kept == 1
    assert [results[0].case.problem.name for results in second.run()] == SHAPES[1:]
    assert len(second.results) == len(second.pairs()) == 6
    assert path.read_bytes().startswith(data)
    assert [one.case for one in read_results(path)] == [one.case for one in second.results]
    for _ in Session(small(), Verify(), csv=str(path), overwrite=True).run():
        pass
    assert len(read_rows(path)) == 6


@pytest.mark.usefixtures("silent")
def test_a_file_is_gone_on_with_by_the_same_command_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "rows.csv")
    list(Session(small(), Verify(), csv=path, command="one").run())
    with pytest.raises(ConvbenchError, match="row 2 was made with 'one', but this run has 'another'"):
        Session(small(), Verify(), csv=path, command="another", resume=True)
    with pytest.raises(ConvbenchError, match="--resume continues a file"):
        Session(small(), Verify(), resume=True)


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"backends": ["cuddn"]}, "did you mean 'cudnn'"),
        ({"suites": ["resnet5"], "shapes": None}, "did you mean 'resnet50'"),
        ({"dtypes": ["fp23"]}, "unknown dtype 'fp23'"),
        ({"devices": ["tpu"]}, "unknown device 'tpu'"),
        ({"axes": ["m=1"]}, "unknown axis 'm'"),
        ({"axes": ["dtype=bf16"], "dtypes": ["fp32"]}, "dtype is already set"),
        ({"fuzz": 3}, "--shape and --fuzz each select the cases"),
        ({"passes": ["dgrad"], "epilogues": ["bias"]}, "an epilogue only applies to fprop"),
        ({"plugins": ["nowhere.py"]}, "nowhere.py is not a file"),
        ({"match": ["("]}, "is not a regular expression"),
        ({"shapes": None, "vectors": ["mnist"]}, "unknown corpus 'mnist'"),
        ({"shapes": None, "fuzz": 3, "match": ["x"]}, "--match cannot be combined with --fuzz"),
    ],
)
def test_a_bad_word_is_a_convbench_error(words: dict[str, Any], said: str) -> None:
    with pytest.raises(ConvbenchError, match=said.replace("(", r"\(")) as error:
        small(**words)
    assert not isinstance(error.value, NothingSelected)


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"match": ["nothing"]}, "the selection has no case; nothing was run"),
        ({"backends": []}, "the selection has no backend; nothing was run"),
        ({"shapes": None, "vectors": []}, "there is no vector to run; nothing was run"),
        ({"shapes": None, "fuzz": 3, "dtypes": []}, "the selection has no case; nothing was run"),
    ],
)
def test_an_empty_selection_is_an_error_of_its_own(words: dict[str, Any], said: str) -> None:
    with pytest.raises(NothingSelected, match=said) as error:
        small(**words)
    assert not error.value.wrong


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"confidence": 1.0}, "--confidence 1.0 --margin 0.02"),
        ({"margin": 0.0}, "margin between 0 and 1"),
        ({"budget_s": -1.0}, "--budget -1 --min-rounds 12: the budget must be at least 0 seconds"),
        ({"min_rounds": 0}, "at least 1 round"),
    ],
)
def test_a_bad_number_is_refused_before_there_is_a_file(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConvbenchError, match=said):
        Bench(**settings)


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize("threads", [-1, 100_000])
def test_a_bad_number_of_threads_is_refused_before_there_is_a_file(tmp_path: Path, threads: int) -> None:
    with pytest.raises(ConvbenchError, match=f"--threads {threads}: this process may use"):
        Session(small(), Verify(), csv=str(tmp_path / "rows.csv"), threads=threads)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("silent")
def test_threads_are_set_while_it_runs_and_given_back() -> None:
    session = Session(small(), Verify(), threads=2)
    assert torch.get_num_threads() == 1
    assert session.contexts["cpu"].threads == 2
    results = session.run()
    next(results)
    assert torch.get_num_threads() == 2
    results.close()
    assert torch.get_num_threads() == 1
    assert "--threads 2" in session.reproduce(session.results[0])


@pytest.mark.usefixtures("silent")
def test_every_case_is_done_with_each_number_of_threads_and_goes_on_between_them(tmp_path: Path) -> None:
    path, remarks = str(tmp_path / "rows.csv"), list[str]()
    seen: list[int] = []

    def counted(x: Any, w: Any, spec: ConvSpec) -> Any:
        seen.append(torch.get_num_threads())
        return plain(x, w, spec)

    selection = small(SHAPES[0], SHAPES[1], backends=["torch", counted])
    session = Session(selection, Verify(), csv=path, threads=[1, 2, 1])
    assert (session.threads, session.total) == ((1, 2), 4)
    results = session.run()
    for _ in range(3):
        next(results)
    results.close()
    assert set(seen) == {1, 2}
    assert torch.get_num_threads() == 1
    assert [row["threads"] for row in read_rows(path)] == ["1"] * 4 + ["2"] * 2
    assert session.reproduce(session.results[-1]).endswith(" --threads 2")
    with pytest.raises(ConvbenchError, match="row 2 has threads '1', this run has '2'"):
        Session(selection, Verify(), csv=path, threads=[2], resume=True)
    again = Session(selection, Verify(), csv=path, threads=[1, 2], resume=True, tell=remarks.append)
    assert remarks == [f"3 of 4 cases are already in {path} and are kept"]
    assert [case.problem.name for case in again.remaining] == [SHAPES[1]]
    seen.clear()
    assert [[one.threads for one in results] for results in again.run()] == [[2, 2]]
    assert set(seen) == {2}
    assert [one.key() for one in read_results(path)] == [one.key() for one in again.results]
    assert len({one.key() for one in again.results}) == 8


@pytest.mark.usefixtures("silent")
def test_ratios_and_totals_are_of_one_number_of_threads() -> None:
    session = Session(small(), QUICKLY, threads=[1, 2], isolate=False)
    list(session.run())
    assert count_outcomes(session.results) == {"timed": 12}
    blocks = {one.key().block for one in session.results}
    assert sorted(block.threads for block in blocks) == ["1"] * 3 + ["2"] * 3
    for threads in (1, 2):
        own = [one for one in session.results if one.threads == threads]
        assert [one.cases for one in standings(own).found] == [3, 3]


@pytest.mark.usefixtures("silent")
def test_no_number_of_threads_is_refused() -> None:
    with pytest.raises(ConvbenchError, match="--threads has no number"):
        Session(small(), Verify(), threads=[])


@pytest.mark.usefixtures("silent")
def test_remarks_are_told_and_not_printed() -> None:
    remarks: list[str] = []
    small(SHAPES[0], axes=["groups=1:4"], backends=["torch", "/nobody/"], tell=remarks.append)
    assert [one.partition(" and")[0] for one in remarks] == [
        "2 combinations are not a convolution",
        "--backend /nobody/ matches no backend; see 'convbench list backends'",
    ]


def plain(x: Any, w: Any, spec: ConvSpec) -> Any:
    return F.conv2d(x, w, None, spec.stride, spec.padding, spec.dilation, spec.groups)


@backend(family="direct", source="a test")
def half_wrong(x: Any, w: Any, spec: ConvSpec) -> Any:
    y = plain(x, w, spec)
    return y if spec.k > 4 else 2 * y


@pytest.mark.usefixtures("silent")
def test_functions_and_backends_are_backends() -> None:
    selection = small(backends=["torch", plain, half_wrong])
    assert [one.name for one in selection.backends] == ["torch", "plain", "half-wrong"]
    assert selection.local == ["plain", "half-wrong"]
    session = Session(selection, Verify(force=True))
    outcomes = [[type(one.outcome) for one in results] for results in session.run()]
    assert outcomes == [[Verified, Verified, Verified]] * 2 + [[Verified, Verified, Wrong]]
    command = session.reproduce(session.results[-1])
    assert command.startswith(f"convbench verify --backend half-wrong --shape {SHAPES[2]} --dtype fp32")
    assert command.endswith(" --force")


@pytest.mark.program
@pytest.mark.usefixtures("silent")
def test_an_object_is_not_sent_to_another_process_and_bears_a_name_of_its_own(tmp_path: Path) -> None:
    plugin = tmp_path / "bad tap.py"
    plugin.write_text(LAST_TAP)
    selection = small(SHAPES[0], backends=["last-tap", plain], plugins=[str(plugin)])
    for limits in ({"isolate": True}, {"timeout_s": 3.0}, {"memory_nbytes": 2**30}):
        with pytest.raises(ConvbenchError, match="another process cannot load plain, given as an object"):
            Session(selection, Verify(), **limits)
    session = Session(selection, Verify())  # so it runs in this one, plug-in or not
    assert [[type(one.outcome) for one in results] for results in session.run()] == [[Wrong, Verified]]
    assert session.reproduce(session.results[0]).endswith(f" --plugin '{plugin}'")
    (torch_backend,) = small(backends=["torch"]).backends
    assert small(backends=[torch_backend]).local == []  # any process can load it
    with pytest.raises(ConvbenchError, match="two backends are named 'torch'"):
        small(backends=["torch", torch_backend])


@pytest.mark.usefixtures("silent")
def test_random_cases_come_from_python_too() -> None:
    random = select(fuzz=4, seed=5, backends=["torch"], defaults=FOR_VERIFY)
    assert {case.problem.suite for case in random.cases} == {"fuzz"}
    assert len(list(Session(random, Verify(seconds=600.0)).run())) == 4


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize("work", [QUICKLY, Verify()])
def test_what_would_take_how_long_is_known_before(work: Bench | Verify) -> None:
    selection = small()
    assert 0 < work.at_most_s(selection.cases[0], selection.backends) < 10


def test_importing_a_session_imports_nothing_heavy() -> None:
    code = (
        "import sys, convbench.session\n"
        "print(sorted({'torch', 'numpy', 'pandas', 'rich', 'typer'} & set(sys.modules)))\n"
        "from convbench.selection import select\nfrom convbench.errors import NothingSelected\n"
        "try:\n    select(backends=[])\nexcept NothingSelected:\n    print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\nFalse\n"
