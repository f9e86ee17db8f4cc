"""The page: whole, of the CSV alone, and no text in it becomes code."""

import base64
import hashlib
import json
import re
import shlex
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from convbench import Timed, Wrong
from convbench.show.page import again, page, verify_page
from convbench.show.units import seconds
from tests.show.results_page import EVIL, QUICK, RESULTS, entries, faults, hostile

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Outline(HTMLParser):
    """Tags and texts, in order; every tag must be closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        inside = self._open[-1] if self._open else ""
        (self.scripts if inside == "script" else self.texts).append(data)


def data_of(outline: Outline) -> Any:
    return json.loads(outline.scripts[0])


@pytest.fixture(scope="module")
def plain() -> str:
    return page(entries(*sorted(RESULTS.glob("*.csv"))))


def test_nothing_is_fetched_and_only_the_page_s_own_script_may_run(plain: str) -> None:
    outline = Outline(plain)
    assert not [tag for tag, _ in outline.tags if tag in ("link", "img", "iframe", "object", "embed", "base")]
    assert not [name for _, names in outline.tags for name in names if name == "src" or name.startswith("on")]
    addresses = set(re.findall(r"https?://[^\s\"'<)]+", plain))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, not an address
    assert all((names.get("href") or "#").startswith("#") for _, names in outline.tags)
    (policy,) = [str(names["content"]) for _, names in outline.tags if names.get("http-equiv")]
    digest = base64.b64encode(hashlib.sha256(outline.scripts[1].encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def test_every_row_stands_in_the_table_and_in_the_data(plain: str) -> None:
    outline = Outline(plain)
    rows = [names["data-row"] for tag, names in outline.tags if tag == "tr" and "data-row" in names]
    assert rows == [str(i) for i in range(210)]
    data = data_of(outline)
    assert len(data["rows"]) == 210
    torch = data["rows"][0]
    assert (torch["backend"], torch["status"], torch["count"], torch["baseline"]) == ("torch", "baseline", 15, 0)
    facts = dict(zip(data["facts"], torch["facts"], strict=True))
    assert facts["spec"] == "n1c1h4w4k1r2s2"
    assert data["contexts"][torch["context"]]["command"] == "convbench bench --csv results/quick-cpu-zen4.csv"
    assert {row["baseline"] is None for row in data["rows"]} == {False}


def test_samples_keep_three_digits_and_say_how_many_were_drawn() -> None:
    own = entries(QUICK)
    for row, entry in zip(data_of(Outline(page(own)))["rows"], own, strict=True):
        samples = [float(one) for one in entry.row["samples_s"].split()]
        assert row["count"] == len(samples)
        assert row["drawn"] == len(row["samples"]) == min(200, len(samples))
        if row["drawn"] == row["count"]:
            assert [one * 1e-3 * row["median_s"] for one in row["samples"]] == pytest.approx(
                samples, abs=0.6e-3 * row["median_s"] if samples else 0
            )


def test_a_time_in_doubt_is_marked_and_told() -> None:
    own = [one for one in entries(QUICK) if isinstance(one.result.outcome, Timed)][:2]
    outcome = own[1].result.outcome
    assert isinstance(outcome, Timed)
    doubted = replace(own[1].result, outcome=replace(outcome, noise=replace(outcome.noise, contended=1)))
    text = page([own[0], replace(own[1], result=doubted)])
    assert "? 1 row timed on a GPU in use by other processes: trust ratios, not times" in text
    assert f">?{seconds(outcome.median_s)}<" in text
    assert "timed on a GPU in use by other processes<" in text
    assert "in use by other processes" not in page(own)


def test_the_verdict_stands_first(plain: str) -> None:
    head = plain[plain.index("<header>") : plain.index("</header>")]
    assert "141 timed, 69 skipped" in head
    assert "Fastest overall, by regret: onednn" in head
    assert "onednn beats torch on 12 and is undecided on 11 of 23 cases" in head


def test_hostile_text_stays_text(tmp_path: Path) -> None:
    text = page(entries(hostile(tmp_path / "evil.csv")))
    outline = Outline(text)
    assert [tag for tag, _ in outline.tags].count("script") == 2
    assert "img" not in {tag for tag, _ in outline.tags}
    assert "<script>window" not in text
    data = data_of(outline)
    assert any(row["backend"] == EVIL for row in data["rows"])
    assert "<" not in outline.scripts[0]
    assert EVIL in outline.texts  # {{data}} in a cell is text too
    assert not [name for _, names in outline.tags for name in names if name.startswith("on")]


def test_a_command_is_fit_for_a_shell_whatever_the_cells_hold(tmp_path: Path) -> None:
    own = entries(hostile(tmp_path / "evil.csv"))
    evil = next(entry for entry in own if entry.result.backend == EVIL)
    words = shlex.split(again(evil))
    assert words[:4] == ["convbench", "bench", "--backend", f"torch,{EVIL}"]
    assert words[-4:] == ["2", "--plugin", "my kernel.py", "--force"]
    bad = next(entry for entry in own if entry.status == "wrong")
    assert shlex.split(again(bad))[:4] == ["convbench", "verify", "--backend", "unfold-einsum"]
    assert again(entries(QUICK)[0]) == (
        "convbench bench --backend torch --shape n1c1h4w4k1r2s2 --dtype fp32 --layout nchw --precision ieee "
        "--device cpu --seed 0 --threads 2"
    )


def test_wrong_and_failed_rows_come_with_reason_and_command(tmp_path: Path) -> None:
    text = page(entries(hostile(tmp_path / "evil.csv")))
    faults = text[text.index('<section id="faults">') : text.index('<section id="machine">')]
    assert faults.count("convbench verify --backend") == 14
    assert "✕ wrong: unfold-einsum on note" in faults
    assert "cudnn skipped 12 cases" in faults
    assert "14 wrong or failed" in text[: text.index("</header>")]


def test_a_search_that_was_cut_is_told_on_the_page_of_verify() -> None:
    mine, *others = faults()
    assert isinstance(mine.result.outcome, Wrong)

    def told(**cut: Any) -> str:
        assert isinstance(mine.result.outcome, Wrong)
        outcome = Wrong(replace(mine.result.outcome.check, **cut))
        row = {**mine.row} | {name: str(value) for name, value in cut.items()}
        return verify_page([replace(mine, row=row, result=replace(mine.result, outcome=outcome)), *others])

    assert "<p>The smallest that was found:</p>" in told()
    assert "<p>The smallest so far (search cut after 60 tries):</p>" in told(smallest_cut=60)
    assert "<p>No smaller problem so far (search cut after 60 tries).</p>" in told(smallest="", smallest_cut=60)
    assert "no cause found (search cut after 99 experiments)" in told(cause="", cause_cut=99)


def test_ceilings_are_a_column_and_roofs_only_where_they_were_measured(plain: str, tmp_path: Path) -> None:
    assert ">% of peak</th>" not in plain
    assert "no roofs: the file has no measured ceilings" in plain
    text = page(entries(hostile(tmp_path / "evil.csv")))
    assert ">% of peak</th>" in text
    assert "cpu fp32 ieee 2 threads: 260 GFLOP/s, 21 GB/s" in text


def test_a_page_of_nothing_is_a_page() -> None:
    outline = Outline(page([]))
    assert "no rows; from ." in "".join(outline.texts)


def test_a_row_costs_less_than_two_kilobytes() -> None:
    own = entries(RESULTS / "resnet50-cpu-zen4.csv")
    many = [*own] * 8
    from dataclasses import replace

    rows = [replace(entry, number=i, file=f"{i // len(own)}.csv") for i, entry in enumerate(many)]
    few, all_ = len(page(rows[: len(own) * 4])), len(page(rows))
    assert (all_ - few) / (len(own) * 4) < 4_000  # each copy of the suite brings its own charts and machine
    from convbench.show.page import _cells, _columns, _table_row

    columns = _columns(own)
    assert max(len(_table_row(entry, columns, _cells(entry, columns))) for entry in own) < 900


def test_more_rows_than_a_browser_lists_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = entries(*sorted(RESULTS.glob("*.csv")))
    monkeypatch.setattr("convbench.show.page.MOST_ROWS", len(rows) - 1)
    text = page(rows)
    outline = Outline(text)
    words = " ".join(outline.texts)
    assert f"There are {len(rows):,} rows, and a page lists at most {len(rows) - 1:,}" in words
    assert data_of(outline)["rows"] == []
    assert not [tag for tag, _ in outline.tags if tag == "circle"]
    links = [attributes["href"] for tag, attributes in outline.tags if tag == "a"]
    assert links == ["#who", "#rows", "#faults", "#machine"]
    counts = re.findall(
        r'<th scope="row">(quick|resnet50)</th><td>torch</td><td>[^<]*</td>((?:<td class="n[^"]*">\d*</td>)+)', text
    )
    counted = sum(int(number) for _, cells in counts for number in re.findall(r">(\d+)<", cells))
    assert counted == sum(entry.result.backend == "torch" for entry in rows)
