"""convbench error: what does an error message of PyTorch about shapes mean?"""

import json as json_module
import sys
from dataclasses import asdict
from typing import Annotated

import typer

from convbench.cli import options
from convbench.errors import ConvbenchError

MOST_READ = 200_000  # characters from a pipe
EXAMPLE = """\b
Examples:
  convbench error "non-positive stride is not supported"
  python train.py 2>&1 | convbench error -
"""


def error(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The message; - reads it from stdin.")],
    json: options.Json = False,
) -> None:
    """Explain a PyTorch shape error."""
    if text == "-":
        text = sys.stdin.read(MOST_READ)
    if not text.strip():
        raise ConvbenchError(
            "the message is empty: give the last line of torch's traceback, or pipe it all to 'convbench error -'"
        )
    from convbench.explain.messages import decode
    from convbench.show.questions import draw_decoded

    decoded = decode(text)
    if json:
        fixes = [
            {"words": fix.words, "call": fix.call.text, "shape": fix.shape, "computed": fix.computed}
            | {"spec": None if fix.spec is None else str(fix.spec)}
            for fix in decoded.fixes
        ]
        typer.echo(json_module.dumps(asdict(decoded) | {"fixes": fixes}))
    else:
        draw_decoded(decoded)
