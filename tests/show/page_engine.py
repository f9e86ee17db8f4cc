"""What do the page's scripts answer without a browser? A JavaScript engine in this process, and no document."""

import json
from typing import Any

import quickjs

from convbench.show.explain_page import SCRIPTS
from convbench.show.html import read
from convbench.show.pack import pack_script

# The last one draws as soon as it is read; the others say how, and how to compute what is drawn.
COMPUTING = SCRIPTS[:-1]
MOST_S = 60  # of CPU time for one answer, so that a loop without an end is a failure


class Page:
    """The object `convbench` of the page of explain."""

    def __init__(self) -> None:
        self._context = quickjs.Context()
        self._context.set_time_limit(MOST_S)
        self._context.eval(pack_script(read(*COMPUTING)))

    def evaluate(self, function: str, *arguments: Any) -> Any:
        """What a function makes of plain values; what is not a finite number, a text, a list or an object is None."""
        return json.loads(self._context.eval(f"JSON.stringify(({function})(...{json.dumps(arguments)}))"))
