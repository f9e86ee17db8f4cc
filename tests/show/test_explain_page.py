"""Does the page of explain carry what was proved, whole and alone, and refuse what a browser cannot show?"""

import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from convbench import ConvSpec
from convbench.cli import main
from convbench.errors import ConvbenchError
from convbench.explain.steps import Walk
from convbench.explain.walk import choose_cell, small_integers, walk
from convbench.show.explain import page as text_page
from convbench.show.explain_page import SCRIPTS, STYLES, check_size, explain_page
from convbench.show.html import allowed, fill, read
from convbench.show.pack import pack_script, pack_style

AWKWARD = "n2c4h7w9k6r3s2_st2x1_pd1x0_dl1x2_g2"


def walked(shape: str, seed: int = 0) -> Walk:
    spec = ConvSpec.parse(shape)
    return walk(*small_integers(spec, seed), spec, choose_cell(spec))


def data_of(html: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_it_carries_the_trace_and_the_verdict() -> None:
    found = walked(AWKWARD, seed=3)
    data = data_of(explain_page(found, seed=3))
    trace = data["trace"]
    assert data["seed"] == 3
    assert trace["spec"] == AWKWARD
    for name in ("x", "w", "y", "patches", "folded"):
        assert trace[name] == getattr(found, name).flatten().tolist()
    assert trace["sums"] == [*found.channel_sums, found.total, found.flipped]
    assert [term[-1] for term in trace["terms"]] == [term.product for term in found.terms]
    assert [one["name"] for one in trace["proof"]] == [one.name for one in found.proof]
    assert all(one["holds"] for one in trace["proof"])


def test_a_large_walk_is_carried_without_its_large_tensors() -> None:
    html = explain_page(walked("n1c16h40w40k16r3s3_pd1"))
    trace = data_of(html)["trace"]
    assert trace["patches"] is None
    assert len(trace["y_plane"]) == 1600
    assert len(trace["y"]) == 16 * 1600
    assert len(html) < 700_000


def test_it_is_one_file_that_asks_for_nothing_and_lets_no_foreign_code_run() -> None:
    html = explain_page(walked("n1c1h4w4k1r2s2"))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)
    assert policy is not None
    assert policy[1] == (
        f"default-src 'none'; style-src '{allowed(pack_style(read(*STYLES)))}'; "
        f"script-src '{allowed(pack_script(read(*SCRIPTS)))}'; "
        "base-uri 'none'; form-action 'none'"
    )
    assert not re.search(r"https?://|src=|@import|url\(|<link|\{\{", html)
    markup = re.sub(r"<(script|style).*?</\1>", "", html, flags=re.DOTALL)  # in a script `style=` sets a variable
    assert len(markup) > 5000
    assert not re.search(r"style=|\son\w+=", markup)


def test_without_javascript_it_is_the_walk_of_the_terminal() -> None:
    found = walked("n1c1h4w4k1r2s2")
    text = re.search(r"<noscript>.*?<pre>(.*?)</pre>", explain_page(found), re.DOTALL)
    assert text is not None
    assert unescape(text[1]).splitlines() == [line.plain.rstrip() for line in text_page(found, 80)]


def test_the_note_s_page_is_small() -> None:
    assert len(explain_page(walked("n1c1h4w4k1r2s2")).encode()) <= 260_000


def test_no_text_ends_the_json() -> None:
    found = walked("n1c1h4w4k1r2s2")
    evil = replace(found, proof=(replace(found.proof[0], against="</script><b>&{{css}}"), *found.proof[1:]))
    html = explain_page(evil)
    assert "</script><b>" not in html.split('id="data">')[1]
    assert data_of(html)["trace"]["proof"][0]["against"] == "</script><b>&{{css}}"


def test_a_part_that_looks_like_a_place_is_text() -> None:
    parts = dict.fromkeys("title script_hash style_hash css js walk data".split(), "{{css}}")
    assert fill("explain.html", parts).count("{{css}}") == read("explain.html").count("{{")


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ("n1c512h512w128k1r3s3_pd1", "products in one filter's output"),
        ("n64c64h112w112k1r1s1", "numbers in padded x, w and y"),
    ],
)
def test_what_a_browser_cannot_show_is_refused_in_a_sentence(shape: str, words: str) -> None:
    with pytest.raises(ConvbenchError, match="the limit of a page is") as refused:
        check_size(ConvSpec.parse(shape))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(["explain", *arguments])
    code = stopped.value.code or 0
    assert isinstance(code, int)
    return code


def test_html_writes_a_file_and_prints_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "page.html"
    assert run(AWKWARD, "--at", "1,2", "--filter", "4", "--image", "1", "--html", str(path)) == 0
    assert capsys.readouterr() == ("", f"convbench: wrote {path}\n")
    assert data_of(path.read_text(encoding="utf-8"))["trace"]["cell"] == {"n": 1, "k": 4, "p": 1, "q": 2}


def test_html_takes_padding_that_differs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("n1c3h7w6k2r3s3_st2_pd1x2x0x1", "--html", "-") == 0
    trace = data_of(capsys.readouterr().out)["trace"]
    assert trace["spec"] == "n1c3h7w6k2r3s3_st2_pd1x2x0x1"
    assert len(trace["y"]) == 2 * 4 * 3


def test_html_to_a_dash_is_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--html", "-") == 0
    assert capsys.readouterr().out.startswith("<!doctype html>")


def test_html_and_json_together_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--html", "a.html", "--json") == 2
    assert "--json cannot be combined with --html" in capsys.readouterr().err


def test_a_page_that_is_too_large_is_refused_before_the_proof(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convbench.explain.walk.walk", lambda *_: pytest.fail("it was proved"))
    path = tmp_path / "page.html"
    assert run("n8c64h112w112k1r1s1", "--html", str(path)) == 2
    assert "--html of n8c64h112w112k1r1s1" in capsys.readouterr().err
    assert not path.exists()


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--html", str(tmp_path / "none" / "page.html")) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
