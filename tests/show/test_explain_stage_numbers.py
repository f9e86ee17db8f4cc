"""What the stage of the page computes, without a browser: time, pictures and edits, code, languages."""

# ruff: noqa: RUF001  # the times and minus signs are meant

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from convbench import ConvSpec
from convbench.explain.walk import small_integers
from convbench.ran.rules import Setting, apply_rule
from convbench.show.explain_evidence import read as read_evidence
from tests.show.page_engine import Page
from tests.strategies import specs

NOTE = "n1c1h4w4k1r2s2"
LIVE = Path(__file__).parents[2] / "docs" / "live"
CHOSEN = """(shape, choice) => {
  const spec = convbench.parse(shape);
  const own = choice.own ? convbench.unpackOwn(choice.own) : null;
  const self = convbench.problem(spec, convbench.chosen(spec, { ...choice, own }));
  const k = Array.from({ length: self.spec.k }, (_, k) => k), n = Array.from({ length: self.spec.n }, (_, n) => n);
  const planes = (way) => n.flatMap((n) => k.flatMap((k) => Array.from(convbench.ALGORITHMS[way].run(self, n, k))));
  return { x: Array.from(self.x), w: Array.from(self.w), loops: planes("loops"), shift: planes("shift"),
    unfold: planes("unfold") };
}"""


@pytest.fixture(scope="module")
def page() -> Page:
    return Page()


def edits(chance: random.Random, size: int) -> dict[int, float]:
    """Sixteenths, so that sums are exact."""
    return {chance.randrange(size): chance.randrange(-1600, 1600) / 16 for _ in range(chance.randrange(4))}


def as_text(changed: dict[int, float]) -> str:
    return ",".join(f"{index}:{value:g}" for index, value in changed.items())


@pytest.mark.parametrize("number", range(20))
def test_pictures_kernels_and_edits_give_what_torch_gives(page: Page, number: int) -> None:
    chance = random.Random(number)
    groups = chance.choice([1, 1, 3])
    padding = chance.choice([0, 1])
    spec = ConvSpec(
        n=chance.choice([1, 2]),
        c=groups * chance.choice([1, 3]),
        h=chance.randrange(5, 12),
        w=chance.randrange(5, 12),
        k=groups * chance.choice([1, 2]),
        r=chance.choice([2, 3, 4]),
        s=chance.choice([1, 3]),
        stride=(chance.choice([1, 2]), 1),
        padding=(padding, padding),
        groups=groups,
    )
    image = chance.choice(["", "seven", "rings", "house", "face", "own"])
    kernel = chance.choice(["", "identity", "sobel-x", "sobel-y", "laplacian", "blur", "sharpen"])
    own = page.evaluate("(all) => convbench.packOwn({ h: 3, w: 5, planes: [all] })", list(range(0, 150, 10)))
    x_edits = edits(chance, spec.n * spec.c * spec.h * spec.w)
    w_edits = edits(chance, spec.k * spec.taps)
    choice = {"image": image, "kernel": kernel, "own": own, "x": as_text(x_edits), "w": as_text(w_edits)}
    got = page.evaluate(CHOSEN, str(spec), choice)
    plain = page.evaluate(CHOSEN, str(spec), {**choice, "x": "", "w": ""})
    x, w = (torch.tensor(plain[name], dtype=torch.float64) for name in ("x", "w"))
    drawn = small_integers(spec, 0)
    if not image:
        assert torch.equal(x, drawn[0].flatten())
    if not kernel:
        assert torch.equal(w, drawn[1].flatten())
    for tensor, changed in ((x, x_edits), (w, w_edits)):
        for index, value in changed.items():
            tensor[index] = value
    assert got["x"] == x.tolist()
    assert got["w"] == w.tolist()
    y = F.conv2d(x.reshape(spec.x_shape), w.reshape(spec.w_shape), None, spec.stride, padding, 1, groups)
    for way in ("loops", "shift", "unfold"):
        assert got[way] == y.flatten().tolist(), way


def test_a_preset_is_centred_cut_and_turned_for_each_filter(page: Page) -> None:
    weights = "(shape, name) => { const spec = convbench.parse(shape);"
    weights += "return Array.from(convbench.chosen(spec, { image: '', kernel: name }).w) }"
    sobel = [-1, 0, 1, -2, 0, 2, -1, 0, 1]
    assert page.evaluate(weights, "n1c1h9w9k1r3s3", "sobel-x") == sobel
    turned = torch.rot90(torch.tensor(sobel).reshape(3, 3), -1).flatten().tolist()
    assert page.evaluate(weights, "n1c1h9w9k2r3s3", "sobel-x") == [*sobel, *turned]
    assert page.evaluate(weights, "n1c1h9w9k1r5s5", "identity") == [0] * 12 + [1] + [0] * 12
    assert page.evaluate(weights, "n1c1h9w9k1r3s3", "blur") == [one / 16 for one in (1, 2, 1, 2, 4, 2, 1, 2, 1)]


