"""How does what torch really ran look in a terminal, and as JSON?"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from textwrap import wrap
from typing import Any

from rich.text import Text

from convbench.device import find_device
from convbench.ran.claims import Claim, in_plain_words, list_claims, sentence
from convbench.ran.patches import account, find_patches, scratch_nbytes
from convbench.ran.seen import Ran
from convbench.show.grid import FAINT, heading
from convbench.show.pages import fit, print_page

LOG_PREFIX = re.compile(r"^(?:onednn|dnnl)_verbose,.*?exec,\w+,")  # the same in each line
ABOUT = 14  # room for what a claim is about
EVIDENCE_LINES = 3  # of one answer; a line of oneDNN's log is 300 characters long, and --json has all of it

# How sure: by sign as well as by colour.
MARKS = {"fact": ("✓", "green"), "inference": ("≈", "yellow"), "unknown": ("?", "red")}
LEGEND = "✓ seen   ≈ inferred from what was seen   ? unknown   → evidence; --json has all of it"


def draw_ran(calls: Sequence[Ran]) -> None:
    """Print each call as wide as the terminal; a pipe gets 80 columns, or COLUMNS."""
    for number, ran in enumerate(calls):
        if number:
            print_page(lambda _: [Text()])
        print_page(partial(ran_page, ran))


def ran_page(ran: Ran, width: int) -> Iterator[Text]:
    """The lines of one call, none wider than `width` (from 60 to 120)."""
    width = fit(width)
    yield from heading("WHAT RAN", f"F.conv2d · {ran.spec}", width)
    for line in wrap(_conditions(ran), width - 2):
        yield Text(f"  {line}")
    for line in wrap(ran.beforehand, width - 2):
        yield Text(f"  {line}")
    yield Text()
    for line in wrap(sentence(ran), width - 2):
        yield Text(f"  {line}", style="bold")
    for claim in list_claims(ran):
        yield Text()
        yield from _claim(claim, width)
    yield Text()
    for line in wrap(LEGEND, width - 2):
        yield Text(f"  {line}")


def _conditions(ran: Ran) -> str:
    words = [ran.dtype, ran.layout, ran.precision, ran.device]
    if ran.setting is not None:
        threads = f"{ran.setting.threads} thread{'' if ran.setting.threads == 1 else 's'}"
        words += [threads] if find_device(ran.device).on_host else []
        words += [ran.setting.machine, f"torch {ran.setting.torch}", ran.setting.library]
    return " · ".join(word for word in words if word)


def _claim(claim: Claim, width: int) -> Iterator[Text]:
    sign, style = MARKS[claim.kind]
    # At 60 columns the words stand under their subject.
    indent = ABOUT + 4 if width >= 80 else 4
    lines = wrap(claim.words, width - indent)
    head = Text("  ") + Text(sign, style=style) + Text(f" {claim.about:<{ABOUT}}", style="bold")
    if width >= 80:
        yield head + Text(lines[0])
        lines = lines[1:]
    else:
        yield head
    for line in lines:
        yield Text(" " * indent + line)
    for evidence in claim.evidence:
        answered = LOG_PREFIX.sub("…", evidence.answered)
        shown = wrap(f"{evidence.asked} → {answered}", width - indent - 2)
        if len(shown) > EVIDENCE_LINES:
            shown = [*shown[: EVIDENCE_LINES - 1], f"{shown[EVIDENCE_LINES - 1][: width - indent - 3]}…"]
        for line in shown:
            yield Text.assemble((f"{' ' * indent}│ ", FAINT), line)


def record_ran(ran: Ran) -> dict[str, Any]:
    """All that is known of one call, as plain values; bytes as numbers."""
    uses, primitive = account(ran), ran.primitive
    return {
        "spec": str(ran.spec),
        "asked": str(ran.asked or ran.spec),
        "beforehand": ran.beforehand,
        "dtype": ran.dtype,
        "layout": ran.layout,
        "precision": ran.precision,
        "device": ran.device,
        "sentence": sentence(ran),
        "plain": in_plain_words(ran, None),
        "backend": ran.backend,
        "name": ran.name,
        "selected": ran.selected,
        "operators": ran.operators,
        "rule": None if ran.rule is None else asdict(ran.rule),
        "predicted": None if ran.predicted is None else asdict(ran.predicted),
        "setting": None if ran.setting is None else asdict(ran.setting),
        "primitive": None if primitive is None else asdict(primitive),
        "reorders": [asdict(one) for one in ran.reorders],
        "kernels": [asdict(one) for one in ran.kernels],
        "uses": None if uses is None else [asdict(use) for use in uses],
        "scratch_nbytes": scratch_nbytes(ran),
        "peak_nbytes": None if ran.trace is None else ran.trace.peak_nbytes,
        "y_nbytes": ran.y_nbytes,
        "patch_matrix_nbytes": ran.patches_nbytes,
        "patches": asdict(find_patches(ran)),
        "claims": [asdict(claim) for claim in list_claims(ran)],
        "trouble": ran.trouble,
    }
