"""Where backends come from, and what a plug-in may be."""

import importlib
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from convbench import ConvbenchError, Failed, backend, discover
from convbench.discovery import load_plugin, sources
from convbench.verify.lineup import refusal
from tests.conftest import make_case

PLUGIN = '''
"""Two ways of one library."""
import torch
from convbench import backend
from convbench.backends.torch import torch as imported  # not this file's own

def pack(w, spec):
    return w.flatten(1)

@backend(family="im2col", source="here", devices={"cpu"}, prepare=pack)
def my_conv(x, packed, spec):
    """Unfolds."""
    patches = torch.nn.functional.unfold(x, (spec.r, spec.s), spec.dilation, spec.padding, spec.stride)
    return (packed @ patches).reshape(spec.y_shape)

@backend(family="direct", source="here")
def other_conv(x, w, spec):
    return torch.nn.functional.conv2d(x, w)
'''


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN)
    return path


def test_a_plugin_holds_several_backends_and_not_those_it_imports(plugin: Path) -> None:
    mine, other = load_plugin(str(plugin))
    assert (mine.name, mine.doc, mine.family) == ("my-conv", "Unfolds.", "im2col")
    assert (other.name, other.doc) == ("other-conv", "Two ways of one library.")
    assert mine.why_not(make_case("n1c1h4w4k1r2s2", device="cuda")) == "my-conv runs on cpu, not on cuda"


def test_a_plugin_joins_the_built_in_backends(plugin: Path) -> None:
    loaded, unavailable = discover([str(plugin)])
    names = [one.name for one in loaded]
    assert names[0] == "torch"
    assert names[-2:] == ["my-conv", "other-conv"]
    assert not unavailable


def test_names_choose_and_order(plugin: Path) -> None:
    loaded, _ = discover([str(plugin)], names=["my-conv", "torch"])
    assert [one.name for one in loaded] == ["my-conv", "torch"]


def test_an_unknown_name_is_refused_with_the_nearest(plugin: Path) -> None:
    with pytest.raises(ConvbenchError, match="did you mean 'unfold-einsum'"):
        discover(names=["unfold-einsun"])


def test_two_backends_of_one_name_are_refused_with_both_origins(tmp_path: Path) -> None:
    twin = tmp_path / "twin.py"
    twin.write_text(PLUGIN.replace("my_conv", "unfold_einsum"))
    with pytest.raises(ConvbenchError, match=r"convbench\.backends\.unfold_einsum, one from plug-in .*twin\.py"):
        discover([str(twin)])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def f(:", "could not be loaded: SyntaxError"),
        ("import nothing_of_this_name", "No module named"),
        ("x = 1", "has no backend; decorate a function"),
        (
            "def mine(x, w, spec): ...\nfrom math import ceil",
            "give one of its functions, .*broken.py::mine, or decorate",
        ),
        (
            "from convbench import backend\n@backend(family='fft', source='')\ndef f(x, w, bias=None, stride=1): ...",
            r"the third argument of f is bias, as of F\.conv2d, .* give FILE\.py::f",
        ),
        ("from convbench import backend\n@backend(family='magic', source='')\ndef f(x, w, s): ...", "unknown family"),
        ("from convbench import backend\n@backend(family='fft', source='', dtypes={'fp8'})\ndef f(): ...", "fp8"),
    ],
)
def test_a_broken_plugin_is_refused_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(ConvbenchError, match=words):
        load_plugin(str(path))


@pytest.mark.parametrize("name", ["nowhere.py", "no_such_module_here"])
def test_a_missing_plugin_is_refused(name: str) -> None:
    with pytest.raises(ConvbenchError, match=name.replace(".", r"\.")):
        load_plugin(name)


def test_a_file_is_a_module_of_its_own_name_unless_that_is_taken(tmp_path: Path) -> None:
    """numba keeps that name in the cache beside the file, where the user's own program finds it."""
    for stem, name in (("some_kernel", "some_kernel"), ("json", "convbench_file_json"), ("a-b", "convbench_file_a-b")):
        path = tmp_path / f"{stem}.py"
        for number in range(2):  # a file that was edited is run anew
            path.write_text(f"number = {number}\n{PLUGIN * (1 + number)}")
            load_plugin(str(path))
            assert sys.modules[name].number == number
    assert importlib.import_module("some_kernel") is sys.modules["some_kernel"]
    assert importlib.import_module("json").loads("1") == 1
    other = tmp_path / "other" / "some_kernel.py"
    other.parent.mkdir()
    other.write_text(PLUGIN)
    load_plugin(str(other))
    assert sys.modules["some_kernel"].__file__ == str(tmp_path / "some_kernel.py")


def test_an_importable_module_is_a_plugin(plugin: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(plugin.parent)
    assert [one.name for one in load_plugin("mine")] == ["my-conv", "other-conv"]
    del sys.modules["mine"]


def install(folder: Path, name: str, text: str) -> None:
    """A distribution with one module and one entry point, as an installer would leave it."""
    folder.joinpath(f"{name}_module.py").write_text(text)
    info = folder / f"{name}-1.2.dist-info"
    info.mkdir()
    info.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    point = name.replace("_", "-")
    info.joinpath("entry_points.txt").write_text(f"[convbench.backends]\n{point} = {name}_module:{name}\n")


def test_an_installed_package_brings_a_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "installed_conv", PLUGIN.replace("my_conv", "installed_conv"))
    monkeypatch.syspath_prepend(tmp_path)
    loaded, _ = discover()
    assert loaded[-1].name == "installed-conv"
    (card,) = (source for source in sources() if source.name == "installed-conv")
    assert card.origin == "installed_conv 1.2"
    sys.modules.pop("installed_conv_module")


