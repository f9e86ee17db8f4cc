"""Does the page carry what PyTorch ran, watched here or read from a file?"""

import json
from pathlib import Path
from typing import Any

import pytest

from convbench import ConvSpec
from convbench.cli import main
from convbench.errors import ConvbenchError
from convbench.ran.watch import glance
from convbench.show.explain_evidence import LAYER, read, watch
from convbench.show.ran import record_ran
from tests.show.test_explain_page import data_of

NOTE = ConvSpec.parse("n1c1h4w4k1r2s2")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main([*arguments])
    code = stopped.value.code or 0
    assert isinstance(code, int)
    return code


def test_what_ran_here_is_watched_for_the_problem_and_for_a_layer() -> None:
    found = watch(NOTE, ["words"])
    assert found["sentences"] == ["words"]
    assert [one["spec"] for one in found["runs"]] == [str(NOTE), str(LAYER)]
    assert all(one["torch"] and one["claims"] for one in found["runs"])
    assert watch(LAYER, [])["runs"] == found["runs"][1:]


def test_a_page_takes_a_file_that_ran_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "evidence.json"
    path.write_text(json.dumps({"ran": [record_ran(glance(NOTE))]}), encoding="utf-8")
    assert run("explain", "--html", "-", "--evidence", str(path)) == 0
    evidence: dict[str, Any] = data_of(capsys.readouterr().out)["evidence"]
    assert evidence == dict(read(str(path), NOTE))
    assert path.name not in json.dumps(evidence)  # it would mean nothing to who has the page alone
    assert str(tmp_path) not in json.dumps(evidence)
    assert evidence["runs"][0]["spec"] == str(NOTE)
    assert "PyTorch" in evidence["sentences"][0]
    assert read(str(path), LAYER)["sentences"] == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"ran": 1}', '{"ran": [{}]}', '{"ran": [{"asked": 1}]}'])
def test_a_file_that_is_something_else_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConvbenchError, match="not the JSON that `convbench ran --json` writes"):
        read(str(path), NOTE)
    with pytest.raises(ConvbenchError, match="--evidence"):
        read(str(tmp_path / "none"), NOTE)


def test_evidence_is_for_the_page_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("explain", "--evidence", "x.json") == 2
    assert "--evidence can only be used with --html" in capsys.readouterr().err
