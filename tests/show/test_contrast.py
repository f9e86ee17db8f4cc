"""Can the walk be read in the palettes that people have?"""

import pytest
from rich.color import Color
from rich.style import Style

from convbench.explain import STEPS
from convbench.explain.walk import choose_cell, small_integers, walk
from convbench.show.explain import page
from convbench.show.frames import _runs
from convbench.spec import ConvSpec
from tests.show.test_frames import contrast

# Ground and text, as each publishes them; of the sixteen colours the walk uses none for words.
PALETTES = {
    "Solarized dark": ("#002b36", "#839496"),
    "Solarized light": ("#fdf6e3", "#657b83"),
    "VS Code dark": ("#1e1e1e", "#cccccc"),
    "VS Code light": ("#ffffff", "#333333"),
    "xterm": ("#000000", "#e5e5e5"),
    "macOS Basic": ("#ffffff", "#000000"),
}
LEAST = 4.5  # WCAG 2.2, 1.4.3


def colour(one: Color | None, usual: str) -> str:
    """A colour of the terminal as #rrggbb; what a palette may change is not allowed here."""
    if one is None:
        return usual
    assert one.number is not None
    assert one.number >= 16, f"{one.name} is another colour in each palette"
    return str(one.get_truecolor().hex)


@pytest.mark.parametrize("name", PALETTES)
def test_every_word_of_the_walk_can_be_read(name: str) -> None:
    ground, text = PALETTES[name]
    # Solarized light's own text has less than 4.5 on its own ground: no program can do better without choosing for it.
    least = min(LEAST, contrast(text, ground))
    spec = ConvSpec.parse("n1c2h6w6k2r3s3_st2_pd1")
    found = walk(*small_integers(spec), spec, choose_cell(spec))
    seen: set[str] = set()
    for line in page(found, 80, STEPS):
        for _, words, given in _runs(line):
            style = given or Style()
            if style.dim or words.strip() in ("✓", "✗", ""):  # indices and rules; a mark that stands for a word as well
                continue
            assert contrast(colour(style.color, text), colour(style.bgcolor, ground)) >= least, (words, str(style))
            seen.add(str(style))
    assert len(seen) >= 5  # plain, bold, and three roles


def test_no_sentence_is_dim() -> None:
    spec = ConvSpec.parse("n1c1h4w4k1r2s2")
    found = walk(*small_integers(spec), spec, choose_cell(spec))
    for line in page(found, 80, STEPS):
        dim = "".join(words for _, words, style in _runs(line) if style is not None and style.dim)
        assert len(dim.replace("━", "").split()) <= 12, line.plain
        assert not dim.rstrip().endswith(".")
