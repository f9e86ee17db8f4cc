"""A real browser for the tests of the pages, and what they ask it."""

import importlib
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

# The contrast of each element that a selector finds against the ground behind it (WCAG 2.2, 1.4.3), where it is seen.
CONTRASTS = """(selector) => {
  const light = (colour) => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map((value) => {
      value /= 255;
      return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (!/, 0\\)$|transparent/.test(colour)) return light(colour);
    }
    return 1;
  };
  return Array.from(document.querySelectorAll(selector)).filter((element) => element.checkVisibility())
    .filter((element) => element.textContent.trim() && !element.disabled).map((element) => {
      const [ink, paper] = [light(getComputedStyle(element).color), ground(element)];
      return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    });
}"""


def barriers(page: Any) -> list[str]:
    """What axe-core finds of serious or critical impact, by rule and element."""
    axe = importlib.import_module("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(page).response["violations"]
    return [
        f"{one['id']}: {node['target']}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert program is not None, "no chromium on PATH"
    with importlib.import_module("playwright.sync_api").sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()
