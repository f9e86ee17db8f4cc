"""Do the tables of a race fit, and does its sentence say what to use?"""

import csv
import io
import json
from dataclasses import replace

import pytest

from convbench.optimize.race import CandidateRow
from convbench.outcome import PairedRatio
from convbench.show.notebook import as_text
from convbench.show.optimize import COLUMNS, page, record, rows_of, sentence, write_csv
from tests.optimize.test_plans import RACE

LAYERS = tuple(
    {
        "name": f"layer{number}.0.conv2",
        "operation": "conv 3x3 512->512 + residual relu",
        "default": "direct, 14 rows x 1 block",
        "chosen": "F4, 4 tiles, two steps" if number % 2 else "direct, 14 rows x 1 block",
        "default_s": number * 1e-3 if number else None,
        "chosen_s": number * 0.7e-3,
        "error": 2e-7 if number else None,
    }
    for number in range(20)
)


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_every_line_fits_and_no_word_is_cut(width: int) -> None:
    race = replace(RACE, layers=LAYERS, winner="onnxruntime")
    text = as_text([page(race, width)], width)
    assert all(len(line) <= width for line in text.splitlines() if not line.startswith("  session"))
    assert "…" not in text
    words = "onnxruntime 1.88x 8.00 layer19.0.conv2 eager".split()
    assert all(word in text for word in words)


def test_the_slowest_layers_are_shown_or_all() -> None:
    race = replace(RACE, layers=LAYERS)
    few, all_of_them = (as_text([page(race, 120, layers=which)], 120) for which in ("slowest", "all"))
    assert "the slowest 12 of 20 (--layers all)" in few
    assert few.index("layer19.") < few.index("layer8.")
    assert "layer7.0" not in few
    assert "layer0.0" in all_of_them
    assert "direct, 14 rows x 1 block -> F4, 4 tiles, two steps" in few
    assert "1.43x" in few


def test_the_code_without_convbench_is_that_of_the_winner() -> None:
    text = as_text([page(RACE, 80)], 80)
    assert "Without convbench, by onnxruntime:" in text
    assert "options.intra_op_num_threads = 1" in text


def test_what_did_not_race_is_named_with_the_reason() -> None:
    text = as_text([page(RACE, 80)], 80)
    assert "channels-last: wrong: error 1.0e-03 on its own input" in text
    assert "ncnn: not installed: needs ncnn and pnnx" in text


@pytest.mark.parametrize(
    ("second", "words"),
    [
        (None, "Use onnxruntime: 1.88x as fast as eager (1.75 to 2.00)."),
        ("tie", "(1.75 to 2.00); openvino is level with it."),
        ("slower", "(1.75 to 2.00), and 1.25x as fast as the next, openvino (1.23 to 1.27)."),
    ],
)
def test_the_sentence_names_the_winner_and_how_far_the_next_is(second: str | None, words: str) -> None:
    ratio = PairedRatio(ratio=0.8, low=0.79, high=0.81, verdict=str(second))
    assert sentence(replace(RACE, second=None if second is None else ("openvino", ratio))).endswith(words)


def test_json_and_csv_have_every_candidate_as_plain_numbers() -> None:
    wild = CandidateRow(
        name="openvino",
        outcome="raced",
        median_s=1.0,
        samples=3,
        noisy=True,
        ratio=PairedRatio(ratio=2.0, low=0.0, high=float("inf"), verdict="undecided"),
    )
    race = replace(RACE, rows=(*RACE.rows, wild), layers=LAYERS)
    whole = json.loads(json.dumps(record(race), allow_nan=False))
    assert [one["candidate"] for one in whole["candidates"]] == [one.name for one in race.rows]
    assert whole["candidates"][3]["ratio"] == 1.875
    assert whole["candidates"][4]["high"] is None
    assert whole["candidates"][3]["code"]
    text = io.StringIO()
    write_csv(race, text)
    rows = list(csv.DictReader(io.StringIO(text.getvalue())))
    assert list(rows[0]) == list(COLUMNS)
    assert [row["outcome"] for row in rows] == ["raced", "wrong", "missing", "raced", "raced"]
    assert float(rows[3]["median_s"]) == 8e-3
    assert all(len(row) == len(COLUMNS) for row in rows_of(race))