def test_a_picture_of_one_s_own_comes_back_from_the_address(page: Page) -> None:
    chance = random.Random(1)
    for height, width, many in ((1, 1, 1), (2, 3, 1), (5, 7, 3), (40, 40, 3)):
        planes = [[chance.randrange(256) for _ in range(height * width)] for _ in range(many)]
        again = page.evaluate(
            "(h, w, planes) => { const { planes: all, ...size } = convbench.unpackOwn("
            "convbench.packOwn({ h, w, planes }));"
            "return { ...size, planes: all.map((one) => Array.from(one)) } }",
            height,
            width,
            planes,
        )
        assert again == {"h": height, "w": width, "planes": planes}
    for broken in ("", "2x2x1:AAA", "0x2x1:", "41x1x1:AAAA", "2x2x2:AAAAAAAA", "2x2x1:????????"):
        assert page.evaluate("(given) => convbench.unpackOwn(given)", broken) is None


def test_step_8_says_at_which_size_of_the_image_torch_turns(page: Page) -> None:
    """By the rule that the next test but one compares with torch."""
    names = "(shape) => convbench.torchPath(convbench.derive(convbench.parse(shape)))"
    for c, side in ((1, 143), (3, 82), (64, 17)):
        small, large = (page.evaluate(names, f"n1c{c}h{one}w{one}k1r2s2") for one in (side, side + 1))
        assert (small["name"], large["name"], large["small"]) == ("Slow2d", "oneDNN", "Slow2d")


def test_what_is_no_edit_changes_nothing(page: Page) -> None:
    read = "(given, size) => Array.from(convbench.readEdits(given, size))"
    assert page.evaluate(read, "0:5,3:-1.5", 4) == [[0, 5], [3, -1.5]]
    for broken in ("", "4:1", "-1:1", "0:", "0:1e9", "0:Infinity", "x", "0:9999999", ",,"):
        assert page.evaluate(read, broken, 4) == []
    number = "(typed) => convbench.readNumber(typed)"
    typed = {" 7 ": 7, "-0,5": -0.5, "−3": -3, "": None, "x": None, "1e7": None}
    assert {words: page.evaluate(number, words) for words in typed} == typed


# Time.


@given(many=st.integers(1, 4000), step=st.integers(1, 8), u=st.floats(0, 1))
@settings(max_examples=60)
def test_a_moment_is_a_function_of_time_and_fills_in_order(page: Page, many: int, step: int, u: float) -> None:
    spec = {"l": many, "taps": 9}
    found = page.evaluate(
        "(l, spec, step, u) => { const { plan, at, filled, timeOf } = convbench.timeline; const walk = plan(l);"
        "const entry = walk.steps[step - 1]; const moment = (t) => at(walk, entry.start + t * entry.length * 0.999999);"
        "return { now: moment(u), full: filled(moment(u), spec), later: filled(moment(Math.min(1, u + 0.01)), spec),"
        "end: filled(moment(1), spec), total: walk.total, back: entry.slots ?"
        "at(walk, entry.start + timeOf(entry, Math.floor(u * (l - 1)))).l : null } }",
        many,
        spec,
        step,
        u,
    )
    assert found["now"]["step"] == step
    assert 0 <= found["now"]["l"] < many
    assert found["total"] < 80
    names = ("columns", "wFlat", "yFlat", "y")
    most = dict(zip(names, (many, 9, many, many), strict=True))
    for name in names:
        assert 0 <= found["full"][name] <= found["later"][name] <= most[name]
    own = {2: "y", 4: "columns", 5: "wFlat", 6: "yFlat", 7: "y"}.get(step)
    if own:
        assert found["end"][own] == most[own]
    if found["back"] is not None:
        assert found["back"] == int(u * (many - 1))  # the time of a position leads back to it


# The code of each step.


