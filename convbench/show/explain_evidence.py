"""What does the page of explain carry of what PyTorch really did: watched here, or read from `convbench ran --json`?"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from convbench.errors import ConvbenchError, first_line
from convbench.spec import ConvSpec

LAYER = ConvSpec.parse("n1c64h56w56k64r3s3_pd1")  # of a ResNet: large enough for a library, which builds no patches
# What is shown of a call; a page has no room for the rest, which `convbench ran` prints.
ABOUT = ("backend", "rule", "primitive", "patch matrix")

Evidence = Mapping[str, Any]
NOTHING: Evidence = {"sentences": [], "runs": []}


def watch(spec: ConvSpec, sentences: Sequence[str]) -> Evidence:
    """What torch does here with the problem and, to compare, with a layer of a ResNet.

    Args:
        sentences: the same of the problem in plain words.
    """
    from convbench.ran.watch import glance
    from convbench.show.ran import record_ran

    found = [record_ran(glance(one)) for one in dict.fromkeys((spec, LAYER))]
    return {"sentences": list(sentences), "runs": _runs(found)}


def read(path: str, spec: ConvSpec) -> Evidence:
    """The evidence in a file that `convbench ran --json` wrote.

    Raises:
        ConvbenchError: there is no such file, or it holds something else.
    """
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))["ran"]
        runs = _runs(found)
        own = [one for one in found if one["asked"] == str(spec) and one["backend"] is not None]
        sentences = [str(word) for word in own[0]["plain"]] if own else []
    except OSError as error:
        raise ConvbenchError(f"--evidence {path}: {first_line(error)}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConvbenchError(f"--evidence {path}: not the JSON that `convbench ran --json` writes; try that") from error
    return {"sentences": sentences, "runs": runs}


def _runs(found: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Only what was seen."""
    return [
        {
            "spec": str(one["asked"]),
            "torch": str(one["setting"]["torch"]),
            "machine": str(one["setting"]["machine"]),
            "claims": [
                {name: str(claim[name]) for name in ("about", "words", "kind")}
                for claim in one["claims"]
                if claim["about"] in ABOUT
            ],
        }
        for one in found
        if one["backend"] is not None and one["setting"] is not None
    ]
