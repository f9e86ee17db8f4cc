"""What a race says while it runs, and where no backend wins."""

from convbench.call.watch import BackendStage
from convbench.case import Case, Problem
from convbench.cli.race import Raced, _Steps, gained
from convbench.outcome import Bill, Check, Result, Timed
from tests.models.test_timing import timed


def test_a_race_names_each_backend_once_and_nothing_is_written_once_they_are_timed() -> None:
    said: list[str] = []
    steps = _Steps("race 1 of 2: conv1", 2, said.append, lambda: said.append("held"))
    for backend, stage in (
        ("torch", BackendStage.VERIFIED),
        ("torch", BackendStage.VERIFIED),
        ("onednn", BackendStage.VERIFIED),
        ("", BackendStage.WAITED),
        ("torch", BackendStage.TIMED),
    ):
        steps.heard(backend, stage, 0.0)
    assert said == [
        "race 1 of 2: conv1: verifying torch, 1 of 2",
        "race 1 of 2: conv1: verifying onednn, 2 of 2",
        "race 1 of 2: conv1: timing 2 backends in turns",
        "held",
        "held",
    ]


def test_where_no_backend_wins_there_is_a_next_step() -> None:
    costs = timed((6.0, 6.0, 6.0), (3.0, 3.0, 3.0))
    row = costs.rows[0]
    case = Case(problem=Problem(suite="model", name=row.name, spec=row.shape.spec))
    check = Check(worst_of_bound=0.1, relative_l2=0.0)
    own = Timed(check=check, samples_s=(1e-3,) * 12, bill=Bill(prepare_s=None, first_call_s=1e-3))
    raced = Raced(row=row, results=(Result(case=case, backend="torch", family="vendor", outcome=own),))
    *_, last = gained(costs, [raced])
    assert last == (
        f"Next: convbench bench --shape {row.shape.spec} --dtype fp32,bf16 --layout nchw,nhwc --threads 1,2 compares "
        f"bf16, channels_last and thread counts. The next layer to race is layer1."
    )