@settings(max_examples=40)
@given(
    spec=specs(largest=5, least_batch=1, any_padding=True),
    seed=st.integers(0, 2),
    image=st.sampled_from(["", "", "seven", "own"]),
    kernel=st.sampled_from(["", "", "sobel-x", "blur"]),
    x=st.sampled_from(["", "0:2.5", "0:0.1,1:-7", "0:9"]),
    w=st.sampled_from(["", "0:-0.5"]),
    data=st.data(),
)
def test_the_lines_of_torch_run_and_compute_what_the_page_shows(
    page: Page, spec: ConvSpec, seed: int, data: st.DataObject, **choice: str
) -> None:
    cell = {name: data.draw(st.integers(0, size - 1)) for name, size in zip("nkpq", spec.y_shape, strict=True)}
    own = page.evaluate("(all) => convbench.packOwn({ h: 3, w: 5, planes: [all] })", list(range(0, 150, 10)))
    got = page.evaluate(
        "(shape, seed, state) => { const spec = { ...convbench.parse(shape), seed };"
        "const own = convbench.unpackOwn(state.own);"
        "const self = convbench.problem(spec, convbench.chosen(spec, { ...state, own }));"
        "return { lines: [1, 2, 3, 4, 5, 6, 7, 8].map((step) =>"
        "convbench.program(self, step, state).join('\\n')), total: convbench.totalOf(convbench.terms(self, state)),"
        "x: Array.from(self.x), w: Array.from(self.w) } }",
        str(spec),
        seed,
        {**cell, **choice, "own": own},
    )
    names: dict[str, Any] = {"torch": torch, "F": F}
    exec("\n".join(got["lines"]), names)  # what the page shows, to see that it is true
    for name, shape in (("x", spec.x_shape), ("w", spec.w_shape)):
        assert tuple(names[name].shape) == shape
        assert names[name].flatten().tolist() == got[name]
    assert torch.allclose(names["y"], names["y_torch"], rtol=0, atol=1e-10)
    assert names["total"] == pytest.approx(got["total"], abs=1e-10)
    assert names["y"][tuple(cell.values())].item() == pytest.approx(got["total"], abs=1e-10)


def test_a_picture_that_is_too_large_to_write_leaves_code_that_runs(page: Page) -> None:
    lines = page.evaluate(
        "(shape) => { const spec = convbench.parse(shape); const state = { image: 'seven', kernel: '', x: '', w: '' };"
        "return convbench.program(convbench.problem(spec, convbench.chosen(spec, state)), 1, state) }",
        "n1c4h64w64k1r1s1",
    )
    names: dict[str, Any] = {"torch": torch}
    exec("\n".join(lines), names)  # as above
    assert names["x"].shape == (1, 4, 64, 64)
    assert "stands" not in lines[0]
    assert "in place of the picture" in lines[0]


# Languages.


def shape_of(page: Page, name: str) -> Any:
    found: dict[str, str] = page.evaluate(
        "(name) => { const found = {}; const walk = (path, one) => { if (one && typeof one === 'object')"
        "Object.keys(one).forEach((key) => walk(`${path}.${key}`, one[key])); else found[path] = typeof one ==="
        "'function' ? `function ${one.length}` : typeof one; }; walk('', convbench.languages[name]); return found }",
        name,
    )
    return found


def test_each_language_has_every_sentence(page: Page) -> None:
    names = page.evaluate("() => Object.keys(convbench.languages)")
    assert names == ["en", "de"]
    english = shape_of(page, "en")
    assert len(english) > 250
    for name in names[1:]:
        assert shape_of(page, name) == english
        same = page.evaluate(
            "(name) => { const { en, [name]: other } = convbench.languages; return ['page', 'choose', 'stage', 'steps',"
            "'notes', 'proof', 'links', 'complaints', 'ran', 'backward', 'ways', 'quiz'].filter((part) => "
            "en[part] === other[part]) }",
            name,
        )
        assert same == []


def test_what_convbench_ran_writes_of_the_cpu_is_told_in_german(page: Page) -> None:
    """Every sentence of the committed page, and those of other rules."""
    evidence = read_evidence(str(LIVE / "evidence.json"), ConvSpec.parse(NOTE))
    said = [*evidence["sentences"], *(claim["words"] for run in evidence["runs"] for claim in run["claims"])]
    assert len(said) > 8
    setting = Setting(torch="2", library="", threads=2, onednn=True, onednn_bf16=False, onednn_fp16=False)
    for shape in (
        NOTE,
        "n2c1h4w4k1r2s2",
        "n1c2h9w9k2r2s2_g2",
        "n1c1h9w9k1r4s4",
        "n1c1h4w4k1r2s2_dl2",
        "n1c9h99w99k1r1s2",
    ):
        rule = apply_rule(ConvSpec.parse(shape), dtype="fp32", layout="nchw", device="cpu", setting=setting)
        said.append(f"Why: {rule.why}.")
    said += [
        "The size of the image decides: up to 143x143 it is Slow2d, from 144x144 on oneDNN.",
        "The size of the image does not decide: it is the same for 8x8 and 512x512.",
    ]
    told = page.evaluate("(all) => all.map(convbench.languages.de.ran.told)", said)
    for english, german in zip(said, told, strict=True):
        assert not re.search(r"\b(the|it|of|is|and|which|so|built|ran)\b", german.replace("convbench ran", "")), german
        assert re.findall(r"\d+", german) == re.findall(r"\d+", english)
    assert page.evaluate("(all) => all.map(convbench.languages.en.ran.told)", said) == said
    assert page.evaluate("() => convbench.languages.de.ran.told('Something new.')") == "Something new."


