"""Texts that a test compares with a file; pytest --update-frames, or CONVBENCH_REFRESH_GOLDEN=1, writes them anew."""

import os
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"
FRAMES = Path(__file__).parent / "explain" / "frames"


def assert_golden(name: str, text: str, folder: Path = GOLDEN) -> None:
    path = folder / f"{name}.txt"
    if os.environ.get("CONVBENCH_REFRESH_GOLDEN") == "1":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")