def test_a_missing_dependency_is_a_line_and_not_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "broken_conv", "import nothing_of_this_name")
    monkeypatch.syspath_prepend(tmp_path)
    loaded, unavailable = discover()
    assert [one.name for one in unavailable] == ["broken-conv"]
    assert unavailable[0].reason == "No module named 'nothing_of_this_name'"
    refusing = unavailable[0].as_backend()
    assert refusing.why_not(make_case("n1c1h4w4k1r2s2")) == "unavailable: No module named 'nothing_of_this_name'"
    assert "torch" in [one.name for one in loaded]


def test_a_dependency_that_breaks_in_any_way_is_a_line_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "odd_conv", "raise OSError('libfoo.so: cannot open')")
    monkeypatch.syspath_prepend(tmp_path)
    assert discover()[1][0].reason == "OSError: libfoo.so: cannot open"


def test_an_installed_backend_that_leaves_at_its_import_is_a_failure_and_not_a_missing_dependency(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "leaving_conv", "import os; os._exit(0)")
    monkeypatch.syspath_prepend(tmp_path)
    (gone,) = discover()[1]
    assert (gone.reason, gone.broken) == ("SystemExit: os._exit(0)", True)
    outcome = refusal(gone.as_backend(), make_case("n1c1h4w4k1r2s2"))
    assert outcome == Failed("unavailable: SystemExit: os._exit(0)")


def test_an_installed_backend_with_the_name_of_a_built_in_one_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, "unfold_einsum", PLUGIN.replace("my_conv", "unfold_einsum"))
    monkeypatch.syspath_prepend(tmp_path)
    loaded, unavailable = discover(names=["unfold-einsum"])
    assert [(one.name, one.built_in) for one in loaded] == [("unfold-einsum", True)]
    assert unavailable == []
    assert "unfold_einsum_module" not in sys.modules


def test_nothing_makes_a_backend_of_others_one_of_ours_or_excuses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    excused = "source='here', roundings=lambda case: 9, defects=lambda *_: 'known', actual_flops=lambda spec: 1)\ndef"
    text = PLUGIN.replace('source="here", devices={"cpu"}, prepare=pack)\ndef', excused)
    text += "object.__setattr__(my_conv, 'origin', 'convbench.backends.torch')\n"
    install(tmp_path, "my_conv", text)
    monkeypatch.syspath_prepend(tmp_path)
    ((mine,), _) = discover(names=["my-conv"])
    assert not mine.built_in
    assert (mine.roundings, mine.defects, mine.actual_flops) == (None, None, None)
    assert mine.ignored == ("roundings", "actual_flops", "defects")
    assert mine.count_roundings(make_case("n1c1h4w4k1r2s2", dtype="bf16")) == 0
    sys.modules.pop("my_conv_module")


@pytest.mark.parametrize("words", ["macs_per_s=0.0", "macs_per_s=float('nan')", "max_macs=-1"])
def test_a_speed_that_cannot_be_is_refused(tmp_path: Path, words: str) -> None:
    path = tmp_path / "odd.py"
    path.write_text(PLUGIN.replace('family="direct"', f'family="direct", {words}'))
    with pytest.raises(ConvbenchError, match=rf"other-conv of plug-in .*{words.partition('=')[0]}"):
        load_plugin(str(path))


def test_the_decorator_keeps_no_registry() -> None:
    before = [one.name for one in discover()[0]]

    @backend(family="direct", source="")
    def stray(x: object, w: object, spec: object) -> None: ...

    assert stray.name == "stray"
    assert [one.name for one in discover()[0]] == before


@pytest.mark.program
def test_cards_are_read_without_importing_torch() -> None:
    code = """
        import sys
        from convbench.discovery import sources
        cards = {card.name: card for card in sources()}
        assert "torch" not in sys.modules
        for card in (one for one in cards.values() if not one.missing):
            loaded = card.load()
            assert loaded.name == card.name
            assert tuple(sorted(loaded.devices)) == card.devices
            assert loaded.family == card.family
            assert loaded.doc == card.doc, (loaded.doc, card.doc)
        print(len(cards))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert int(done.stdout) >= 6


def test_what_must_run_is_said_for_each_pass() -> None:
    def fn(x: object, w: object, spec: object) -> None: ...

    assert backend(family="vendor", source="", must_run="aten::bmm")(fn).must_run == {"fprop": "aten::bmm"}
    assert backend(family="vendor", source="", must_run={"wgrad": "aten::bmm"})(fn).must_run == {"wgrad": "aten::bmm"}
    with pytest.raises(ConvbenchError, match="unknown pass 'backward'"):
        backend(family="vendor", source="", must_run={"backward": "aten::bmm"})


def test_what_it_can_do_is_any_collection_of_names_and_nothing_need_be_promised() -> None:
    def fn(x: object, w: object, spec: object) -> None: ...

    made = backend(family="direct", source="", devices=iter(["cpu"]), dtypes=["fp32"], must_run=None)(fn)
    assert (made.devices, made.dtypes, made.must_run) == (frozenset({"cpu"}), frozenset({"fp32"}), {})


def test_a_backend_without_a_gradient_refuses_it_in_words(plugin: Path) -> None:
    mine = load_plugin(str(plugin))[0]
    assert mine.why_not(make_case("n1c1h4w4k1r2s2", pass_="wgrad")) == "my-conv has no wgrad"
    assert mine.why_not(make_case("n1c1h4w4k1r2s2", epilogue="bias_relu")) is None