def test_german_says_what_is_the_page_s_own_in_german(page: Page) -> None:
    """Quiz, notes and story of a step; the names of sizes and of torch's tensors are English everywhere."""
    said = page.evaluate(
        "(shape) => { convbench.words = convbench.languages.de; const self = convbench.problem(convbench.parse(shape));"
        "const story = convbench.tell(self, { n: 0, k: 0, c: 0, p: 1, q: 2 });"
        "const found = [2, 3, 5, 6, 7, 8].flatMap((step) => [story.text(step), story.shape(step),"
        "story.notes(step, { channels: [0], filters: [0] })]); for (const level of [1, 2, 3, 4]) {"
        "for (let i = 0; i < 12; i++) { const one = convbench.quiz.question(i, level);"
        "found.push(one.prompt, one.why, convbench.words.quiz.problem(one.spec)) } }"
        "convbench.words = convbench.languages.en; return found.flat(4) }",
        NOTE,
    )
    english = r"\b(the|of|is|with|which|how|what|row|rows|column|sliding|locations?|padding|reads?)\b"
    found = [one for one in said if re.search(english, one.replace("·stride − padding + ", ""), re.IGNORECASE)]
    assert found == []
    assert len(said) > 150


def test_the_rule_for_what_torch_runs_is_that_of_torch(page: Page) -> None:
    if not torch.backends.mkldnn.is_available():
        pytest.fail("torch without oneDNN has another rule, which the page does not know")
    chance = random.Random(3)
    for _ in range(40):
        size, kernel = chance.choice([4, 40, 143, 144, 150]), chance.choice([1, 2, 3, 4, 5])
        spec = ConvSpec(
            n=1,
            c=chance.choice([1, 3, 64]),
            h=size + 8,
            w=size,
            k=chance.choice([1, 4]),
            r=kernel,
            s=chance.choice([1, 3, 5]) if size > 4 else 1,
            dilation=(chance.choice([1, 1, 2]),) * 2 if size > 8 else (1, 1),
        )
        said = page.evaluate("(shape) => convbench.torchPath(convbench.derive(convbench.parse(shape))).name", str(spec))
        asked = torch._C._select_conv_backend(
            torch.empty(spec.x_shape),
            torch.empty(spec.w_shape),
            None,
            spec.stride,
            spec.padding,
            spec.dilation,
            False,
            (0, 0),
            1,
        )
        assert {"oneDNN": "Mkldnn"}.get(said, said) == asked.name, spec


def test_the_story_uses_the_letters_and_sentences_of_the_terminal(page: Page) -> None:
    told = page.evaluate(
        "(shape) => { const self = convbench.problem(convbench.parse(shape));"
        "const story = convbench.tell(self, { n: 0, k: 0, c: 0, p: 1, q: 2 });"
        "return [1, 2, 3, 4, 5, 6, 7, 8].map((step) => [story.text(step),"
        "story.shape(step), story.live({ step, l: 5, k: 0, agrees: null }),"
        "story.notes(step, { channels: [0], filters: [0] })]) }",
        NOTE,
    )
    said = json.dumps(told, ensure_ascii=False)
    for words in (
        "Input image 1 × 1 × 4 × 4: batch × input_channel × height × width.",
        "nested for-loops over height, width, kernel rows and kernel columns",
        "Each column is one patch, the neighborhood that the kernel covers at one location, flattened into a vector.",
        "These 4 values are kernel elements, not channels.",
        "Each flattened patch is dot-multiplied with each flattened kernel; the shared index p is summed over.",
        "(batch, output_channel, H_out, W_out)",
        "A flipped kernel (a true convolution) would give 86 here.",
        "in 4 patches, so it would come back as 28",
        "the data set, its transforms and its DataLoader: convbench run does that",
        "a convolution is unfold, flatten and one matrix multiplication, and reshape",
    ):
        assert words in said
    for old in ("P·Q", "R·S", "taps", "N, K", "stands"):
        assert old not in said
