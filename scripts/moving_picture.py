"""The moving picture of the README: the page of `explain --html` plays from unfold to reshape, in Chromium.

python scripts/moving_picture.py writes docs/img/explain.gif; it needs Chromium and playwright (the group `browser`).
"""

import io
import shutil
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from PIL import Image

PICTURE = Path(__file__).parents[1] / "docs" / "img" / "explain.gif"
WIDE, HIGH = 960, 540
FIRST, LAST = 4, 7  # steps
FRAMES_S, FASTER = 8, 1.6  # of the picture; it runs faster than the page does
COLOURS, HOLD_MS, MOST_NBYTES = 96, 2500, 1_000_000


def shots(page: Any) -> list[Image.Image]:
    """The page at moments that lie evenly in its time."""
    first, last = page.evaluate(
        f"(() => {{ const s = convbench.timeline.plan(9).steps; const [a, b] = [s[{FIRST - 1}], s[{LAST - 1}]];"
        " return [a.start, b.start + b.length - 0.01]; })()"
    )
    count = int((last - first) / FASTER * FRAMES_S)
    found = []
    for number in range(count + 1):
        page.evaluate(f"convbench.page.seek({first + (last - first) * number / count})")
        page.wait_for_timeout(150)  # boxes take a tenth of a second to their places
        found.append(Image.open(io.BytesIO(page.screenshot())).convert("RGB"))
    return found


def montage(frames: list[Image.Image]) -> Image.Image:
    """All of them side by side, for one palette."""
    whole = Image.new("RGB", (WIDE * len(frames), HIGH))
    for number, frame in enumerate(frames):
        whole.paste(frame, (WIDE * number, 0))
    return whole


def main() -> int:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        sys.stderr.write("no chromium on PATH\n")
        return 2
    with tempfile.TemporaryDirectory() as folder, import_module("playwright.sync_api").sync_playwright() as play:
        file = Path(folder) / "page.html"
        subprocess.run([sys.executable, "-m", "convbench", "explain", "--html", str(file)], check=True)
        browser = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDE, "height": HIGH}, color_scheme="light")
        page.goto(f"{file.as_uri()}#embed=1")
        page.wait_for_timeout(1000)
        frames = shots(page)
        browser.close()
    palette = montage(frames[:: len(frames) // 12]).quantize(COLOURS, dither=Image.Dither.NONE)
    few = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    lasts = [round(1000 / FRAMES_S)] * (len(few) - 1) + [HOLD_MS]
    PICTURE.parent.mkdir(exist_ok=True)
    few[0].save(PICTURE, save_all=True, append_images=few[1:], duration=lasts, loop=0, optimize=True)
    nbytes = PICTURE.stat().st_size
    sys.stdout.write(f"{PICTURE.name}: {len(few)} frames, {nbytes:,} bytes\n")
    return int(nbytes > MOST_NBYTES)


if __name__ == "__main__":
    sys.exit(main())
