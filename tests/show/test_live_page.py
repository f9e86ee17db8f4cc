"""The page and the picture that anyone can look at before installing anything."""

from pathlib import Path

from PIL import Image

from tests.cli.conftest import Cli
from tests.cli.conftest import cli as cli  # noqa: PLC0414  # a fixture of this module too

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_of_the_docs_is_what_the_command_writes(cli: Cli) -> None:
    """After a change: convbench explain --html docs/live/index.html --evidence docs/live/evidence.json --overwrite."""
    done = cli("explain", "--html", "-", "--evidence", DOCS / "live" / "evidence.json")
    assert done.code == 0, done.err
    assert done.out == (DOCS / "live" / "index.html").read_text(encoding="utf-8")


def test_the_picture_moves_and_loads_at_once() -> None:
    """It is made by scripts/moving_picture.py."""
    path = DOCS / "img" / "explain.gif"
    assert path.stat().st_size < 1_000_000
    with Image.open(path) as picture:
        assert picture.size == (960, 540)
        assert getattr(picture, "n_frames", 1) > 60
